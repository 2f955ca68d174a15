"""The nodes' files: in memory, or where a test wants to compare, on a real disk.

A worker does all of its blocking work through its offload, so that is where a node's files can
be exchanged: `ModelDrive` does the same work on files in memory. What it does not know is done
for real, which is slow. `test_drive.py` holds it to what the real functions do.
"""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

from relaymd.core.specification import FILE_NAMES, Specification, decode
from relaymd.storage import patterns
from relaymd.storage.bundles import InvalidBundleError
from relaymd.storage.manifest import digest
from relaymd.storage.reading import Print, Source
from relaymd.storage.unpacking import unpack
from relaymd.worker import files
from relaymd.worker.snapshot import Look, Moment, NotValidError, UnsettledError, Watched, changes
from tests.simulation.mirror import mirrored
from tests.simulation.transfers import Transfers

Work = Callable[..., Any]

ROOM = 1 << 40
"""Bytes: what is free on every node's disk. That a write fails is a fault of its own."""


class Drive(Protocol):
    """What the simulation itself does with the files of its nodes."""

    def do(self, work: Work, *args: Any, **kwargs: Any) -> Any:
        """A piece of blocking work of a worker."""
        ...

    def read(self, path: Path) -> bytes:
        """Raises FileNotFoundError."""
        ...

    def write(self, path: Path, data: bytes, at: float) -> None:
        """In place, as an engine does. at: seconds; the file's time of change."""
        ...

    def rename(self, path: Path, target: Path) -> None: ...

    def remove(self, folder: Path) -> None:
        """Remove a tree, if it is there."""
        ...

    def names(self, folder: Path) -> list[str]:
        """Of the files and folders in it, sorted; none where there is no such folder."""
        ...


