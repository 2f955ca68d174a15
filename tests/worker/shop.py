"""A worker at work in a test: real store, real engines, a bus in memory, a strict desk."""

import asyncio
import hashlib
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from relaymd.bus.bus import Bus
from relaymd.bus.memory import MemoryBus
from relaymd.core.ids import InstanceId, JobId, UnixTime, WorkerId
from relaymd.core.job import Bundle
from relaymd.core.specification import Specification, parse
from relaymd.storage import folder, keys
from relaymd.storage.bundles import pack
from relaymd.storage.folder import FolderStore
from relaymd.storage.restore import fetch_checkpoint
from relaymd.storage.store import Store
from relaymd.worker.engine import Launch
from relaymd.worker.gauge import UNMEASURED, Machine
from relaymd.worker.guardians import Guardians, guardians
from relaymd.worker.tools import Identity, Pace, Tools
from relaymd.worker.worker import Worker
from tests.worker.desk import Desk

FAKE_ENGINE = Path(__file__).parents[1] / "engines" / "fake_engine.py"

QUICK = Pace(
    checkpoint_every=0.3,
    drain_longest=8.0,
    alone_longest=30.0,
    idle_longest=30.0,
    ask_wait=5.0,
    retry_first=0.02,
    retry_longest=0.1,
    storage_longest=0.5,
    settle=0.15,
    look=0.05,
    void_tries=40,
    publish_every=0.05,
    piece_every=0.2,
    term_grace=0.5,
    leave_within=1.5,
)

WATCHED = {"checkpoint_watch_paths": ["state.json", "ledger.txt"], "progress_file_path": "progress"}


class Shop:
    """One desk, one store, and as many workers as a test starts."""

    def __init__(self, root: Path, bus: Bus, engines: Guardians) -> None:
        self.root = root
        self.bus = bus
        self._engines = engines
        self.desk = Desk(self.bus)
        folder.create(root / "store")
        self.store: Store = FolderStore(root / "store", asyncio.to_thread)
        self.wall = UnixTime(1_000_000.0)
        self._bundles: dict[JobId, Bundle] = {}

    def tools(
        self,
        name: str = "w-1",
        *,
        pace: Pace = QUICK,
        store: Store | None = None,
        launch: Launch | None = None,
        environment: Mapping[str, str] | None = None,
        machine: Machine = UNMEASURED,
        **identity: Any,
    ) -> Tools:
        me = Identity(worker=WorkerId(name), instance=InstanceId(f"i-{name}"), **identity)
        home = self.root / "workers" / name
        home.mkdir(parents=True, exist_ok=True)
        return Tools(
            me=me,
            bus=self.bus,
            store=store or self.store,
            folder=home,
            launch=launch or self._engines.launch,
            offload=asyncio.to_thread,
            wall=lambda: self.wall,
            rng=Random(7),
            pace=pace,
            environment=dict(environment or {"PATH": "/usr/bin:/bin"}),
            machine=machine,
        )

    @asynccontextmanager
    async def worker(self, tools: Tools | None = None) -> AsyncGenerator["Running"]:
        """A worker that runs during the block, and is hurried away at its end."""
        worker = Worker(tools or self.tools())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(worker.run())
            try:
                yield Running(worker, task)
            finally:
                worker.drain("the test is over")
                worker.hurry("the test is over")
                await asyncio.wait({task}, timeout=20)
                task.cancel()

    async def submit(
        self, *options: str, job: str = "j-1", spec: Mapping[str, Any] | None = None
    ) -> JobId:
        """Put a job of the fake engine in the queue."""
        command = [sys.executable, str(FAKE_ENGINE), *options]
        return await self.submit_command(command, job=job, spec={**WATCHED, **(spec or {})})

    async def submit_command(
        self, command: str | Sequence[str], *, job: str = "j-1", spec: Mapping[str, Any]
    ) -> JobId:
        document = parse({"command": command, **spec})
        bundle = await self.upload(JobId(job), document)
        self.desk.submit(JobId(job), bundle)
        return JobId(job)

    async def upload(self, job: JobId, spec: Specification) -> Bundle:
        source = self.root / "bundles" / job
        source.mkdir(parents=True, exist_ok=True)
        (source / "relaymd-worker.json").write_bytes(msgspec.json.encode(spec))
        packed = pack(source, self.root / "bundles" / f"{job}.tar.gz")
        key = keys.bundle(job)
        await self.store.put_file(key, packed.path)
        self._bundles[job] = Bundle(key=key, digest=packed.digest, size=packed.size)
        return self._bundles[job]

    def resubmit(self, job: JobId) -> None:
        """What a requeue does: the same job, from where it was committed."""
        self.desk.submit(job, self._bundles[job])

    async def restored(self, job: JobId, index: int = -1) -> Path:
        """One committed generation, downloaded."""
        target = (
            self.root / "restored" / f"{job}-{hashlib.sha256(str(index).encode()).hexdigest()[:4]}"
        )
        await fetch_checkpoint(self.store, job, [self.desk.committed[job][index]], target)
        return target


class Running:
    def __init__(self, worker: Worker, task: asyncio.Task[bool]) -> None:
        self.worker = worker
        self._task = task

    async def left(self, within: float = 15.0) -> bool:
        """Wait until the worker has left; whether it could say everything."""
        async with asyncio.timeout(within):
            return await asyncio.shield(self._task)


@asynccontextmanager
async def opened(root: Path, bus: Bus | None = None) -> AsyncGenerator[Shop]:
    """bus: of the orchestrator; None: one in memory, for workers too."""
    async with guardians() as engines:
        shop = Shop(root, bus or MemoryBus(), engines)
        async with shop.desk.open():
            yield shop
