"""How far one orchestrator on one machine goes: idle workers by the thousand, until what breaks.

Each has a connection, a question for work that waits, and a heartbeat every five seconds. All
share one process here, which is the third that wants processor time beside the orchestrator and
nats-server.
"""

import asyncio
import itertools
import resource
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.bench_idle import BEAT_EVERY, idle
from benchmarks.crowd import BrokenLineError, Line, SimulatedWorker, crowd
from benchmarks.rig import first_status, plane, quiet
from benchmarks.rows import Row, Rows, Setting, at_least, p99

SIZES = (2000, 5000, 10_000)
SPARE_FILES = 500
PATIENCE = 600.0
"""Seconds for all to register, and for their events to be published: what is measured here."""


async def measure(setting: Setting) -> Rows:
    rows: list[Row] = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for size in SIZES[:1] if setting.quick else SIZES:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 3 * size + SPARE_FILES), hard))
            rows += await _with(setting, size)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return rows


async def _with(setting: Setting, size: int) -> Rows:
    seconds = setting.of(10, 30)
    answers: list[float] = []
    async with (
        plane(setting.scratch) as there,
        crowd(there.url, there.worker_password, [f"w-{n}" for n in range(size)]) as workers,
    ):
        operator = await there.operator()
        async with asyncio.TaskGroup() as group:
            beats = itertools.count()
            lives = [group.create_task(_live(worker, lambda: next(beats))) for worker in workers]
            begin = time.perf_counter()
            await _all_joined(operator, size)
            joined = time.perf_counter() - begin
            await quiet(operator, PATIENCE)
            published = time.perf_counter() - begin
            cpu, begin = there.orchestrator.cpu(), time.perf_counter()
            before = next(beats)
            probes = group.create_task(_probe(workers, answers))
            await asyncio.sleep(seconds)
            passed = time.perf_counter() - begin
            held = (next(beats) - before) / passed
            share = (there.orchestrator.cpu() - cpu) / passed
            memory, server = there.orchestrator.memory(), _memory(there.server.pid or 0)
            for task in (*lives, probes):
                task.cancel()
        left = (await first_status(operator)).workers
    return [
        Row(what=f"{size:,} workers: from connected to all registered", figure=joined, unit="s"),
        Row(what=f"{size:,} workers: from connected to all told", figure=published, unit="s"),
        Row(
            what=f"{size:,} workers: heartbeats held",
            figure=held,
            unit="/s",
            beside=size / BEAT_EVERY,
            beside_what=f"one each {BEAT_EVERY:.0f} s",
            ratio_aim=at_least(0.9),
            more_is_better=True,
        ),
        Row(what=f"{size:,} workers: the orchestrator, of one core", figure=100 * share, unit="%"),
        Row(what=f"{size:,} workers: the orchestrator's memory", figure=memory, unit="MB"),
        Row(what=f"{size:,} workers: nats-server's memory", figure=server, unit="MB"),
        Row(what=f"{size:,} workers: a heartbeat's answer, p99", figure=p99(answers), unit="ms"),
        Row(what=f"{size:,} workers: lost", figure=size - left, unit=""),
    ]


async def _all_joined(operator: Line, size: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await first_status(operator)).workers < size:  # noqa: ASYNC110 - far away
            await asyncio.sleep(0.2)


async def _live(worker: SimulatedWorker, answered: Callable[[], object]) -> None:
    """Until its connection is lost: a worker of ours would come back, and this one is counted."""
    try:
        await idle(worker, answered)
    except* BrokenLineError:
        pass


async def _probe(workers: list[SimulatedWorker], answers: list[float]) -> None:
    for worker in workers:
        begin = time.perf_counter()
        try:
            await worker.beat()
        except BrokenLineError:
            continue
        answers.append(1000 * (time.perf_counter() - begin))
        await asyncio.sleep(0.01)


def _memory(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6
