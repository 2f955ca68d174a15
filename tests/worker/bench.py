"""One lease's cycles, with a store that is as slow and unwilling as a test wants."""

import asyncio
import dataclasses
import os
import time

import msgspec

from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import Epoch, Generation, JobId, UnixTime
from relaymd.core.specification import Specification, parse
from relaymd.process import Offload
from relaymd.storage.generations import load_manifest
from relaymd.storage.manifest import Manifest
from relaymd.storage.store import (
    StorageError,
    Store,
)
from relaymd.worker.cycle import Cycle
from relaymd.worker.held import Held
from relaymd.worker.place import Place
from relaymd.worker.tools import Room
from tests.storage.passing import PassingStore
from tests.worker.shop import QUICK, Shop

JOB = JobId("j-1")
ROOM = Room()
NOWHERE = Checkpoint(
    generation=Generation(1), epoch=Epoch(1), manifest="x", digest="x", at=UnixTime(1.0)
)
SPEC = parse(
    {"command": "x", "checkpoint_watch_paths": ["*.chk"], "progress_file_path": "progress"}
)


class Grumpy(PassingStore):
    """A store that refuses to take anything while it has a reason to."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.error: StorageError | None = None
        self.refused = 0
        """Puts."""

        self.delay = 0.0
        """Seconds that each put takes."""

    async def put(self, key: str, data: bytes) -> None:
        await asyncio.sleep(self.delay)
        if self.error is not None:
            self.refused += 1
            raise self.error
        await self.inner.put(key, data)


class Bench:
    """One lease with a folder, and no engine: the test writes the files."""

    def __init__(
        self, shop: Shop, spec: Specification = SPEC, *, room: Room = ROOM, void_tries: int = 3
    ) -> None:
        self.shop = shop
        self.room = room
        self.pace = msgspec.structs.replace(QUICK, void_tries=void_tries)
        self.spec = spec
        self.store = Grumpy(shop.store)
        self.held = Held(JOB, Epoch(1))
        self.place = Place(shop.root / "lease")
        self.place.work.mkdir(parents=True)
        shop.desk.epochs[JOB] = Epoch(1)
        self.committed_at_output: list[list[int]] = []
        """What was committed each time the engine's output had to be stored."""

        self.offload: Offload = asyncio.to_thread
        self.cycle = self.new_cycle()

    async def store_output(self) -> None:
        self.committed_at_output.append(self.committed)

    def new_cycle(self, restored: Manifest | None = None, generation: int = 0) -> Cycle:
        tools = self.shop.tools(store=self.store, pace=self.pace)
        tools = dataclasses.replace(tools, room=self.room, offload=self.offload)
        return Cycle(
            tools,
            self.held,
            self.place,
            self.spec,
            restored=restored,
            generation=Generation(generation),
            store_output=self.store_output,
        )

    def write(self, **files: str) -> None:
        """Files by name without their ending, written long ago."""
        for name, text in files.items():
            path = self.place.work / f"{name}.chk"
            fresh = path.with_suffix(".new")
            fresh.write_text(text)
            os.utime(fresh, (time.time() - 60, time.time() - 60))
            fresh.replace(path)

    @property
    def committed(self) -> list[int]:
        return [c.generation for c in self.shop.desk.committed.get(JOB, [])]

    async def manifest(self) -> Manifest:
        return await load_manifest(self.store, JOB, self.shop.desk.committed[JOB][-1])
