"""Results and failure artifacts: plain objects under their own names, and an index of them.

The index is written last: where it is, everything it names is.
"""

import asyncio
import errno
import os
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import msgspec

from relaymd.core.ids import Epoch, JobId
from relaymd.core.strict import decode_json
from relaymd.process import Offload
from relaymd.storage import keys
from relaymd.storage.bundles import digest_of
from relaymd.storage.generations import check_paths
from relaymd.storage.manifest import digest as content_digest
from relaymd.storage.parallel import each
from relaymd.storage.patterns import OURS, match
from relaymd.storage.store import (
    ChangedFileError,
    DamagedObjectError,
    MissingObjectError,
    StorageError,
    Store,
)

FILES_AT_ONCE = 4

_INDEX = re.compile(r"(\d+)\.json")


class IndexEntry(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    """Relative to the job's folder, with `/`."""

    size: int
    digest: str
    """BLAKE3 of the file, in hexadecimal."""

    mode: int = 0o644


class Index(msgspec.Struct, frozen=True, kw_only=True):
    files: tuple[IndexEntry, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


async def upload_tree(
    store: Store,
    tree: str,
    root: Path,
    patterns: Sequence[str],
    *,
    more: Mapping[str, bytes] = MappingProxyType({}),
    offload: Offload = asyncio.to_thread,
) -> Index:
    """Store the files that the patterns mean under the tree's key, and their index.

    more: contents that lie in no file, by the path they are to have; a file there counts instead.
    tree: of `keys.outputs` or `keys.failures`. Raises StorageError, OSError, UnfitNameError,
    and ChangedFileError for a file that is still being written.
    """

    async def send(path: str) -> IndexEntry:
        before = await offload(os.stat, root / path)
        digest = await offload(digest_of, root / path)
        await store.put_file(tree + path, root / path)
        after = await offload(os.stat, root / path)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise ChangedFileError(f"{path} changed while it was stored")
        mode = before.st_mode & 0o777
        return IndexEntry(path=path, size=before.st_size, digest=digest, mode=mode)

    async def send_content(path: str) -> IndexEntry:
        await store.put(tree + path, more[path])
        return IndexEntry(path=path, size=len(more[path]), digest=content_digest(more[path]))

    paths = await offload(match, root, patterns)
    sent = await each(paths, send, at_once=FILES_AT_ONCE)
    index = Index(files=(*sent, *await each(more.keys() - {*paths}, send_content)))
    await store.put(keys.index(tree), msgspec.json.encode(index))
    return index


async def load_index(store: Store, tree: str) -> Index:
    """Raises MissingObjectError where the tree was never stored, or never completely."""
    key = keys.index(tree)
    try:
        index = decode_json(await store.get(key), Index)
    except msgspec.DecodeError as exc:
        raise DamagedObjectError(key, f"it cannot be read: {exc}") from exc
    check_paths(key, [file.path for file in index.files])
    return index


async def fetch_tree(
    store: Store, tree: str, target: Path, *, offload: Offload = asyncio.to_thread
) -> Index:
    """Download a tree into a folder; what is there and right is kept.

    A file comes to its place when it is right, and until then what lies there stays. Raises
    DamagedObjectError for one that is gone or not what was stored.
    """
    index = await load_index(store, tree)
    stage = target / f"{OURS}fetch-{uuid.uuid4().hex}"
    failed: list[Exception] = []

    async def receive(numbered: tuple[int, IndexEntry]) -> None:
        number, file = numbered
        if failed:
            return
        try:
            if not await offload(_is_right, target / file.path, file):
                fresh = stage / str(number)
                await _bring(store, tree, file, fresh, offload)
                await offload(_move, fresh, target / file.path, file.mode)
        except (StorageError, OSError) as exc:
            # The others are not cancelled: a thread would write on while the stage is removed.
            failed.append(exc)

    try:
        await each(enumerate(index.files), receive, at_once=FILES_AT_ONCE)
    finally:
        await offload(shutil.rmtree, stage, ignore_errors=True)
    if failed:
        raise failed[0]
    return index


async def has_files(store: Store, tree: str) -> bool:
    """Whether anything lies under the tree's key, be there an index or none."""
    async for _ in store.list(tree):
        return True
    return False


async def fetch_outputs(
    store: Store,
    job: JobId,
    epoch: Epoch,
    target: Path,
    *,
    offload: Offload = asyncio.to_thread,
) -> Index:
    """Download a job's results, as the lease of this epoch left them."""
    return await fetch_tree(store, keys.outputs(job, epoch), target, offload=offload)


async def last_failure(store: Store, job: JobId) -> Epoch | None:
    """Of the latest lease that left anything about how it failed."""
    top = keys.failures(job)
    names = [info.key.removeprefix(top) async for info in store.list(top)]
    found = [int(index[1]) for name in names if (index := _INDEX.fullmatch(name))]
    return Epoch(max(found)) if found else None


async def _bring(store: Store, tree: str, file: IndexEntry, fresh: Path, offload: Offload) -> None:
    await offload(fresh.parent.mkdir, parents=True, exist_ok=True)
    try:
        await store.get_file(tree + file.path, fresh)
    except MissingObjectError as exc:
        raise DamagedObjectError(exc.key, exc.reason) from exc
    if not await offload(_is_right, fresh, file):
        raise DamagedObjectError(tree + file.path, "its hash differs")


def _move(fresh: Path, place: Path, mode: int) -> None:
    if place.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place))
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh.chmod((mode & 0o777) | 0o400)
    fresh.replace(place)


def _is_right(path: Path, file: IndexEntry) -> bool:
    try:
        return path.stat().st_size == file.size and digest_of(path) == file.digest
    except FileNotFoundError:
        return False
