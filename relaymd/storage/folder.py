"""A store in a folder of this machine, or of a file system that several machines share.

A put is written beside its place, flushed to the disk, and renamed. A file at the root says
that this is a store: where it is not to be seen, nothing is mounted, and a store that is out of
reach is never taken for an empty one.
"""

import errno
import os
import stat
import uuid
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from relaymd.core.ids import UnixTime
from relaymd.process import Offload
from relaymd.storage.store import (
    MissingObjectError,
    ObjectInfo,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
)

MARKER = ".relaymd-store"
INCOMING = ".relaymd-incoming"
"""Where objects are written before they are renamed to their place."""

ABANDONED = 24 * 3600.0
"""Seconds without a byte after which nobody writes an object any more, by the disk's own clock."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.EFBIG}
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY}
"""For a reader: nothing is there. For a writer: something else is."""


def create(root: Path) -> None:
    """Make the folder a store; one that is already is left as it is. Raises StorageError.

    What dead processes left half written is removed.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        (root / INCOMING).mkdir(exist_ok=True)
        (root / MARKER).touch()
        _sweep(root / INCOMING, (root / MARKER).stat().st_mtime - ABANDONED)
    except OSError as exc:
        raise explained(str(root), exc) from exc


def _sweep(incoming: Path, before: float) -> None:
    for part in incoming.iterdir():
        with suppress(OSError):  # it may be another user's
            if part.stat().st_mtime < before:
                part.unlink()


class FolderStore:
    """Objects as files. Errors of the caller's own files stay OSError: they are not the store's."""

    def __init__(self, root: Path, offload: Offload) -> None:
        self._root = root
        self._offload = offload

    async def put(self, key: str, data: bytes) -> None:
        await self._offload(self._put, self._place(key), key, data)

    async def put_file(self, key: str, path: Path) -> None:
        await self._offload(self._put, self._place(key), key, path)

    async def get(self, key: str) -> bytes:
        return await self._offload(self._get, self._place(key), key)

    async def get_file(self, key: str, path: Path) -> None:
        await self._offload(self._get_file, self._place(key), key, path)

    async def head(self, key: str) -> ObjectInfo | None:
        return await self._offload(self._head, self._place(key), key)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        for info in await self._offload(self._listed, prefix):
            yield info

    async def delete(self, keys: Iterable[str]) -> None:
        places = [(key, self._place(key)) for key in keys]
        await self._offload(self._delete, places)

    async def close(self) -> None:
        """Nothing is held open."""

    def _place(self, key: str) -> Path:
        parts = key.split("/")
        if "\0" in key or key.startswith(".") or any(part in ("", ".", "..") for part in parts):
            raise StorageDeniedError(key, "it is not a key that a store accepts")
        return self._root.joinpath(*parts)

    def _put(self, place: Path, key: str, content: bytes | Path) -> None:
        self._check_root(key)
        part = self._root / INCOMING / uuid.uuid4().hex
        try:
            with self._answering(key, absent=False):
                part.parent.mkdir(exist_ok=True)
                target = open(part, "xb")  # noqa: SIM115 - closed below, in a block of its own errors
            with target:
                self._fill(key, target.fileno(), content)
            with self._answering(key, absent=False):
                _make_folders(place.parent, self._root)
                os.replace(part, place)
                _flush_folder(place.parent)
        except BaseException:
            with suppress(OSError):  # the first error is the one that tells
                part.unlink(missing_ok=True)
            raise

    def _fill(self, key: str, target: int, content: bytes | Path) -> None:
        if isinstance(content, bytes):
            with self._answering(key):
                _write_all(target, content)
        else:
            with open(content, "rb") as source:
                while piece := source.read(1 << 20):
                    with self._answering(key):
                        _write_all(target, piece)
        with self._answering(key):
            os.fsync(target)

    def _get(self, place: Path, key: str) -> bytes:
        with self._answering(key):
            return place.read_bytes()

    def _get_file(self, place: Path, key: str, path: Path) -> None:
        with self._answering(key):
            source = open(place, "rb")  # noqa: SIM115 - closed below, in a block of its own errors
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        with source:
            try:
                with open(part, "xb") as target:
                    while piece := self._read(key, source.fileno()):
                        target.write(piece)
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)

    def _read(self, key: str, source: int) -> bytes:
        with self._answering(key):
            return os.read(source, 1 << 20)

    def _head(self, place: Path, key: str) -> ObjectInfo | None:
        try:
            with self._answering(key):
                return _info(key, place.stat())
        except MissingObjectError:
            return None

    def _listed(self, prefix: str) -> Sequence[ObjectInfo]:
        self._check_root(prefix)
        with self._answering(prefix):
            return [*_walk(self._root, "", prefix)]

    def _delete(self, places: Iterable[tuple[str, Path]]) -> None:
        for key, place in places:
            try:
                with self._answering(key):
                    place.unlink()
            except MissingObjectError:
                continue

    def _check_root(self, key: str) -> None:
        """Prove that the store is there, or raise StorageError."""
        try:
            os.stat(self._root / MARKER)
        except OSError as exc:
            if exc.errno not in _ABSENT:
                raise explained(key, exc) from exc
            reason = f"{self._root} is not there or is no store of RelayMD; is it mounted?"
            raise StorageUnreachableError(key, reason) from None

    @contextmanager
    def _answering(self, key: str, absent: bool = True) -> Generator[None]:
        """Turn errors of the file system into the store's.

        absent: whether a file that is not there is a missing object, and not a lost store.
        """
        try:
            yield
        except OSError as exc:
            if exc.errno not in _ABSENT:
                raise explained(key, exc) from exc
            self._check_root(key)
            if absent:
                raise MissingObjectError(key) from None
            if exc.errno == errno.ENOENT:
                raise StorageUnreachableError(key, f"its place vanished: {exc}") from exc
            raise StorageDeniedError(key, f"its place is taken: {exc.strerror}") from exc


def explained(key: str, exc: OSError) -> StorageError:
    """The store's error for one of the file system, by its number."""
    reason = exc.strerror or type(exc).__name__
    if exc.errno in _FULL:
        return StorageFullError(key, reason)
    if exc.errno in _DENIED:
        return StorageDeniedError(key, reason)
    return StorageUnreachableError(key, reason)


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return ObjectInfo(key=key, size=status.st_size, modified=UnixTime(status.st_mtime))


def _walk(folder: Path, above: str, prefix: str) -> Iterator[ObjectInfo]:
    """What lies under the folder in the order of the keys, where `a-b` precedes `a/b`."""
    entries: dict[str, os.DirEntry[str]] = {}
    for entry in os.scandir(folder):
        if above or not entry.name.startswith("."):
            slash = "/" if entry.is_dir(follow_symlinks=False) else ""
            entries[f"{above}{entry.name}{slash}"] = entry
    for key in sorted(entries):
        try:
            if key.endswith("/") and (key.startswith(prefix) or prefix.startswith(key)):
                yield from _walk(folder / entries[key].name, key, prefix)
            elif not key.endswith("/") and key.startswith(prefix):
                yield _info(key, entries[key].stat())
        except FileNotFoundError:
            continue  # deleted while we looked


def _make_folders(folder: Path, root: Path) -> None:
    """Make the missing folders below the root, each flushed into the one that holds it."""
    if folder == root or folder.is_dir():
        return
    _make_folders(folder.parent, root)
    folder.mkdir(exist_ok=True)
    _flush_folder(folder.parent)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
