"""A RelayMD of the demo's own: `relaymd up` in a fresh folder, and the command to talk to it."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from relaymd.connection import Connection, connection_file

T = TypeVar("T")

SCRIPTS = Path(sys.executable).parent
SETTINGS = {
    "RELAYMD_LOCAL_WORKERS": "1",
    "RELAYMD_WORKER_HEARTBEAT_INTERVAL_SECONDS": "1",
    "RELAYMD_BRIDGE_PORT": "36158",
}
STOP_WITHIN = 60.0
"""Seconds `relaymd up` may take to stop everything."""


class CommandFailedError(Exception):
    """A `relaymd` command ended with an error; the message is what it said."""


class Stack:
    def __init__(self, folder: Path, command: Path = SCRIPTS / "relaymd") -> None:
        self.command = command
        self.state = folder / "state"
        self.log = folder / "up.log"
        own = {**SETTINGS, "RELAYMD_STATE_DIR": str(self.state)}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("RELAYMD_")}
        # The bundle says `python`, which has to be the one that has OpenMM.
        path = f"{SCRIPTS}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        self.environment = {**inherited, "PATH": path, **own}

    async def relaymd(self, *words: str | Path) -> bytes:
        """Run `relaymd` with the words and return what it printed."""
        process = await asyncio.create_subprocess_exec(
            self.command,
            *words,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode:
            said = err.decode(errors="replace").strip() or f"exit code {process.returncode}"
            raise CommandFailedError(f"relaymd {' '.join(map(str, words))}: {said}")
        return out

    async def ask(self, kind: type[T], *words: str | Path) -> T:
        return msgspec.json.decode(await self.relaymd(*words, "--json"), type=kind)

    async def lines(self, *words: str) -> AsyncGenerator[bytes, None]:
        """What a command prints while it runs, line by line; it is stopped with the loop.

        Raises CommandFailedError when it ends by itself with an error.
        """
        process = await asyncio.create_subprocess_exec(
            self.command,
            *words,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            async for line in process.stdout:
                yield line
            said = (await process.stderr.read()).decode(errors="replace").strip()
            if await process.wait():
                raise CommandFailedError(f"relaymd {words[0]}: {said}")
        finally:
            await _end(process, signal.SIGTERM, within=5.0)

    def connection(self) -> Connection:
        return msgspec.json.decode(connection_file(self.state).read_bytes(), type=Connection)


@asynccontextmanager
async def running(stack: Stack, folder: Path) -> AsyncGenerator[Stack, None]:
    """The stack, up when the block begins and gone when it ends."""
    _make_empty(folder)
    with stack.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            stack.command,
            "up",
            env=stack.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        await _until_up(stack, process)
        yield stack
    finally:
        await _end(process, signal.SIGINT, within=STOP_WITHIN)


async def _until_up(stack: Stack, process: asyncio.subprocess.Process) -> None:
    """Return when it answers. Raises CommandFailedError when it does not, or has ended."""
    try:
        await stack.relaymd("status", "--wait", "30")
    except CommandFailedError as exc:
        if process.returncode is None:
            raise
        said = stack.log.read_text(errors="replace").strip().rpartition("\n")[2]
        raise CommandFailedError(f"relaymd up: {said}") from exc


def _make_empty(folder: Path) -> None:
    """Remove what an earlier demo left there."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


async def _end(process: asyncio.subprocess.Process, how: signal.Signals, within: float) -> None:
    """Ask the process to end, and kill it where it does not."""
    if process.returncode is not None:
        return
    process.send_signal(how)
    try:
        async with asyncio.timeout(within):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
