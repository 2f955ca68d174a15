"""Bringing a checkpoint back: all of a generation, verified, or nothing of it.

Files are made in a folder of their own and moved to their places when every one of them is
right, so a damaged generation leaves no trace that could mix with the elder one. What lies in
that folder is looked at again by the next attempt, and only what is not right there travels.
"""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

import msgspec

from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import Generation, JobId
from relaymd.process import Offload
from relaymd.storage import keys
from relaymd.storage.generations import load_manifest
from relaymd.storage.manifest import FileEntry, Manifest
from relaymd.storage.parallel import each
from relaymd.storage.patience import Heard, Patience, retrying
from relaymd.storage.patterns import OURS
from relaymd.storage.pieces import Fetch, Place, fetches, lacking, take_in, wrong
from relaymd.storage.sending import MEMORY, at_once
from relaymd.storage.store import DamagedObjectError, MissingObjectError, Store

T = TypeVar("T")

GROUP = 64
"""Files that are looked at in one go."""

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
    memory: int = MEMORY,
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
            await restore(store, manifest, root, memory=memory, offload=offload)
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
    store: Store,
    manifest: Manifest,
    root: Path,
    *,
    memory: int = MEMORY,
    offload: Offload = asyncio.to_thread,
) -> int:
    """Put every file of the manifest under the root, and return the bytes that had to travel.

    Files that are there and right are kept; files the manifest does not name are left alone.
    Raises DamagedObjectError, with the key, for a chunk that is gone or not what it was; then
    nothing has changed under the root. After any other error the next call goes on from there.
    memory: bytes that may be held at a time.
    """
    stage = root / STAGE
    await offload(stage.mkdir, parents=True, exist_ok=True)
    name = f"{manifest.generation}-{manifest.epoch}"
    places = [(file, stage / f"{name}-{index}") for index, file in enumerate(manifest.files)]

    staged = await _in_groups(places, lambda group: offload(wrong, root, group))
    try:
        travelled = await _download(store, manifest, staged, memory, offload)
        await offload(_move, root, staged)
    except DamagedObjectError:
        await offload(shutil.rmtree, stage, ignore_errors=True)
        raise
    await offload(_finish, root, manifest.files)
    await offload(shutil.rmtree, stage, ignore_errors=True)
    return travelled


async def fetch_checkpoint(
    store: Store,
    job: JobId,
    checkpoints: Sequence[Checkpoint],
    target: Path,
    *,
    memory: int = MEMORY,
    offload: Offload = asyncio.to_thread,
) -> Restored:
    """As `restore_newest`, for a person, who can try again. Raises StorageError, OSError."""
    once = Patience(within=0.0, jitter=lambda: 0.0)
    return await restore_newest(
        store, job, checkpoints, target, patience=once, memory=memory, offload=offload
    )


async def _download(
    store: Store, manifest: Manifest, staged: Sequence[Place], memory: int, offload: Offload
) -> int:
    """Make the files at their waiting places, each object asked for once."""
    wanted = {*await _in_groups(staged, lambda group: offload(lacking, group))}

    async def bring(fetch: Fetch) -> int:
        try:
            data = await store.get(fetch.key)
            if await offload(take_in, fetch, data):
                data = await store.get(fetch.key)  # what was damaged may have been the way here
                if fault := await offload(take_in, fetch, data):
                    raise DamagedObjectError(fetch.key, fault)
        except MissingObjectError as exc:
            raise DamagedObjectError(fetch.key, exc.reason) from exc
        return len(data)

    return sum(await each(fetches(manifest, staged, wanted), bring, at_once=at_once(memory)))


async def _in_groups(
    places: Sequence[Place], work: Callable[[Sequence[Place]], Awaitable[Iterable[T]]]
) -> list[T]:
    """The work on many files at a time, for most are small."""
    groups = [places[at : at + GROUP] for at in range(0, len(places), GROUP)]
    return [found for group in await each(groups, work) for found in group]


def _move(root: Path, staged: Sequence[Place]) -> None:
    inside = root.resolve()
    for file, _ in staged:
        if not (root / file.path).parent.resolve().is_relative_to(inside):
            raise DamagedObjectError(file.path, "a link leads its place out of the job's folder")
        above = (root / parent for parent in PurePosixPath(file.path).parents)
        if (root / file.path).is_dir() or any(one.is_file() for one in above):
            raise DamagedObjectError(file.path, "its place in the job's folder is taken")
    for file, place in staged:
        target = root / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(place, target)


def _finish(root: Path, files: Sequence[FileEntry]) -> None:
    for file in files:
        os.chmod(root / file.path, (file.mode & 0o777) | 0o400)
        os.utime(root / file.path, ns=(file.mtime_ns, file.mtime_ns))
