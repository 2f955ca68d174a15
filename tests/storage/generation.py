"""Saving a job's folder as a checkpoint generation, as a worker would, in one call."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import Epoch, Generation, JobId, UnixTime
from relaymd.process import Offload
from relaymd.storage import keys
from relaymd.storage.generations import put_manifest
from relaymd.storage.manifest import FileEntry, Manifest
from relaymd.storage.patience import Patience
from relaymd.storage.patterns import match
from relaymd.storage.reading import sources_of
from relaymd.storage.sending import MEMORY
from relaymd.storage.store import Store
from relaymd.storage.stored import Stored
from relaymd.storage.upload import UploadResult, upload

P = ParamSpec("P")
T = TypeVar("T")

JOB = JobId("j-test")
HURRIED = Patience(within=0.0, jitter=lambda: 0.0)


async def in_place(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """An Offload without threads, for tests that do a thing hundreds of times."""
    await asyncio.sleep(0)
    return work(*args, **kwargs)


async def send(
    store: Store,
    root: Path,
    paths: Sequence[str],
    *,
    stored: Stored | None = None,
    before: Sequence[FileEntry] = (),
    offload: Offload = asyncio.to_thread,
    epoch: int = 1,
    memory: int = MEMORY,
) -> UploadResult:
    """Upload files that nobody writes."""
    return await upload(
        store,
        JOB,
        Epoch(epoch),
        sources_of(root, paths),
        stored=stored if stored is not None else Stored(),
        before={entry.path: entry for entry in before},
        memory=memory,
        offload=offload,
    )


def objects(manifest: Manifest) -> set[str]:
    """The keys of all objects that a generation needs beside its manifest."""
    held = {member.digest for pack in manifest.packs for member in pack.members}
    alone = {c.digest for file in manifest.files for c in file.chunks if c.digest not in held}
    packs = {keys.pack(manifest.job, pack.epoch, pack.round, pack.name) for pack in manifest.packs}
    return packs | {keys.chunk(manifest.job, digest) for digest in alone}


async def save(
    store: Store, root: Path, generation: int, stored: Stored | None = None
) -> Checkpoint:
    stored = stored if stored is not None else Stored()
    result = await send(store, root, match(root, ["**"]), stored=stored, offload=in_place)
    manifest = Manifest(
        job=JOB,
        generation=Generation(generation),
        epoch=Epoch(1),
        at=UnixTime(1.0 * generation),
        files=result.files,
        packs=stored.packs_of(result.files),
    )
    size = sum(file.size for file in result.files)
    return await put_manifest(store, manifest, size=size, uploaded=result.uploaded)


def tree(root: Path) -> dict[str, tuple[bytes, int, int]]:
    """Content, mode and time of every file."""
    return {
        path: (
            (root / path).read_bytes(),
            (root / path).stat().st_mode & 0o777,
            (root / path).stat().st_mtime_ns,
        )
        for path in match(root, ["**"])
    }


def write(root: Path, files: dict[str, bytes]) -> Path:
    """Make the folder hold exactly these files."""
    shutil.rmtree(root, ignore_errors=True)
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root
