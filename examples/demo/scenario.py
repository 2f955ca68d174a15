"""What happens to the job: its first worker is killed, its second drained, its third may finish."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

import msgspec

from examples.demo.stack import Stack
from relaymd.bus.facts import JobChanged
from relaymd.bus.operating import JobDetails, JobView, WorkerList
from relaymd.core.events import Assigned, Checkpointed
from relaymd.core.ids import Epoch, JobId, UnixTime, WorkerId
from relaymd.core.worker import Worker

KILL_AT = 0.20
"""Fraction of the job that must be in a committed checkpoint before the first worker dies."""

DRAIN_AT = 0.55
"""The same for the SIGTERM to the second."""

LONGEST = 300.0
"""Seconds after which something is wrong."""


class Blow(msgspec.Struct, frozen=True, kw_only=True):
    """A signal that the demo sent to a worker."""

    signal: str
    worker: WorkerId
    epoch: Epoch
    at: UnixTime
    furthest: int
    """The last step the engine had done by then, committed or not."""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """All that is needed to judge the run."""

    details: JobDetails
    blows: tuple[Blow, ...]


class Unfinished(Exception):  # noqa: N818  the story's other end, not a defect
    """The job did not get where it should; the message says where it stopped."""


Tell = Callable[[JobChanged], None]
Shout = Callable[[str, Blow], None]


async def play(stack: Stack, bundle: Path, *, tell: Tell, shout: Shout) -> Story:
    """Submit the bundle, hurt its workers, and see it through. Raises Unfinished."""
    words = ("--title", "Water, relayed")
    view = await stack.ask(JobView, "submit", bundle, *words)
    job = view.job.id
    try:
        async with asyncio.timeout(LONGEST):
            blows = await _follow(stack, job, tell, shout)
    except TimeoutError:
        raise Unfinished(f"not finished after {LONGEST:.0f} s") from None
    details = await stack.ask(JobDetails, "jobs", "show", job)
    return Story(details=details, blows=blows)


async def _follow(stack: Stack, job: JobId, tell: Tell, shout: Shout) -> tuple[Blow, ...]:
    plan = [("SIGKILL", KILL_AT), ("SIGTERM", DRAIN_AT)]
    blows: list[Blow] = []
    holder: Worker | None = None
    async with aclosing(facts(stack, job)) as changes:
        async for change in changes:
            tell(change)
            if change.state.is_final:
                return tuple(blows)
            if plan and isinstance(change.event, Assigned):
                holder = await _registered(stack, change.event.lease.worker)
            if plan and holder and _reached(change, plan[0][1], already=blows):
                how, _ = plan.pop(0)
                blow = await _strike(stack, holder, _epoch(change), how)
                blows.append(blow)
                shout(how, blow)
    raise Unfinished("the stream of events ended before the job did")


async def facts(stack: Stack, job: JobId) -> AsyncGenerator[JobChanged, None]:
    """The job's events from its submit on, as `relaymd events` prints them."""
    words = ("events", "--follow", "--json", "--job", job, "--after", "0")
    async with aclosing(stack.lines(*words)) as lines:
        async for line in lines:
            yield msgspec.json.decode(line, type=JobChanged)


def _reached(change: JobChanged, fraction: float, already: list[Blow]) -> bool:
    """Whether this event commits enough progress under a lease that was not hurt yet."""
    match change.event:
        case Checkpointed(epoch=epoch, checkpoint=checkpoint):
            done = checkpoint.progress.fraction if checkpoint.progress else None
            fresh = all(blow.epoch != epoch for blow in already)
            return fresh and done is not None and done >= fraction
        case _:
            return False


def _epoch(change: JobChanged) -> Epoch:
    assert isinstance(change.event, Checkpointed)
    return change.event.epoch


async def _strike(stack: Stack, worker: Worker, epoch: Epoch, how: str) -> Blow:
    before = furthest_step(stack.state)  # a drained worker may be gone in a moment, with its files
    os.kill(worker.pid, signal.Signals[how])
    at = UnixTime(time.time())
    # The engine has no reason to know yet; it may do a few steps more.
    await asyncio.sleep(0.2)
    furthest = max(before, furthest_step(stack.state))
    return Blow(signal=how, worker=worker.id, epoch=epoch, at=at, furthest=furthest)


async def _registered(stack: Stack, id: WorkerId) -> Worker:
    found = await stack.ask(WorkerList, "workers", "list")
    for view in found.workers:
        if view.worker.id == id:
            return view.worker
    raise Unfinished(f"worker {id} holds the job and is not in the list of workers")


def furthest_step(state: Path) -> int:
    """The highest step that any engine on this machine reported, committed or not."""
    return max(map(_last_row, (state / "workers").rglob("energies.csv")), default=0)


def _last_row(energies: Path) -> int:
    """The step of the last whole line; 0 where there is none."""
    try:
        lines = energies.read_text().splitlines(keepends=True)
    except (OSError, UnicodeDecodeError):
        return 0
    steps = [line.partition(",")[0] for line in lines if line.endswith("\n")]
    return max((int(step) for step in steps if step.isdecimal()), default=0)
