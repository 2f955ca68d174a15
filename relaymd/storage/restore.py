"""Bringing a checkpoint back: all of a generation, verified, or nothing of it.

Files are made in a folder of their own and moved to their places when every one of them is
right, so a damaged generation leaves no trace that could mix with the elder one.
"""

import asyncio
import os
import shutil
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import msgspec

from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import Generation, JobId
from relaymd.process import Offload
from relaymd.storage import keys
from relaymd.storage.generations import load_manifest
from relaymd.storage.manifest import Chunk, FileEntry, Manifest, digest
from relaymd.storage.parallel import AT_ONCE, each
from relaymd.storage.patience import Heard, Patience, retrying
from relaymd.storage.patterns import OURS
from relaymd.storage.store import DamagedObjectError, MissingObjectError, Store

STAGE = f"{OURS}restore"
"""The folder, in the job's, where files wait until all are right."""


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    generation: Generation
    manifest: Manifest
    """Its chunks were all read: they are certainly stored."""

    notes: tuple[str, ...] = ()
    """Why newer generations were passed over, one sentence each; none in the good case."""


async def restore_newest(
    store: Store,
    job: JobId,
    checkpoints: Sequence[Checkpoint],
    root: Path,
    *,
    patience: Patience,
    offload: Offload = asyncio.to_thread,
    heard: Heard | None = None,
) -> Restored:
    """Restore the newest generation that is whole.

    checkpoints: committed generations, newest last, at least one.
    Damage leads to the elder one. A store that is out of reach or denies us never does: that
    error is raised when patience ends. Raises DamagedObjectError when none is whole, because
    nobody but a person may decide to start from nothing. OSError: this machine's disk.
    """
    notes: list[str] = []
    for checkpoint in reversed(checkpoints):

        async def attempt(checkpoint: Checkpoint = checkpoint) -> Manifest:
            manifest = await load_manifest(store, job, checkpoint)
            await restore(store, manifest, root, offload=offload)
            return manifest

        try:
            manifest = await retrying(attempt, patience, heard=heard)
        except DamagedObjectError as exc:
            notes.append(f"generation {checkpoint.generation} is damaged: {exc}")
            continue
        return Restored(generation=manifest.generation, manifest=manifest, notes=tuple(notes))
    if not notes:
        raise ValueError("there is no generation to restore")
    raise DamagedObjectError(keys.job(job), "no generation is whole: " + "; ".join(notes))


async def restore(
    store: Store, manifest: Manifest, root: Path, *, offload: Offload = asyncio.to_thread
) -> int:
    """Put every file of the manifest under the root, and return the bytes that had to travel.

    Files that are there and right are kept; files the manifest does not name are left alone.
    Raises DamagedObjectError, with the key, for a chunk that is gone or not what it was; then
    nothing has changed under the root. After any other error the next call goes on from there.
    """
    stage = root / STAGE
    await offload(stage.mkdir, parents=True, exist_ok=True)
    work = _Restore(store, manifest.job, root, offload)
    name = f"{manifest.generation}-{manifest.epoch}"
    places = [(file, stage / f"{name}-{index}") for index, file in enumerate(manifest.files)]
    try:
        staged = await each(places, work.stage)
        await offload(_move, root, [place for place in staged if place is not None])
    except DamagedObjectError:
        await offload(shutil.rmtree, stage, ignore_errors=True)
        raise
    await offload(_finish, root, manifest.files)
    await offload(shutil.rmtree, stage, ignore_errors=True)
    return work.travelled


async def fetch_checkpoint(
    store: Store,
    job: JobId,
    checkpoint: Checkpoint,
    target: Path,
    *,
    offload: Offload = asyncio.to_thread,
) -> Manifest:
    """Download one generation into a folder, for a person. Raises StorageError, OSError."""
    manifest = await load_manifest(store, job, checkpoint)
    await restore(store, manifest, target, offload=offload)
    return manifest


class _Restore:
    def __init__(self, store: Store, job: JobId, root: Path, offload: Offload) -> None:
        self._store = store
        self._job = job
        self._root = root
        self._offload = offload
        self._slots = asyncio.Semaphore(AT_ONCE)
        """Each holds one chunk in memory."""

        self.travelled = 0

    async def stage(self, file_and_place: tuple[FileEntry, Path]) -> tuple[FileEntry, Path] | None:
        """Make the file at its waiting place; None where it is right already at its own."""
        file, place = file_and_place
        if await self._offload(_is_right, self._root / file.path, file):
            return None
        if not await self._offload(_is_right, place, file):
            await self._download(file, place)
        return file, place

    async def _download(self, file: FileEntry, place: Path) -> None:
        await self._offload(_make, place, file.size)
        starts = accumulate((chunk.size for chunk in file.chunks), initial=0)

        async def write(piece: tuple[int, Chunk]) -> None:
            async with self._slots:
                data = await self._chunk(piece[1])
                await self._offload(_write, place, data, piece[0])

        await each(zip(starts, file.chunks, strict=False), write)

    async def _chunk(self, chunk: Chunk) -> bytes:
        key = keys.chunk(self._job, chunk.digest)
        try:
            data = await self._store.get(key)
            if await self._offload(digest, data) != chunk.digest:
                data = await self._store.get(key)  # what was damaged may have been the way here
        except MissingObjectError as exc:
            raise DamagedObjectError(key, exc.reason) from exc
        self.travelled += len(data)
        if len(data) != chunk.size:
            raise DamagedObjectError(key, f"it has {len(data)} of {chunk.size} bytes")
        if await self._offload(digest, data) != chunk.digest:
            raise DamagedObjectError(key, "its hash is not the one it is called by")
        return data


def _is_right(path: Path, file: FileEntry) -> bool:
    try:
        if path.is_symlink() or path.stat().st_size != file.size:
            return False
        with open(path, "rb") as content:
            return all(digest(content.read(chunk.size)) == chunk.digest for chunk in file.chunks)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False


def _make(path: Path, size: int) -> None:
    with open(path, "wb") as file:
        file.truncate(size)


def _write(path: Path, data: bytes, offset: int) -> None:
    # Opened anew for each chunk: a thread that outlives the cancelled task that waited for it
    # must not find its descriptor in use for another file.
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def _move(root: Path, staged: Sequence[tuple[FileEntry, Path]]) -> None:
    inside = root.resolve()
    for file, _ in staged:
        if not (root / file.path).parent.resolve().is_relative_to(inside):
            raise DamagedObjectError(file.path, "a link leads its place out of the job's folder")
    for file, place in staged:
        target = root / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(place, target)


def _finish(root: Path, files: Sequence[FileEntry]) -> None:
    for file in files:
        os.chmod(root / file.path, (file.mode & 0o777) | 0o400)
        os.utime(root / file.path, ns=(file.mtime_ns, file.mtime_ns))
