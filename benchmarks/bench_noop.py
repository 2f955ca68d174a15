"""Whole jobs that do nothing, each `/bin/true` in a process of its own, two workers.

Ours: a whole stack as `relaymd up` starts it, two local workers, the folder store; a job is a
bundle that is fetched and unpacked, a folder, a guardian, the engine, its logs stored, its end
acknowledged on disk. Beside it HyperQueue, Dask and Parsl, which store and unpack nothing, where
`make bench-peers` has installed them.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from benchmarks.bench_start import Bench, operator, packed_bundle
from benchmarks.rows import Row, Rows, Setting, at_least
from examples.demo.stack import Stack, running
from relaymd.bus.journal import NatsJournal
from relaymd.connection import read_connection
from relaymd.storage.open import open_store

PEERS = ("hyperqueue", "dask", "parsl")
ENVIRONMENT = Path(".tools") / "peers"
WORKERS = 2
COMPLETED = "relaymd.event.job.*.completed"


async def measure(setting: Setting) -> Rows:
    ours = await _ours(setting, setting.of(30, 200))
    rows = [
        Row(
            what=f"whole no-op jobs, {WORKERS} workers",
            figure=ours,
            unit="/s",
            aim=at_least(300),
        )
    ]
    if setting.quick:
        return rows
    found = [(peer, await _theirs(peer, setting.of(100, 500))) for peer in PEERS]
    return rows + [
        Row(
            what=f"whole no-op jobs, beside {peer}",
            figure=ours,
            unit="/s",
            beside=theirs,
            beside_what=peer,
            more_is_better=True,
        )
        for peer, theirs in found
        if theirs is not None
    ]


async def _ours(setting: Setting, count: int) -> float:
    stack = Stack(setting.scratch / "stack")
    stack.environment |= {"RELAYMD_LOCAL_WORKERS": str(WORKERS)}
    async with (
        running(stack, setting.scratch / "stack"),
        operator(stack.state) as bus,
        open_store(read_connection(stack.state).storage, stack.state) as store,
        aclosing(NatsJournal(bus).follow(subject=COMPLETED)) as events,
    ):
        bench = Bench(bus, store, packed_bundle(setting.scratch))
        await _complete(bench, events, 2 * WORKERS)  # the workers are up
        return await _complete(bench, events, count)


async def _complete(bench: Bench, events: AsyncGenerator[Any], count: int) -> float:
    wanted = [await bench.uploaded() for _ in range(count)]
    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for one in wanted:
            group.create_task(bench.submit(one))
        for _ in range(count):
            await anext(events)
    return count / (time.perf_counter() - begin)


async def _theirs(peer: str, count: int) -> float | None:
    """None where it is not installed."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        return None
    path = f"{python.parent.absolute()}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    process = await asyncio.create_subprocess_exec(
        python.absolute(),
        Path(__file__).with_name("peers.py"),
        peer,
        str(count),
        env={**os.environ, "PATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{peer}: {err.decode(errors='replace').strip().splitlines()[-1]}")
    return float(out.split()[-1])
