"""The nodes' files: in memory, or where a test wants to compare, on a real disk.

A worker does all of its blocking work through its offload, so that is where a node's files can
be exchanged: `ModelDrive` does the same work on files in memory. What it does not know it
refuses, and `test_drive.py` holds it to what the real functions do.
"""

import os
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol

from relaymd.core.specification import FILE_NAMES, Specification, decode
from relaymd.storage import patterns
from relaymd.storage.bundles import InvalidBundleError
from relaymd.storage.manifest import Chunk, FileEntry, digest
from relaymd.storage.packing import grown, shrunk
from relaymd.storage.pieces import Fetch, Place
from relaymd.storage.reading import Got, Piece, Print, Source
from relaymd.storage.unpacking import unpack
from relaymd.worker import files
from relaymd.worker.snapshot import Look, Moment, NotValidError, UnsettledError, Watched, changes

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


class File:
    """What a path leads to."""

    __slots__ = ("data", "inode", "mode", "mtime_ns")

    def __init__(self, data: bytes, inode: int, mode: int = 0o644, mtime_ns: int = 0) -> None:
        self.data = data
        self.inode = inode
        self.mode = mode
        self.mtime_ns = mtime_ns

    def status(self) -> os.stat_result:
        size = len(self.data)
        seconds = self.mtime_ns // 10**9
        known = (stat.S_IFREG | self.mode, self.inode, 0, 1, 0, 0, size, seconds, seconds, seconds)
        return os.stat_result(known, {"st_mtime_ns": self.mtime_ns})

    def print(self) -> Print:
        return Print(len(self.data), self.mtime_ns, self.inode, self.mode)


