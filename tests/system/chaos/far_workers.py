"""Workers that no provider started: behind a gate, on a small disk, started again when they end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.system.chaos.clocks import Clock
from tests.system.stack import Stack

PROGRAM = Path(sys.executable).parent / "relaymd-worker"
AGAIN = 0.5
"""Seconds between the end of one life and the next."""

LEAVE_WITHIN = 30.0


@asynccontextmanager
async def far_workers(
    stack: Stack, count: int, url: str, folder: Path, clock: Clock
) -> AsyncGenerator[None, None]:
    """They are kept up as long as the block lasts, and leave in order at its end.

    url: of the server, as they see it. folder: for what they work on. clock: theirs.
    """
    keepers = [_Keeper(stack, f"w-far-{number}", url, folder, clock) for number in range(count)]
    async with asyncio.TaskGroup() as tasks:
        for keeper in keepers:
            tasks.create_task(keeper.run())
        try:
            yield
        finally:
            for keeper in keepers:
                keeper.close()


class _Keeper:
    def __init__(self, stack: Stack, name: str, url: str, folder: Path, clock: Clock) -> None:
        self._log = stack.state.parent / f"{name}.log"
        self._closed = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._environment = {
            **stack.environment,
            **clock.environment,
            "RELAYMD_NATS_URL": url,
            "RELAYMD_WORKER_ID": name,
            "RELAYMD_WORKER_CLUSTER": "far",
            "RELAYMD_WORKER_DIR": str(folder),
            "RELAYMD_WORKER_IDLE_POLL_MAX_SECONDS": "600",
        }

    async def run(self) -> None:
        while not self._closed.is_set():
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    PROGRAM, env=self._environment, stdout=log, stderr=log, start_new_session=True
                )
            await self._life(self._process)
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN):
                    await self._closed.wait()

    async def _life(self, process: asyncio.subprocess.Process) -> None:
        async with asyncio.TaskGroup() as tasks:
            closing = tasks.create_task(self._closed.wait())
            ended = tasks.create_task(process.wait())
            await asyncio.wait([closing, ended], return_when=asyncio.FIRST_COMPLETED)
            closing.cancel()
            if process.returncode is None:
                os.kill(process.pid, signal.SIGCONT)
                process.terminate()
                await asyncio.wait([ended], timeout=LEAVE_WITHIN)
            if process.returncode is None:
                process.kill()

    def close(self) -> None:
        self._closed.set()
