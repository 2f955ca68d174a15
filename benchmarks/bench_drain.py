"""How long a worker takes to leave with a checkpoint of 100 MB that nobody has yet.

A whole stack with a real S3 server on this machine. The engine writes 100 MB of new random bytes
when it gets SIGTERM, as an engine does that checkpoints on its way out; counted from the signal
to the worker's end, by when the generation is committed and the lease is given back. Beside it
one upload of as many bytes by the same client, turn about.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.bench_start import operator
from benchmarks.checkpoint.server import serving
from benchmarks.rig import Part
from benchmarks.rows import Row, Rows, Setting, at_most, median
from examples.demo.stack import Stack, running
from relaymd.bus import contract
from relaymd.bus.facts import JobChanged
from relaymd.bus.journal import NatsJournal
from relaymd.bus.remote import NatsBus
from relaymd.config import StorageConfig
from relaymd.core.events import Checkpointed
from relaymd.storage.open import open_store

SIZE = 100_000_000
WITHIN = 60.0
ENGINE = f"""
import os, signal, sys, time
def leave(*_):
    with open("state.new", "wb") as file:
        file.write(os.urandom({SIZE}))
    os.replace("state.new", "state")
    sys.exit(75)
signal.signal(signal.SIGTERM, leave)
with open("ready", "w") as file:
    file.write(str(time.time()))
while True:
    time.sleep(60)
"""


class MissingServerError(Exception):
    """What the benchmark needs is not installed."""


async def measure(setting: Setting) -> Rows:
    times = setting.of(2, 7)
    with serving(setting.scratch / "s3", wanted=True) as served:
        if served is None:
            raise MissingServerError("there is no S3 server here: `make tools` builds versitygw")
        drains, uploads = await _with(setting.scratch, served, times)
    return [
        Row(
            what="drain with a checkpoint of 100 MB, local S3",
            figure=median(drains),
            unit="s",
            aim=at_most(10),
            beside=median(uploads),
            beside_what="one upload of as many bytes",
        )
    ]


async def _with(
    scratch: Path, storage: StorageConfig, times: int
) -> tuple[list[float], list[float]]:
    stack = Stack(scratch / "stack")
    stack.environment |= {
        "RELAYMD_LOCAL_WORKERS": "0",
        "RELAYMD_BRIDGE_PORT": "0",
        "RELAYMD_STORAGE_KIND": "s3",
        "RELAYMD_STORAGE_BUCKET": storage.bucket or "",
        "RELAYMD_STORAGE_ENDPOINT": storage.endpoint or "",
        "RELAYMD_STORAGE_ACCESS_KEY_ID": storage.access_key_id or "",
        "RELAYMD_STORAGE_SECRET_ACCESS_KEY": storage.secret_access_key or "",
    }
    drains: list[float] = []
    uploads: list[float] = []
    async with (
        running(stack, scratch / "stack"),
        operator(stack.state) as bus,
        open_store(storage, stack.state) as store,
        aclosing(_changes(bus)) as changes,
    ):
        await stack.ask(dict[str, Any], "submit", _bundle(scratch), "--title", "drain")
        for number in range(times):
            loose = scratch / "loose"
            await asyncio.to_thread(loose.write_bytes, os.urandom(SIZE))
            begin = time.perf_counter()
            await store.put_file(f"loose/{number}", loose)
            uploads.append(time.perf_counter() - begin)
            drains.append(await _drain(stack, changes, number))
    return drains, uploads


async def _drain(stack: Stack, changes: AsyncGenerator[JobChanged], number: int) -> float:
    own = {
        "RELAYMD_WORKER_ID": f"w-{number}",
        "RELAYMD_WORKER_CHECKPOINT_POLL_INTERVAL_SECONDS": "0.5",
    }
    environ = {**stack.environment, **own}
    worker = Part("-m", "relaymd.worker", environ=environ, log=stack.state / "worker.log")
    await worker.start()
    await _until(changes, "checkpointed")  # the engine is ready
    begin = time.perf_counter()
    await worker.end()
    seconds = time.perf_counter() - begin
    stored = (await _until(changes, "checkpointed")).event
    assert isinstance(stored, Checkpointed)
    assert stored.checkpoint.uploaded >= SIZE, f"only {stored.checkpoint.uploaded} bytes were new"
    await _until(changes, "handed-off")
    return seconds


async def _until(changes: AsyncGenerator[JobChanged], kind: str) -> JobChanged:
    async with asyncio.timeout(WITHIN):
        async for change in changes:
            if change.kind == kind:
                return change
            assert change.kind not in ("interrupted", "failed"), change
    raise AssertionError("the events have an end")


async def _changes(bus: NatsBus) -> AsyncGenerator[JobChanged]:
    subject = contract.JOB_CHANGED.template.partition("{")[0] + ">"
    async with aclosing(NatsJournal(bus).follow(subject=subject)) as events:
        async for _, body in events:
            yield msgspec.json.decode(body, type=JobChanged)


def _bundle(scratch: Path) -> Path:
    folder = scratch / "bundle"
    folder.mkdir()
    (folder / "engine.py").write_text(ENGINE)
    specification = {
        "command": [sys.executable, "engine.py"],
        "checkpoint_watch_paths": ["ready", "state"],
    }
    (folder / "relaymd-worker.json").write_text(json.dumps(specification))
    return folder
