"""The pipe on which an engine says that a checkpoint lies there."""

import asyncio
import dataclasses
import os
import sys
from pathlib import Path

import pytest

from relaymd.worker import notices
from tests.worker.shop import QUICK, Shop

SELDOM = {"checkpoint_watch_paths": ["state"], "checkpoint_poll_interval_seconds": 3600}

ANNOUNCES = """
import os, time
from relaymd.engine import Segment, write_atomically
segment = Segment.here()
for step in range(1, 4):
    with segment.checkpoint():
        write_atomically("state", str(step))
    while not os.path.exists(f"go-{step}"):
        time.sleep(0.01)
while True:
    time.sleep(1)
"""


async def test_what_a_shell_writes_into_the_pipe_is_heard(tmp_path: Path) -> None:
    async with notices.pipe(tmp_path / "notices") as heard, asyncio.timeout(5):
        shell = await asyncio.create_subprocess_shell(f"echo checkpoint > {heard.path}")
        assert await heard.next()
        assert await shell.wait() == 0


async def test_what_is_said_while_nobody_asks_counts_once(tmp_path: Path) -> None:
    async with notices.pipe(tmp_path / "notices") as heard:
        assert heard.path is not None
        heard.path.write_text("checkpoint\ncheckpoint\n")
        async with asyncio.timeout(5):
            await heard.next()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await heard.next()
        heard.path.write_text("checkpoint\n")
        async with asyncio.timeout(5):
            await heard.next()


async def test_an_engine_that_writes_without_end_fills_its_own_pipe(tmp_path: Path) -> None:
    async with notices.pipe(tmp_path / "notices") as heard:
        assert heard.path is not None
        writer = os.open(heard.path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(writer, b"x")
            async with asyncio.timeout(5):
                await heard.next()
            with pytest.raises(BlockingIOError):
                await write_without_end(writer)
        finally:
            os.close(writer)


async def write_without_end(pipe: int) -> None:
    for _ in range(64):
        os.write(pipe, b"x" * 4096)
        await asyncio.sleep(0)


async def test_where_there_can_be_no_pipe_nothing_is_heard(tmp_path: Path) -> None:
    async with notices.pipe(tmp_path / "missing" / "notices") as heard:
        assert heard.path is None


async def test_an_announced_checkpoint_is_stored_at_once_whatever_the_interval(
    shop: Shop, tmp_path: Path
) -> None:
    root = str(Path(__file__).parents[2])
    tools = dataclasses.replace(shop.tools(), listen=notices.pipe)
    command = [sys.executable, "-c", ANNOUNCES]
    spec = {**SELDOM, "environment": {"PYTHONPATH": root}}
    async with shop.worker(tools):
        job = await shop.submit_command(command, spec=spec)
        for step in (1, 2, 3):
            await shop.desk.until_said("CheckpointReport", step)
            (work,) = shop.root.glob("workers/*/j-1-*/work")
            (work / f"go-{step}").touch()
        await shop.desk.until(lambda: len(shop.desk.committed[job]) == 3)
        assert (await shop.restored(job)).joinpath("state").read_text() == "3"


async def test_without_a_pipe_the_interval_says_when_to_store(shop: Shop) -> None:
    command = ["sh", "-c", 'echo 1 > state; echo "${RELAYMD_NOTICES-none}" > told; sleep 60']
    spec = {"checkpoint_watch_paths": ["state", "told"]}
    async with shop.worker(shop.tools(pace=QUICK)):
        job = await shop.submit_command(command, spec=spec)
        await shop.desk.until(lambda: shop.desk.committed.get(job))
        assert (await shop.restored(job)).joinpath("told").read_text() == "none\n"
