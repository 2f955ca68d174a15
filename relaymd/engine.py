"""For scripts inside a bundle: where to go on, how far it is, when a checkpoint lies there.

    from relaymd.engine import Segment, write_atomically

    segment = Segment.here()
    segment.listen()                              # SIGTERM: asked to stop
    step = load() if segment.resumes else 0
    while step < total and not segment.asked_to_stop:
        step = simulate(step)
        with segment.checkpoint(marker="ckpt_is_valid"):
            write_atomically("state.json", save(step))
            segment.report(step=step, total_steps=total)
    sys.exit(0 if step >= total else TERMINATED)

It works the same where no worker started the script. Nothing but the standard library is
needed, and nothing of RelayMD: this file may be copied into a bundle.
"""

import json
import os
import signal
import stat
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

TERMINATED = 128 + signal.SIGTERM
"""The exit code for "told to stop, and there is more to do": neither an error nor completion."""

DEFAULT_PROGRESS_FILE = "progress.json"


class ShortFileError(Exception):
    """A file is shorter than the checkpoint says it was: they do not belong together."""

    def __init__(self, path: Path, size: int, recorded: int) -> None:
        super().__init__(f"{path} has {size} bytes, the checkpoint knows {recorded}")
        self.path = path
        self.size = size
        self.recorded = recorded


@dataclass(frozen=True)
class Progress:
    """How far the restored checkpoint was. What nobody said is None."""

    fraction: float | None = None
    step: int | None = None
    total_steps: int | None = None


@dataclass
class Segment:
    """One worker's share of the simulation, as the script that runs it sees it."""

    job: str | None = None
    """None: no worker started this script."""

    epoch: int = 0
    """Which lease of the job this is, from 1; 0 without a worker."""

    generation: int = 0
    """The checkpoint that was restored; 0: none."""

    restored: Progress = field(default_factory=Progress)
    progress_file: Path = Path(DEFAULT_PROGRESS_FILE)
    notices: Path | None = None
    """The pipe on which the worker listens."""

    asked_to_stop: bool = False
    """Becomes true at SIGTERM, once `listen` was called."""

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> "Segment":
        """What the worker told this process; without a worker, a segment that tells nobody."""
        notices = environment.get("RELAYMD_NOTICES")
        return cls(
            job=environment.get("RELAYMD_JOB_ID"),
            epoch=_number(environment.get("RELAYMD_EPOCH")),
            generation=_number(environment.get("RELAYMD_GENERATION")),
            restored=_progress(environment.get("RELAYMD_PROGRESS")),
            progress_file=Path(environment.get("RELAYMD_PROGRESS_FILE") or DEFAULT_PROGRESS_FILE),
            notices=Path(notices) if notices else None,
        )

    @property
    def resumes(self) -> bool:
        """Whether a worker restored a checkpoint for this segment.

        False without a worker: there only the script's own files can tell.
        """
        return self.generation > 0

    def listen(self) -> None:
        """Let SIGTERM set `asked_to_stop` instead of ending the process. Main thread only."""
        signal.signal(signal.SIGTERM, self._hear)

    def report(
        self,
        *,
        fraction: float | None = None,
        step: int | None = None,
        total_steps: int | None = None,
    ) -> None:
        """Say how far the simulation is. Call it for what is in a checkpoint: the rest may be lost.

        The fraction follows from the steps where it is not given. Raises OSError.
        """
        if fraction is None and step is not None and total_steps:
            fraction = step / total_steps
        told = {"fraction": fraction, "step": step, "total_steps": total_steps}
        known = {name: value for name, value in told.items() if value is not None}
        write_atomically(self.progress_file, json.dumps(known))

    @contextmanager
    def checkpoint(self, marker: str | os.PathLike[str] | None = None) -> Generator[None]:
        """Write a checkpoint inside the block; behind it the worker is told that it lies there.

        marker: absent while the block runs, and still absent if it raises. It must be the
        specification's `checkpoint_marker`.
        """
        if marker is not None:
            Path(marker).unlink(missing_ok=True)
        yield
        if marker is not None:
            Path(marker).touch()
        self.checkpointed()

    def checkpointed(self) -> bool:
        """Tell the worker that a checkpoint lies there now; whether one listens.

        Never waits and never fails: a worker that hears nothing looks by itself now and then.
        """
        if self.notices is None:
            return False
        with suppress(OSError):
            pipe = os.open(self.notices, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if stat.S_ISFIFO(os.fstat(pipe).st_mode):
                    return os.write(pipe, b"checkpoint\n") > 0
            finally:
                os.close(pipe)
        return False

    def _hear(self, *_: object) -> None:
        self.asked_to_stop = True


def write_atomically(path: str | os.PathLike[str], data: str | bytes) -> None:
    """Replace a file so that a reader sees the old one or the new one, also after a power cut.

    Raises OSError; the old file is then as it was.
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.part")
    try:
        with draft.open("wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sizes(paths: Iterable[str | os.PathLike[str]]) -> dict[str, int]:
    """How long growing files (trajectories, energies) are; what is not there has 0 bytes.

    Belongs into the checkpoint, and from there to `cut_back`.
    """
    return {os.fspath(path): _size(Path(path)) for path in paths}


def cut_back(recorded: Mapping[str, int]) -> None:
    """Cut files back to the lengths a checkpoint recorded, so that nothing is there twice.

    Raises ShortFileError before anything is cut, and OSError.
    """
    for name, size in recorded.items():
        if (found := _size(Path(name))) < size:
            raise ShortFileError(Path(name), found, size)
    for name, size in recorded.items():
        if size or Path(name).exists():
            os.truncate(name, size)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 20 else 0


def _progress(text: str | None) -> Progress:
    """What is not understood was not said."""
    try:
        told = json.loads(text or "{}")
        return Progress(
            fraction=told.get("fraction"),
            step=told.get("step"),
            total_steps=told.get("total_steps"),
        )
    except (ValueError, AttributeError, RecursionError):
        return Progress()
