"""One lease's checkpoint cycle: copy, upload, report; generation by generation.

    copy what changed ──► upload chunks, manifest ──► report ──► accepted: it exists

A generation that is uploaded but not answered for waits in `unanswered`; the reports go out in
order, and the orchestrator takes each once. Cycles of one lease never overlap.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from relaymd.bus import contract
from relaymd.bus.bus import BusError, RefusedError
from relaymd.bus.messages import CheckpointMiss, CheckpointReport
from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import Generation
from relaymd.core.outcome import Outcome
from relaymd.core.specification import Specification
from relaymd.storage.generations import put_latest, put_manifest
from relaymd.storage.manifest import FileEntry, Manifest
from relaymd.storage.patterns import UnfitNameError
from relaymd.storage.store import ChangedFileError, StorageError, StorageUnreachableError
from relaymd.storage.upload import chunks_of, upload
from relaymd.worker import files, progress, snapshot
from relaymd.worker.held import Held
from relaymd.worker.place import Place
from relaymd.worker.snapshot import Copied, NotValidError, Print, UnsettledError
from relaymd.worker.speech import PASSING
from relaymd.worker.tools import Tools

log = structlog.get_logger()


class CycleError(Exception):
    """Nothing was committed; the reason is a sentence. What was committed before stands."""

    def __init__(self, reason: str, *, soon: bool = False, fatal: Outcome | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.soon = soon
        """Whether it is worth trying before the next tick."""

        self.fatal = fatal
        """What an attempt ends as whose last files meet this; None: time may heal it."""


async def _no_output() -> None:
    pass


class Cycle:
    def __init__(
        self,
        tools: Tools,
        held: Held,
        place: Place,
        spec: Specification,
        *,
        restored: Manifest | None,
        generation: Generation,
        store_output: Callable[[], Awaitable[None]] = _no_output,
    ) -> None:
        """generation: the newest committed one, whether or not it could be restored.

        store_output: called before a generation is reported, so that what the engine said on
        the way to a checkpoint outlives the worker as the checkpoint does. Must not raise.
        """
        self._tools = tools
        self._held = held
        self._place = place
        self._spec = spec
        self._store_output = store_output
        self._entries: dict[str, FileEntry] = {}
        if restored is not None:
            self._entries = {entry.path: entry for entry in restored.files}
        self._known: dict[str, Print] = {}
        self._generation = generation
        self._copies = 0
        self.unanswered: list[Checkpoint] = []
        self.nothing_yet = ""
        """Why the latest cycle found no checkpoint at all, where it did not."""

        self.seconds: float | None = None
        """How long the latest cycle took that stored something."""

    @property
    def watched(self) -> snapshot.Watched:
        marker = self._spec.checkpoint_marker
        return snapshot.Watched(root=self._place.work, patterns=self._spec.watched, marker=marker)

    async def learn(self) -> None:
        """Take the restored files as stored, before the engine runs."""
        try:
            seen = await self._tools.offload(snapshot.look, self.watched)
        except (OSError, UnfitNameError) as exc:
            log.warning("checkpoint.not_learned", job=self._held.job, reason=str(exc))
            return
        self._known = {path: seen.files[path] for path in self._entries if path in seen.files}

    async def once(self, *, finished: bool = False) -> bool:
        """Store what changed; whether anything had. Raises CycleError.

        finished: the engine has ended well, so its files are valid whatever the marker says.
        """
        if not self._spec.watched:
            return False
        begin = asyncio.get_running_loop().time()
        self.nothing_yet = ""
        self._copies += 1
        staging = self._place.staging / str(self._copies)
        try:
            copied = await self._copy(staging, finished)
            if copied is None or not copied.changed:
                return self._nothing_new(copied)
            stored = await self._store(copied, staging)
        finally:
            await self._tools.offload(files.remove_tree, staging)
        self.seconds = asyncio.get_running_loop().time() - begin
        return stored

    async def settle(self) -> None:
        """Say once more what was not answered yet. Raises CycleError where it was refused."""
        while self.unanswered:
            report = self._report(self.unanswered[0])
            try:
                answer = await self._tools.bus.ask(contract.CHECKPOINT, report)
            except RefusedError as exc:
                if exc.refusal.error in PASSING:
                    return
                self._generation = Generation(self.unanswered[0].generation - 1)
                self.unanswered.clear()
                self._known.clear()
                raise CycleError(f"the checkpoint was refused: {exc}") from exc
            except BusError:
                return
            if not self._held.heed(answer.standing):
                self.unanswered.clear()
                return
            await self._point_to(self.unanswered.pop(0))

    async def missed(self, reason: str) -> None:
        """Say that a cycle failed; once, for it changes nothing."""
        log.warning("checkpoint.missed", job=self._held.job, reason=reason)
        message = CheckpointMiss(
            worker=self._tools.me.worker,
            job=self._held.job,
            epoch=self._held.epoch,
            reason=reason[:1000],
        )
        try:
            answer = await self._tools.bus.ask(contract.CHECKPOINT_MISSED, message)
        except BusError as exc:
            log.warning("report.lost", subject="missed", reason=repr(exc))
        else:
            self._held.heed(answer.standing)

    def reports(self) -> tuple[CheckpointReport, ...]:
        """What is still to be said when the lease ends."""
        return tuple(self._report(checkpoint) for checkpoint in self.unanswered)

    def _nothing_new(self, copied: Copied | None) -> bool:
        if copied is not None and not copied.look.files and not self._entries:
            self.nothing_yet = f"no file matches {', '.join(self._spec.watched)} yet"
        return False

    async def _copy(self, staging: Path, finished: bool) -> Copied | None:
        """None where there is no checkpoint yet."""
        watched = msgspec.structs.replace(self.watched, marker=None) if finished else self.watched
        tries = self._tools.pace.void_tries
        while True:
            tries -= 1
            try:
                return await self._tools.offload(snapshot.copy, watched, self._known, staging)
            except NotValidError as exc:
                if tries <= 0 and not self._entries:
                    self.nothing_yet = str(exc)
                    return None
                if tries <= 0:
                    raise CycleError(str(exc), soon=True) from exc
            except UnsettledError as exc:
                if tries <= 0:
                    raise CycleError(str(exc), soon=True) from exc
            except OSError as exc:
                reason = f"the checkpoint's files cannot be copied: {exc}"
                raise CycleError(reason, fatal=Outcome.NODE_UNFIT) from exc
            except UnfitNameError as exc:
                raise CycleError(str(exc), fatal=Outcome.ENGINE_FAILED) from exc
            await self._tools.offload(files.remove_tree, staging)
            await asyncio.sleep(self._tools.pace.look)

    async def _store(self, copied: Copied, staging: Path) -> bool:
        """Upload and report; False where the content is what is stored already."""
        try:
            checkpoint = await self._upload(copied, staging)
        except (StorageError, ChangedFileError) as exc:
            soon = isinstance(exc, StorageUnreachableError)
            raise CycleError(f"the checkpoint cannot be stored: {exc}", soon=soon) from exc
        except OSError as exc:
            reason = f"the checkpoint's copy cannot be read: {exc}"
            raise CycleError(reason, fatal=Outcome.NODE_UNFIT) from exc
        self._known.update(copied.look.files)
        if checkpoint is not None:
            try:
                await self._store_output()
            finally:  # also where we are cut short: its number is taken, its files are stored
                self.unanswered.append(checkpoint)
            await self.settle()
        return checkpoint is not None

    async def _upload(self, copied: Copied, staging: Path) -> Checkpoint | None:
        tools, job = self._tools, self._held.job
        # What the copy says of its progress, where it has a say: the engine went on meanwhile.
        copied_too = self._spec.progress_file_path in copied.changed
        root = staging if copied_too else self._place.work
        told = await progress.read(tools.offload, root, self._spec)
        stored = chunks_of([*self._entries.values()])
        sent = await upload(
            tools.store, job, staging, copied.changed, known=stored, offload=tools.offload
        )
        if all(_same(entry, self._entries.get(entry.path)) for entry in sent.files):
            return None
        entries = {**self._entries, **{entry.path: entry for entry in sent.files}}
        manifest = Manifest(
            job=job,
            generation=Generation(self._generation + 1),
            epoch=self._held.epoch,
            at=tools.wall(),
            files=tuple(entries[path] for path in sorted(entries)),
            progress=told,
        )
        size = sum(entry.size for entry in manifest.files)
        checkpoint = await put_manifest(tools.store, manifest, size=size, uploaded=sent.uploaded)
        self._entries, self._generation = entries, manifest.generation
        return checkpoint

    async def _point_to(self, checkpoint: Checkpoint) -> None:
        """For people only, so a failure to do it changes nothing."""
        try:
            await put_latest(self._tools.store, self._held.job, checkpoint)
        except StorageError as exc:
            log.warning("checkpoint.no_pointer", job=self._held.job, reason=str(exc))

    def _report(self, checkpoint: Checkpoint) -> CheckpointReport:
        return CheckpointReport(
            worker=self._tools.me.worker, job=self._held.job, checkpoint=checkpoint
        )


def _same(entry: FileEntry, stored: FileEntry | None) -> bool:
    """Whether the content is stored, whatever the file's time says."""
    return stored is not None and (entry.chunks, entry.mode) == (stored.chunks, stored.mode)
