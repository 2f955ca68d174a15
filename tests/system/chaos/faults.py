"""What is done to a running stack: each fault once, at a place and for a time drawn by a seed."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from relaymd.bus.operating import WorkerView
from relaymd.core.ids import JobId
from tests.system.chaos.clocks import Clock
from tests.system.chaos.facts import Facts
from tests.system.chaos.gate import Gate
from tests.system.disks import SmallDisk
from tests.system.stack import Stack
from tests.system.trouble import Mood, TroubledS3

PERIOD, DEATHS = 75.0, 4
"""Deaths of one part in so many seconds: beyond 5 a minute `up` gives up."""


@dataclass(frozen=True)
class Struck:
    """One fault that took place."""

    kind: str
    at: float
    """Unix time at which it began, or, of a store, at which it was over."""

    jobs: tuple[JobId, ...] = ()
    """Those whose worker it hit."""

    recovered: float | None = None
    """Seconds, where it was measured on the spot."""


@dataclass
class Target:
    """Everything that can be hurt."""

    stack: Stack
    store: TroubledS3
    gate: Gate
    disk: SmallDisk
    facts: Facts
    rng: random.Random
    clocks: Sequence[Clock] = ()
    """Of the login node and of the far workers."""

    struck: list[Struck] = field(default_factory=list[Struck])
    deaths: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def note(self, kind: str, jobs: tuple[JobId, ...] = (), recovered: float | None = None) -> None:
        self.struck.append(Struck(kind, time.time(), jobs, recovered))


Fault = Callable[[Target], Awaitable[None]]


async def _some_worker(target: Target) -> WorkerView | None:
    """Preferably one that has something to lose."""
    views = await target.facts.workers()
    busy = [view for view in views if view.jobs]
    return target.rng.choice(busy or views) if views else None


async def _signal_worker(target: Target, number: signal.Signals) -> WorkerView | None:
    view = await _some_worker(target)
    if view is None:
        return None
    try:
        os.kill(view.worker.pid, number)
    except ProcessLookupError:
        return None
    target.note(f"{number.name} worker", view.jobs)
    return view


async def kill_worker(target: Target) -> None:
    await _signal_worker(target, signal.SIGKILL)


async def drain_worker(target: Target) -> None:
    await _signal_worker(target, signal.SIGTERM)


async def freeze_worker(target: Target) -> None:
    seconds = target.rng.uniform(1, 9)
    view = await _signal_worker(target, signal.SIGSTOP)
    if view is None:
        return
    try:
        await asyncio.sleep(seconds)
    finally:
        with suppress(ProcessLookupError):
            os.kill(view.worker.pid, signal.SIGCONT)


async def _kill_part(target: Target, name: str, kind: str) -> bool:
    now = time.monotonic()
    recent = [death for death in target.deaths.get(name, []) if now - death < PERIOD]
    pids = target.stack.children(name)
    if len(recent) >= DEATHS or not pids:
        return False
    target.deaths[name] = [*recent, now]
    with suppress(ProcessLookupError):
        os.kill(pids[0], signal.SIGKILL)
    target.note(kind, recovered=await target.facts.answered_within())
    return True


async def kill_orchestrator(target: Target) -> None:
    await _kill_part(target, "relaymd.actors", "SIGKILL orchestrator")


async def kill_server(target: Target) -> None:
    await _kill_part(target, "nats-server", "SIGKILL nats-server")


async def kill_bridge(target: Target) -> None:
    await _kill_part(target, "relaymd.web", "SIGKILL bridge")


async def trouble_store(target: Target) -> None:
    store, rng = target.store, target.rng
    mood = rng.choice([mood for mood in Mood if mood is not Mood.WELL])
    rate, seconds = rng.choice([0.3, 0.7, 1.0]), rng.uniform(1, 7)
    if store.mood is not Mood.WELL:
        return
    store.mood, store.rate = mood, rate
    try:
        await asyncio.sleep(seconds)
    finally:
        store.mood = Mood.WELL
    target.note(f"store: {mood}")


async def partition(target: Target) -> None:
    seconds = target.rng.uniform(1, 9)
    jobs = [
        job
        for view in await target.facts.workers()
        if view.worker.cluster == "far"
        for job in view.jobs
    ]
    target.gate.shut()
    target.note("partition", tuple(jobs))
    try:
        await asyncio.sleep(seconds)
    finally:
        target.gate.open()


async def fill_disk(target: Target) -> None:
    seconds = target.rng.uniform(0.5, 4)
    target.disk.fill()
    target.note("full disk")
    try:
        await asyncio.sleep(seconds)
    finally:
        target.disk.free()


async def step_clock(target: Target) -> None:
    """Forth or back, and it stays wrong until the next step: less than S3 takes offence at."""
    target.rng.choice(target.clocks).step(target.rng.uniform(-600, 600))
    target.note("clock step", recovered=await target.facts.answered_within())


FAULTS: Mapping[Fault, int] = {
    kill_worker: 5,
    freeze_worker: 4,
    drain_worker: 3,
    kill_orchestrator: 2,
    kill_server: 2,
    kill_bridge: 1,
    trouble_store: 3,
    partition: 2,
    fill_disk: 2,
    step_clock: 2,
}
"""With how often each is drawn."""


async def strike(target: Target, seconds: float, only: Collection[str] = ()) -> None:
    """One fault after the other, some of them while others last. All is well when this returns.

    only: the names of those that are drawn; none: all of them.
    """
    end = time.monotonic() + seconds
    drawn = {fault: weight for fault, weight in FAULTS.items() if not only or _name(fault) in only}
    assert drawn, f"no fault is named {', '.join(only)}; there are {', '.join(map(_name, FAULTS))}"
    faults, weights = [*drawn], [*drawn.values()]
    async with asyncio.TaskGroup() as lasting:
        while time.monotonic() < end:
            (fault,) = target.rng.choices(faults, weights)
            lasting.create_task(_strike(fault, target))
            await asyncio.sleep(target.rng.uniform(0.5, 3.0))


def _name(fault: Fault) -> str:
    return getattr(fault, "__name__", "")


async def _strike(fault: Fault, target: Target) -> None:
    await fault(target)
