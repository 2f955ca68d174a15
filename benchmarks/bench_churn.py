"""GPU-seconds that a preemption costs, while allocations come and go as on a busy cluster.

The same churn three times at once. Drained: workers that get SIGTERM, as SLURM gives notice.
Without drain: workers that get SIGKILL. From the last checkpoint: the engine alone, without us,
killed and started again at once in its own folder, as a batch script does that requeues itself.
A seat whose allocation has ended gets its next one at once, and there are as many jobs as seats.

Time is compressed: lives, the engine's checkpoints and the looks of workers for them. What is
computed again is multiplied back; a hand-over (a worker's start, the store, the lease) is not
compressed and is taken as it is. The engine keeps books: at the end each step must be in them
exactly once, and no engine may have computed beside its successor.
"""

import asyncio
import itertools
import random
import shutil
import signal
import sys
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.churn import CHUNKS, PACE, POISSON, Churn, Loss, loss, rows, steps
from benchmarks.rig import Part
from benchmarks.rows import Row, Rows, Setting
from examples.demo.stack import Stack, running
from tests.engines.verify import problems
from tests.system.bundles import ENGINE, fake_bundle

SEED = 5
NOTICE = 30.0
"""Seconds from SIGTERM to SIGKILL."""

LOOK_EVERY = 0.5
LONGEST = 20.0
"""By what factor churn may make jobs longer before something is wrong."""

DRAINED, KILLED = "drained", "killed"


async def measure(setting: Setting) -> Rows:
    if setting.quick:
        return await _with(setting.scratch / "chunks", CHUNKS, seats=2, seconds=25)
    found: list[Row] = []
    for name, churn, seconds in (("poisson", POISSON, 240), ("chunks", CHUNKS, 90)):
        found += await _with(setting.scratch / name, churn, seats=4, seconds=seconds)
    return found


async def _with(folder: Path, churn: Churn, *, seats: int, seconds: float) -> Rows:
    count = round(seconds / PACE)
    stack = Stack(folder / "stack")
    stack.environment |= {"RELAYMD_LOCAL_WORKERS": "0", "RELAYMD_BRIDGE_PORT": "0"}
    async with running(stack, folder / "stack"), asyncio.timeout(LONGEST * seconds):
        arms = [_Arm(stack, folder / how, how, churn, count) for how in (DRAINED, KILLED)]
        bare = _Bare(folder / "bare", churn, count)
        every: list[_Arm | _Bare] = [*arms, bare]
        async with asyncio.TaskGroup() as group:
            for one in every:
                group.create_task(one.run(seats))
        wrong = [problem for one in every for problem in await one.problems()]
    for problem in wrong:
        print(f"churn: {problem}", file=sys.stderr)
    return rows(churn, arms[0].loss(), arms[1].loss(), bare.loss(), len(wrong))


def _engine(churn: Churn, tally: Path) -> tuple[str, ...]:
    every = churn.steps_between_checkpoints
    return ("--checkpoint-every", str(every), "--tally", str(tally))


class _Arm:
    """Workers in their seats, and as many jobs that only they may run."""

    def __init__(self, stack: Stack, folder: Path, how: str, churn: Churn, count: int) -> None:
        self._stack = stack
        self._folder = folder
        self._how = how
        self._churn = churn
        self._count = count
        self._jobs: dict[str, Path] = {}
        """With their tallies."""

        self._over = asyncio.Event()
        self._numbers = itertools.count()

    async def run(self, seats: int) -> None:
        for number in range(seats):
            await self._submit(number)
        async with asyncio.TaskGroup() as group:
            for seat in range(seats):
                lives = self._churn.lives(random.Random(SEED + seat))
                group.create_task(self._seat(lives))
            await self._all_complete()
            self._over.set()

    async def _submit(self, number: int) -> None:
        tally = self._folder / f"tally-{number}"
        bundle = self._folder / f"bundle-{number}"
        fake_bundle(bundle, *_engine(self._churn, tally), steps=self._count, pace=PACE)
        words = ("--title", self._how, "--cluster", self._how)
        answer = await self._stack.ask(dict[str, Any], "submit", bundle, *words)
        self._jobs[answer["job"]["id"]] = tally

    async def _all_complete(self) -> None:
        for job in self._jobs:
            while (state := await self._state(job)) != "completed":
                assert state not in ("failed", "cancelled"), f"{job} is {state}"
                await asyncio.sleep(LOOK_EVERY)

    async def _state(self, job: str) -> str:
        answer = await self._stack.ask(dict[str, Any], "jobs", "show", job)
        return str(answer["view"]["job"]["state"])

    async def _seat(self, lives: Iterator[float]) -> None:
        while not self._over.is_set():
            worker = self._worker()
            await worker.start()
            ended = await _within(self._over.wait(), next(lives))
            await _end(worker, signal.SIGTERM if self._how == DRAINED or ended else signal.SIGKILL)

    def _worker(self) -> Part:
        own = {
            "RELAYMD_WORKER_ID": f"w-{self._how}-{next(self._numbers)}",
            "RELAYMD_WORKER_CLUSTER": self._how,
            "RELAYMD_WORKER_IDLE_POLL_MAX_SECONDS": "600",
            "RELAYMD_WORKER_CHECKPOINT_POLL_INTERVAL_SECONDS": str(self._churn.stored_every),
        }
        log = self._folder / "workers.log"
        environ = {**self._stack.environment, **own}
        return Part("-m", "relaymd.worker", environ=environ, log=log)

    async def problems(self) -> list[str]:
        found: list[str] = []
        for job in self._jobs:
            out = self._folder / "out" / job
            await self._stack.relaymd("jobs", "fetch", job, "--to", out)
            found += problems(out / "ledger.txt", self._count)
        return found

    def loss(self) -> Loss:
        return _sum(self._jobs.values())


class _Bare:
    """The engine alone in each seat."""

    def __init__(self, folder: Path, churn: Churn, count: int) -> None:
        self._folder = folder
        self._churn = churn
        self._count = count
        self._tallies: list[Path] = []

    async def run(self, seats: int) -> None:
        async with asyncio.TaskGroup() as group:
            for seat in range(seats):
                group.create_task(self._seat(seat))

    async def _seat(self, seat: int) -> None:
        work = self._folder / str(seat)
        work.mkdir(parents=True)
        shutil.copy(ENGINE, work)
        tally = work / "tally"
        self._tallies.append(tally)
        words = (ENGINE.name, "--steps", str(self._count), "--pace", str(PACE))
        more = _engine(self._churn, tally)
        for life in self._churn.lives(random.Random(SEED + seat)):
            engine = Part(*words, *more, environ={}, log=work / "log", folder=work)
            await engine.start()
            if await _within(engine.ended(), life):
                return
            await engine.end(signal.SIGKILL)

    async def problems(self) -> list[str]:
        ledgers = [tally.with_name("ledger.txt") for tally in self._tallies]
        return [problem for file in ledgers for problem in problems(file, self._count)]

    def loss(self) -> Loss:
        return _sum(self._tallies)


def _sum(tallies: Iterable[Path]) -> Loss:
    found = Loss()
    for tally in tallies:
        found = found.plus(loss(steps(tally.read_text())))
    return found


async def _within(what: Awaitable[object], seconds: float) -> bool:
    """Whether it came to its end in this time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await what
            return True
    return False


async def _end(worker: Part, how: signal.Signals) -> None:
    """As an allocation ends: with notice, after which comes the kill, or without."""
    if not await _within(worker.end(how), NOTICE):
        await worker.end(signal.SIGKILL)
