"""How long an idle worker takes to start a submitted job.

First the control plane alone: from the sending of a submit to the assignment in the hands of a
simulated worker, turn about with a bare echo over the same bus. Both the job and the lease are
on disk by then. Then a whole stack, as `relaymd up` starts it, with one real worker and the
folder store, seen by a follower of the events `started` (the worker confirmed its lease) and
`launched` (the engine runs), so with the way of the event through the stream.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import msgspec

from benchmarks import bare
from benchmarks.crowd import crowd
from benchmarks.rig import bare_part, plane, submit
from benchmarks.rows import Row, Rows, Setting, at_most, median, p99
from examples.demo.stack import Stack, running
from relaymd.bus import contract
from relaymd.bus.bus import Bus
from relaymd.bus.client import connect
from relaymd.bus.facts import JobChanged
from relaymd.bus.journal import NatsJournal
from relaymd.bus.operating import Submit
from relaymd.bus.remote import NatsBus
from relaymd.connection import Role, read_connection, read_credentials
from relaymd.core.ids import JobId, token
from relaymd.core.job import Bundle
from relaymd.storage import bundles, keys
from relaymd.storage.open import open_store
from relaymd.storage.store import Store

PAUSE = 0.1
"""Seconds after a job's end in which its worker becomes idle again."""

LONGEST = 60.0
"""Seconds after which something is wrong."""

SPECIFICATION = b'{"command": ["true"]}'


class Times(msgspec.Struct, frozen=True):
    """Milliseconds after the acknowledged submit."""

    started: float
    launched: float


class Bench:
    """Submits jobs over a bus and sees their events come."""

    def __init__(self, bus: Bus, store: Store, packed: bundles.Packed) -> None:
        self._bus = bus
        self._store = store
        self._packed = packed

    async def one(self, events: AsyncGenerator[tuple[str, bytes]]) -> Times:
        """One job, from submit to completion, when nothing else runs."""
        wanted = await self.uploaded()
        await self._bus.ask(contract.SUBMIT, wanted)
        acknowledged = time.perf_counter()
        came: dict[str, float] = {}
        async for _, body in events:
            at = time.perf_counter()
            change = msgspec.json.decode(body, type=JobChanged)
            if change.job != wanted.job:
                continue
            came[change.kind] = (at - acknowledged) * 1000
            if change.state.is_final:
                break
        return Times(came["started"], came["launched"])

    async def submit(self, wanted: Submit) -> None:
        await self._bus.ask(contract.SUBMIT, wanted)

    async def uploaded(self) -> Submit:
        job, packed = JobId(token("j", secrets.token_bytes(8))), self._packed
        await self._store.put_file(keys.bundle(job), packed.path)
        bundle = Bundle(key=keys.bundle(job), digest=packed.digest, size=packed.size)
        return Submit(job=job, title="bench", bundle=bundle)


async def starts(state: Path, scratch: Path, count: int) -> list[Times]:
    """The first job starts the worker and is not counted."""
    async with (
        operator(state) as bus,
        open_store(read_connection(state).storage, state) as store,
        asyncio.timeout(LONGEST + count),
    ):
        bench = Bench(bus, store, packed_bundle(scratch))
        journal = NatsJournal(bus)
        follow = journal.follow(subject=contract.JOB_CHANGED.template.partition("{")[0] + ">")
        async with aclosing(follow) as events:
            found: list[Times] = []
            for _ in range(count + 1):
                found.append(await bench.one(events))
                await asyncio.sleep(PAUSE)
    return found[1:]


def packed_bundle(scratch: Path) -> bundles.Packed:
    """A bundle that holds nothing but its specification."""
    folder = scratch / "bundle"
    folder.mkdir()
    (folder / "relaymd-worker.json").write_bytes(SPECIFICATION)
    return bundles.pack(folder, scratch / "bundle.tar.gz")


@asynccontextmanager
async def operator(state: Path) -> AsyncGenerator[NatsBus]:
    url, password = _access(state, Role.OPERATOR)
    async with connect(url, role=Role.OPERATOR, password=password, name="relaymd-bench") as bus:
        yield bus


def _access(state: Path, role: Role) -> tuple[str, str]:
    return read_connection(state).nats_url, read_credentials(state).passwords[role]


async def measure(setting: Setting) -> Rows:
    count = setting.of(20, 100)
    given, bare = await assignments(setting.scratch, 10 * count)
    async with running(Stack(setting.scratch / "stack"), setting.scratch / "stack") as stack:
        times = await starts(stack.state, setting.scratch, count)
    what = "submit sent to job in an idle worker's hands, both durable"
    beside = "bare NATS request"
    return [
        Row(
            what=f"{what}, p50",
            figure=median(given),
            unit="ms",
            aim=at_most(5),
            beside=median(bare),
            beside_what=beside,
            ratio_aim=at_most(15),
        ),
        Row(
            what=f"{what}, p99",
            figure=p99(given),
            unit="ms",
            aim=at_most(20),
            beside=median(bare),
            beside_what=beside,
            ratio_aim=at_most(60),
        ),
        Row(
            what="submit answered to lease confirmed, as a follower of events sees it, p50",
            figure=median([one.started for one in times]),
            unit="ms",
        ),
        Row(
            what="submit answered to engine runs, as a follower of events sees it, p50",
            figure=median([one.launched for one in times]),
            unit="ms",
        ),
    ]


async def assignments(scratch: Path, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds from a submit to its assignment, and of a bare echo, turn about.

    One simulated worker whose question for work is open, one operator, the real orchestrator.
    """
    found: list[float] = []
    bare_ones: list[float] = []
    async with (
        plane(scratch) as there,
        bare_part(there, "echo"),
        crowd(there.url, there.worker_password, ["w-1"]) as (worker,),
    ):
        operator = await there.operator()
        await worker.register()
        echo = bare.ECHO.format(worker=worker.id)
        for _ in range(count):
            begin = time.perf_counter()
            await worker.line.ask(echo, b"{}")
            bare_ones.append((time.perf_counter() - begin) * 1000)
            async with asyncio.TaskGroup() as group:
                asked = group.create_task(worker.work(LONGEST))
                await worker.beat()  # so that the question is there
                begin = time.perf_counter()
                group.create_task(submit(operator, 1))
                work = await asked
                found.append((time.perf_counter() - begin) * 1000)
            assert work is not None, "no assignment came"
            await worker.complete(work)
    return found, bare_ones