class ModelDrive(Transfers):
    """Files in memory, one table for all nodes."""

    def do(self, work: Work, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(work, "__self__", None)
        if isinstance(owner, Path):
            args, work = (owner, *args), getattr(Path, work.__name__)
        if work not in self._works:
            self._works[work] = WORKS.get(f"{work.__module__}.{work.__qualname__}")
        if (mine := self._works[work]) is not None:
            return mine(self, *args, **kwargs)
        return mirrored(self, self.root, lambda: work(*args, **kwargs))

    @property
    def root(self) -> Path:
        """Where the nodes' folders would lie: a place that nobody else uses."""
        return Path(tempfile.gettempdir()) / f"relaymd-nodes-{os.getpid()}"

    def make_folders(self, *folders: Path) -> None:
        for folder in folders:
            self.folders.setdefault(str(folder), {})

    def mkdir(self, folder: Path, parents: bool = False, exist_ok: bool = False) -> None:
        assert parents, folder
        if not exist_ok and str(folder) in self.folders:
            raise FileExistsError(folder)
        self.folders.setdefault(str(folder), {})

    def unlink(self, path: Path, missing_ok: bool = False) -> None:
        folder, _, name = str(path).rpartition("/")
        if self.folders.get(folder, {}).pop(name, None) is None and not missing_ok:
            raise FileNotFoundError(path)

    def rmtree(self, folder: Path, ignore_errors: bool = False) -> None:
        assert ignore_errors, folder
        self.remove(folder)

    def write_durably(self, path: Path, data: bytes) -> None:
        folder, _, name = str(path).rpartition("/")
        self.folders.setdefault(folder, {})[name] = self.new(data)

    def read_all(self, folder: Path) -> dict[str, bytes]:
        found = self.folders.get(str(folder), {})
        return {name: found[name].data for name in sorted(found) if not name.startswith(".")}

    def read_part(self, path: Path, offset: int, size: int) -> bytes:
        file = self.found(path)
        return file.data[offset : offset + size] if file else b""

    def sizes(self, *paths: Path) -> list[int]:
        return [len(file.data) if (file := self.found(path)) else 0 for path in paths]

    def read_small(self, path: Path, largest: int = 65536) -> bytes | None:
        file = self.found(path)
        return file.data[:largest] if file else None

    def tail(self, path: Path, size: int) -> bytes:
        file = self.found(path)
        return file.data[-size:] if file else b""

    def free_bytes(self, folder: Path) -> int | None:
        return ROOM

    def is_full(self, folder: Path) -> bool:
        return False

    def stat(self, path: Path) -> os.stat_result:
        return self.file(path).status()

    def match(self, root: Path, wanted: tuple[str, ...]) -> list[str]:
        fits = _fitting(tuple(wanted))
        if fits is None:
            return []
        return sorted(path for path in self.tree(root) if fits(path))

    def look(self, watched: Watched) -> Look:
        found = {
            path: self.file_at(watched.root, path).print()
            for path in self.match(watched.root, watched.patterns)
        }
        return Look(found, self.print_of(watched.root / watched.marker) if watched.marker else None)

    def print_of(self, path: Path | str) -> Print | None:
        file = self.found(path)
        return file.print() if file else None

    def take(self, watched: Watched, known: Mapping[str, Print], staging: Path) -> Moment:
        """Nothing changes meanwhile: it takes no time. There are no clones."""
        seen = self.look(watched)
        if watched.marker and seen.marker is None:
            raise NotValidError(f"the marker {watched.marker} is not there")
        changed = changes(seen.files, known)
        if changed:
            self.make_folders(staging)
        return Moment(
            watched.root,
            seen,
            tuple(
                Source(path=path, print=seen.files[path], place=watched.root / path)
                for path in changed
            ),
        )

    def check(self, watched: Watched, seen: Look, unsure: Sequence[str]) -> None:
        if watched.marker and self.print_of(watched.root / watched.marker) != seen.marker:
            raise UnsettledError(f"the marker {watched.marker} changed during the copy")
        if unsure:
            raise UnsettledError(f"{unsure[0]} changed during the copy")

    def unpack(self, archive: Path, target: Path) -> None:
        top = str(target)
        if top in self.folders:
            raise FileExistsError(target)
        self.folders[top] = {}
        for path, data, mode, mtime_ns in _unpacked(self.read(archive)):
            file = self.made(f"{top}/{path}")
            file.data, file.mode, file.mtime_ns = data, mode, mtime_ns

    def read_specification(self, folder: Path) -> Specification:
        files = self.folders.get(str(folder), {})
        found = [name for name in FILE_NAMES if name in files]
        if len(found) != 1:
            raise InvalidBundleError(f"{folder} has {len(found)} specifications")
        return _specification(found[0], files[found[0]].data)

    def digest_of(self, path: Path) -> str:
        return digest(self.read(path))

    _works: ClassVar[dict[Work, Work | None]] = {}
    """What was looked up already; None: it is not modelled."""


WORKS: Mapping[str, Work] = {
    "pathlib.Path.mkdir": ModelDrive.mkdir,
    "pathlib.Path.unlink": ModelDrive.unlink,
    "posix.stat": ModelDrive.stat,
    "shutil.rmtree": ModelDrive.rmtree,
    "relaymd.storage.bundles.digest_of": ModelDrive.digest_of,
    "relaymd.storage.bundles.read_specification": ModelDrive.read_specification,
    "relaymd.storage.patterns.match": ModelDrive.match,
    "relaymd.storage.pieces.lacking": ModelDrive.lacking,
    "relaymd.storage.pieces.take_in": ModelDrive.take_in,
    "relaymd.storage.pieces.wrong": ModelDrive.wrong,
    "relaymd.storage.reading.read": ModelDrive.read_pieces,
    "relaymd.storage.restore._finish": ModelDrive.finish,
    "relaymd.storage.restore._move": ModelDrive.move,
    "relaymd.storage.unpacking.unpack": ModelDrive.unpack,
    "relaymd.worker.files.free_bytes": ModelDrive.free_bytes,
    "relaymd.worker.files.is_full": ModelDrive.is_full,
    "relaymd.worker.files.make_folders": ModelDrive.make_folders,
    "relaymd.worker.files.read_all": ModelDrive.read_all,
    "relaymd.worker.files.read_part": ModelDrive.read_part,
    "relaymd.worker.files.read_small": ModelDrive.read_small,
    "relaymd.worker.files.remove_tree": ModelDrive.remove,
    "relaymd.worker.files.sizes": ModelDrive.sizes,
    "relaymd.worker.files.tail": ModelDrive.tail,
    "relaymd.worker.files.write_durably": ModelDrive.write_durably,
    "relaymd.worker.snapshot.check": ModelDrive.check,
    "relaymd.worker.snapshot.look": ModelDrive.look,
    "relaymd.worker.snapshot.print_of": ModelDrive.print_of,
    "relaymd.worker.snapshot.take": ModelDrive.take,
}
"""The work that workers offload often, by its name, and what does it here."""


class RealDrive:
    """The functions as they are, on a real disk."""

    def do(self, work: Work, *args: Any, **kwargs: Any) -> Any:
        return ROOM if work is files.free_bytes else work(*args, **kwargs)

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def write(self, path: Path, data: bytes, at: float) -> None:
        path.write_bytes(data)
        moment = int(at * 1e9) + 10**18
        os.utime(path, ns=(moment, moment))

    def rename(self, path: Path, target: Path) -> None:
        path.replace(target)

    def remove(self, folder: Path) -> None:
        files.remove_tree(folder)

    def names(self, folder: Path) -> list[str]:
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@cache
def _fitting(wanted: tuple[str, ...]) -> Callable[[str], object] | None:
    pattern = patterns.compiled(wanted)
    return pattern.fullmatch if pattern else None


@cache
def _unpacked(archive: bytes) -> list[tuple[str, bytes, int, int]]:
    """The files of an archive, by the real function: path, content, mode, time."""
    with tempfile.TemporaryDirectory() as folder:
        packed, root = Path(folder) / "archive", Path(folder) / "root"
        packed.write_bytes(archive)
        unpack(packed, root)
        found: list[tuple[str, bytes, int, int]] = []
        for path in sorted(root.rglob("*")):
            if path.is_file():
                status = path.stat()
                known = (status.st_mode & 0o7777, status.st_mtime_ns)
                found.append((str(path.relative_to(root)), path.read_bytes(), *known))
        return found


@cache
def _specification(name: str, data: bytes) -> Specification:
    return decode(name, data)