class ModelDrive:
    """Files in memory, one table for all nodes: a folder's path, a file's name, the file."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, File]] = {}
        self._inodes = 0

    # -- what the simulation does -------------------------------------------------------------

    def do(self, work: Work, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(work, "__self__", None)
        if isinstance(owner, Path):
            args, work = (owner, *args), getattr(Path, work.__name__)
        try:
            mine = self._works[work]
        except KeyError:
            mine = self._works[work] = self._work(work)
        return mine(self, *args, **kwargs)

    def read(self, path: Path) -> bytes:
        return self._file(path).data

    def write(self, path: Path, data: bytes, at: float) -> None:
        file = self._made(str(path))
        file.data = data
        file.mtime_ns = int(at * 1e9) + 10**18

    def rename(self, path: Path, target: Path) -> None:
        folder, _, name = str(path).rpartition("/")
        there, _, called = str(target).rpartition("/")
        self._folders[there][called] = self._folders[folder].pop(name)

    def remove(self, folder: Path) -> None:
        top = str(folder)
        inside = top + "/"
        for known in [one for one in self._folders if one == top or one.startswith(inside)]:
            del self._folders[known]

    def names(self, folder: Path) -> list[str]:
        top = str(folder)
        found = {*self._folders.get(top, ())}
        found.update(
            one[len(top) + 1 :].partition("/")[0]
            for one in self._folders
            if one.startswith(top + "/")
        )
        return sorted(found)

    # -- what workers do ----------------------------------------------------------------------

    def make_folders(self, *folders: Path) -> None:
        for folder in folders:
            self._folders.setdefault(str(folder), {})

    def mkdir(self, folder: Path, parents: bool = False, exist_ok: bool = False) -> None:
        assert parents, folder
        if not exist_ok and str(folder) in self._folders:
            raise FileExistsError(folder)
        self._folders.setdefault(str(folder), {})

    def unlink(self, path: Path, missing_ok: bool = False) -> None:
        folder, _, name = str(path).rpartition("/")
        if self._folders.get(folder, {}).pop(name, None) is None and not missing_ok:
            raise FileNotFoundError(path)

    def rmtree(self, folder: Path, ignore_errors: bool = False) -> None:
        assert ignore_errors, folder
        self.remove(folder)

    def write_durably(self, path: Path, data: bytes) -> None:
        folder, _, name = str(path).rpartition("/")
        self._folders.setdefault(folder, {})[name] = self._new(data)

    def read_all(self, folder: Path) -> dict[str, bytes]:
        found = self._folders.get(str(folder), {})
        return {name: found[name].data for name in sorted(found) if not name.startswith(".")}

    def read_part(self, path: Path, offset: int, size: int) -> bytes:
        file = self._found(path)
        return file.data[offset : offset + size] if file else b""

    def read_small(self, path: Path, largest: int = 65536) -> bytes | None:
        file = self._found(path)
        return file.data[:largest] if file else None

    def tail(self, path: Path, size: int) -> bytes:
        file = self._found(path)
        return file.data[-size:] if file else b""

    def free_bytes(self, folder: Path) -> int | None:
        return ROOM

    def is_full(self, folder: Path) -> bool:
        return False

    def stat(self, path: Path) -> os.stat_result:
        return self._file(path).status()

    def match(self, root: Path, wanted: tuple[str, ...]) -> list[str]:
        fits = _fitting(tuple(wanted))
        if fits is None:
            return []
        return sorted(path for path in self._tree(root) if fits(path))

    def look(self, watched: Watched) -> Look:
        found = {
            path: self._file_at(watched.root, path).print()
            for path in self.match(watched.root, watched.patterns)
        }
        return Look(found, self.print_of(watched.root / watched.marker) if watched.marker else None)

    def print_of(self, path: Path | str) -> Print | None:
        file = self._found(path)
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

    def read_pieces(self, batch: Sequence[Piece], is_stored: Callable[[str], bool]) -> list[Got]:
        return [self._read_piece(piece, is_stored) for piece in batch]

    def _read_piece(self, piece: Piece, is_stored: Callable[[str], bool]) -> Got:
        file = self._found(piece.source.place)
        data = file.data[piece.offset : piece.offset + piece.size] if file else b""
        chunk = Chunk(digest(data), len(data))
        same = file is not None and file.print() == piece.source.print
        sure = len(data) == piece.size and (same or chunk == piece.before)
        return Got(piece, chunk, None if is_stored(chunk.digest) else shrunk(data), sure)

    def unpack(self, archive: Path, target: Path) -> None:
        top = str(target)
        if top in self._folders:
            raise FileExistsError(target)
        self._folders[top] = {}
        for path, data, mode, mtime_ns in _unpacked(self.read(archive)):
            file = self._made(f"{top}/{path}")
            file.data, file.mode, file.mtime_ns = data, mode, mtime_ns

    def read_specification(self, folder: Path) -> Specification:
        files = self._folders.get(str(folder), {})
        found = [name for name in FILE_NAMES if name in files]
        if len(found) != 1:
            raise InvalidBundleError(f"{folder} has {len(found)} specifications")
        return _specification(found[0], files[found[0]].data)

    def digest_of(self, path: Path) -> str:
        return digest(self.read(path))

    def wrong(self, root: Path, places: Sequence[Place]) -> list[Place]:
        return [
            (file, place)
            for file, place in places
            if self._lacks(root / file.path, file) is not None
        ]

    def lacking(self, places: Sequence[Place]) -> set[str]:
        found = set[str]()
        for file, place in places:
            there = self._made(str(place))
            there.data = there.data[: file.size].ljust(file.size, b"\0")
            found |= self._lacks(place, file) or set()
        return found

    def take_in(self, fetch: Fetch, data: bytes) -> str | None:
        if len(data) != fetch.size:
            return f"it has {len(data)} of {fetch.size} bytes"
        contents: list[tuple[str, bytes]] = []
        at = 0
        for member in fetch.members:
            stored = data if len(fetch.members) == 1 else data[at : at + member.stored]
            at += member.stored
            try:
                contents.append((member.digest, grown(stored, member)))
            except ValueError as exc:
                return str(exc)
            if digest(contents[-1][1]) != member.digest:
                return "its hash is not the one it is called by"
        for name, content in contents:
            for path, offset in fetch.targets.get(name, ()):
                file = self._file(path)
                file.data = file.data[:offset] + content + file.data[offset + len(content) :]
        return None

    def _lacks(self, path: Path, file: FileEntry) -> set[str] | None:
        """The chunks that are not there as they should be; None: all of the file is right."""
        found = self._found(path)
        if found is None:
            return {chunk.digest for chunk in file.chunks}
        lacks, at = set[str](), 0
        for chunk in file.chunks:
            if digest(found.data[at : at + chunk.size]) != chunk.digest:
                lacks.add(chunk.digest)
            at += chunk.size
        return lacks or (None if at == len(found.data) else lacks)

    def move(self, root: Path, staged: Sequence[Place]) -> None:
        for entry, place in staged:
            target = root / entry.path
            self._folders.setdefault(str(target.parent), {})
            self.rename(place, target)

    def finish(self, root: Path, entries: tuple[FileEntry, ...]) -> None:
        for entry in entries:
            file = self._file_at(root, entry.path)
            file.mode, file.mtime_ns = (entry.mode & 0o777) | 0o400, entry.mtime_ns

    # -- the table ----------------------------------------------------------------------------

    def _tree(self, root: Path) -> list[str]:
        """The files under the root, relative to it, without RelayMD's own."""
        top = str(root)
        if top not in self._folders:
            raise FileNotFoundError(top)
        found: list[str] = []
        for folder, inside in self._folders.items():
            if folder == top:
                found += inside
            elif folder.startswith(top + "/"):
                found += [f"{folder[len(top) + 1 :]}/{name}" for name in inside]
        return [path for path in found if not path.startswith(patterns.OURS)]

    def _new(self, data: bytes) -> File:
        self._inodes += 1
        return File(data, self._inodes)

    def _made(self, path: str) -> File:
        """The file of that path, with the folders that it lies in."""
        folder, _, name = path.rpartition("/")
        files = self._folders.setdefault(folder, {})
        if name not in files:
            files[name] = self._new(b"")
        return files[name]

    def _found(self, path: Path | str) -> File | None:
        folder, _, name = str(path).rpartition("/")
        return self._folders.get(folder, {}).get(name)

    def _file(self, path: Path) -> File:
        found = self._found(path)
        if found is None:
            raise FileNotFoundError(str(path))
        return found

    def _file_at(self, root: Path, path: str) -> File:
        folder, _, name = f"{root}/{path}".rpartition("/")
        return self._folders[folder][name]

    def _work(self, work: Work) -> Work:
        try:
            return WORKS[f"{work.__module__}.{work.__qualname__}"]
        except KeyError:
            name = f"{work.__module__}.{work.__qualname__}"
            text = f"tests/simulation/drive.py does not know {name}: put it into WORKS"
            raise NotImplementedError(text) from None

    _works: ClassVar[dict[Work, Work]] = {}
    """What was looked up already."""


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
    "relaymd.worker.files.tail": ModelDrive.tail,
    "relaymd.worker.files.write_durably": ModelDrive.write_durably,
    "relaymd.worker.snapshot.check": ModelDrive.check,
    "relaymd.worker.snapshot.look": ModelDrive.look,
    "relaymd.worker.snapshot.print_of": ModelDrive.print_of,
    "relaymd.worker.snapshot.take": ModelDrive.take,
}
"""Every piece of work that a worker offloads, by its name, and what does it here."""


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
