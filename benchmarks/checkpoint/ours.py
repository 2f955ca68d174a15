"""What a worker does with a checkpoint, without a bus to report it on."""

import asyncio
import random
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec

from relaymd.bus.memory import MemoryBus
from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import Epoch, Generation, InstanceId, JobId, UnixTime, WorkerId
from relaymd.core.specification import parse
from relaymd.storage.generations import put_manifest
from relaymd.storage.manifest import Manifest
from relaymd.storage.restore import fetch_checkpoint
from relaymd.storage.store import Store
from relaymd.worker.engine import Command, Engine
from relaymd.worker.gathering import Gathering
from relaymd.worker.snapshot import UnsettledError, Watched
from relaymd.worker.tools import Identity, Pace, Tools

EVERYTHING = parse({"command": "true", "checkpoint_watch_paths": ["**"]})


class Ours:
    """One lease's checkpoints in a store."""

    def __init__(self, store: Store, job: str, work: Path, place: Path) -> None:
        self._job = JobId(job)
        self._store = store
        self._watched = Watched(root=work, patterns=EVERYTHING.watched)
        self._staging = place / "staging"
        self._gathering = Gathering(
            _tools(store, place), self._job, Epoch(1), EVERYTHING, restored=None
        )
        self._committed: list[Checkpoint] = []
        self.moved = 0
        """Bytes that the latest cycle sent, its manifest included."""

    async def cycle(self) -> None:
        """Store what changed."""
        gathered = None
        while True:
            try:
                gathered = await self._gathering.gather(self._watched, self._staging)
                break
            except UnsettledError:
                await asyncio.sleep(0.02)
        if gathered is None:
            return
        manifest = Manifest(
            job=self._job,
            generation=Generation(len(self._committed) + 1),
            epoch=Epoch(1),
            at=UnixTime(time.time()),
            files=gathered.files,
            packs=gathered.packs,
        )
        self._committed.append(await put_manifest(self._store, manifest))
        self._gathering.keep(gathered)
        self.moved = gathered.uploaded + len(msgspec.json.encode(manifest))

    async def restore(self, target: Path) -> None:
        await fetch_checkpoint(self._store, self._job, self._committed[-1:], target)


def _tools(store: Store, place: Path) -> Tools:
    return Tools(
        me=Identity(worker=WorkerId("w-bench"), instance=InstanceId("i-bench")),
        bus=MemoryBus(),
        store=store,
        folder=place,
        launch=_nothing,
        offload=asyncio.to_thread,
        wall=lambda: UnixTime(time.time()),
        rng=random.Random(1),
        pace=Pace(),
    )


def _nothing(command: Command) -> AbstractAsyncContextManager[Engine]:
    raise NotImplementedError("a benchmark of checkpoints runs no engine")
