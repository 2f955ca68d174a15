"""Saving a job's folder as a checkpoint generation, as a worker would, in one call."""

import asyncio
import shutil
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import ParamSpec, TypeVar

from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import Epoch, Generation, JobId, UnixTime
from relaymd.storage.generations import put_manifest
from relaymd.storage.manifest import Manifest
from relaymd.storage.patience import Patience
from relaymd.storage.patterns import match
from relaymd.storage.store import Store
from relaymd.storage.upload import upload

P = ParamSpec("P")
T = TypeVar("T")

JOB = JobId("j-test")
HURRIED = Patience(within=0.0, jitter=lambda: 0.0)


async def in_place(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """An Offload without threads, for tests that do a thing hundreds of times."""
    await asyncio.sleep(0)
    return work(*args, **kwargs)


async def save(
    store: Store, root: Path, generation: int, *, known: AbstractSet[str] = frozenset()
) -> Checkpoint:
    result = await upload(store, JOB, root, match(root, ["**"]), known=known, offload=in_place)
    manifest = Manifest(
        job=JOB,
        generation=Generation(generation),
        epoch=Epoch(1),
        at=UnixTime(1.0 * generation),
        files=result.files,
    )
    return await put_manifest(store, manifest, size=result.size, uploaded=result.uploaded)


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
