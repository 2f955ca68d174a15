"""Peers that are wrong, impatient or malicious: garbage, well-typed lies, storms of wishes."""

import asyncio
from random import Random
from typing import Any

import msgspec

from relaymd.bus import contract
from relaymd.bus.bus import BusError
from relaymd.bus.codec import encode, subject_of
from relaymd.bus.memory import MemoryBus
from relaymd.bus.operating import CancelJob, DrainWorker, RequeueJob
from relaymd.bus.subjects import Request
from relaymd.core.ids import Epoch, JobId
from tests.bus.samples import requests, samples
from tests.simulation.world import World

ROWS = [row for _, row in sorted(requests().items()) if row is not contract.WIND_DOWN]
SAMPLES = {row.template: samples(row.carries) for row in ROWS}
REPORTS = (
    contract.START,
    contract.COMPLETE,
    contract.HANDOFF,
    contract.CANCELLED,
    contract.DRAINING,
)
WORDS = ["", "x", "../..", "*", ">", "\ud7ff\n", "w1", "j-0", "9" * 400]
NUMBERS = [-1, 0, 1, 2**31, 2**63 - 1, -(2**63), 1e308, -0.0]


def _ask(world: World, subject: str, body: bytes) -> None:
    world.broker.request("stranger", subject, body, lambda reply: None)


async def speak_garbage(world: World, rng: Random) -> None:
    """Bytes on every subject, from far off to nearly right."""
    for row in ROWS:
        subject = row.pattern.replace("*", rng.choice(["w1", "w2", "j-0", "text-1"]))
        right = msgspec.json.encode(rng.choice(SAMPLES[row.template]))
        cut = right[: rng.randrange(len(right) + 1)]
        deep = b"[" * rng.choice([10, 5000])
        body = rng.choice([b"", cut, deep, rng.randbytes(rng.randrange(60)), b'{"job":1e999}'])
        _ask(world, subject, body)
        await asyncio.sleep(rng.uniform(0.0, 0.05))


async def lie_well_typed(world: World, rng: Random) -> None:
    """Messages that decode, about what does not exist or with absurd values, on every subject."""
    for row in ROWS:
        if row in (contract.DRAIN, contract.DRAIN_WORKER, contract.CANCEL, contract.REQUEUE):
            continue  # these are wishes that anybody with the right may have: no lies
        value = _twisted(rng.choice(SAMPLES[row.template]), rng)
        if row is contract.SUBMIT:
            value["job"] = "text-1"  # who takes another's id before him has it, rightly
        try:
            message = msgspec.convert(value, row.carries)
            _ask(world, subject_of(row, message), encode(message))
        except (msgspec.ValidationError, BusError, OverflowError):
            continue
        await asyncio.sleep(rng.uniform(0.0, 0.05))


def _twisted(value: Any, rng: Random) -> Any:
    """The same with some leaves that nobody would expect."""
    if isinstance(value, dict):
        return {name: _twisted(inner, rng) for name, inner in value.items()}  # pyright: ignore[reportUnknownVariableType] - any JSON
    if isinstance(value, list):
        return [_twisted(inner, rng) for inner in value] * rng.choice([0, 1, 3])  # pyright: ignore[reportUnknownVariableType] - any JSON
    if rng.random() < 0.6 or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return rng.choice(WORDS)
    return rng.choice(NUMBERS)


async def speak_for_the_dead(world: World, rng: Random) -> None:
    """Reports under leases that are over, or never were, in the names of those who held them."""
    for id in sorted(world.disk.jobs):
        job = world.disk.jobs[id]  # as it is now: a lease that lives is another's to speak for
        worker = job.lease.worker if job.lease else "w1"
        epoch = Epoch(max(job.epoch + rng.choice([-2, -1, 50, 99]), 0))
        row: Request[Any, Any] = rng.choice(REPORTS)
        fields: dict[str, object] = {"worker": worker, "job": job.id, "epoch": epoch}
        message = msgspec.convert({**fields, "reason": "a ghost"}, row.carries)
        _ask(world, subject_of(row, message), encode(message))
        await asyncio.sleep(rng.uniform(0.0, 0.5))


async def storm_of_wishes(world: World, rng: Random) -> None:
    """An operator who cancels, requeues and drains whatever he sees, again and again."""
    bus = MemoryBus(world.broker, "operator")
    for _ in range(rng.randrange(3, 15)):
        jobs, workers = sorted(world.disk.jobs), sorted(world.disk.workers)
        try:
            if jobs and rng.random() < 0.8:
                await _wish(world, bus, rng.choice(jobs), cancel=rng.random() < 0.5)
            elif workers:
                worker = rng.choice(workers)
                await bus.ask(contract.DRAIN_WORKER, DrainWorker(worker=worker), within=1.0)
                world.invariants.drain_acknowledged(worker)
        except BusError:
            pass
        await asyncio.sleep(rng.choice([0.0, 0.05, 1.0]))
    for job in sorted(world.disk.jobs):  # what he did in anger he takes back
        await _requeue(world, bus, job, rng)


async def _wish(world: World, bus: MemoryBus, job: JobId, *, cancel: bool) -> None:
    if cancel:
        await bus.ask(contract.CANCEL, CancelJob(job=job), within=1.0)
        world.invariants.cancel_acknowledged(job)
    else:
        before = world.invariants.requeues(job)
        await bus.ask(contract.REQUEUE, RequeueJob(job=job), within=1.0)
        world.invariants.requeue_acknowledged(job, before)


async def _requeue(world: World, bus: MemoryBus, job: JobId, rng: Random) -> None:
    for _ in range(3):
        try:
            await _wish(world, bus, job, cancel=False)
            return
        except BusError:
            await asyncio.sleep(rng.uniform(0.1, 1.0))


ALL = (speak_garbage, lie_well_typed, speak_for_the_dead, storm_of_wishes)
