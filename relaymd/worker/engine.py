"""One engine: started under its guardian, signalled, killed, its end noticed at once.

The worker's logic knows `Launch` and `Engine` only, so that a simulation can bring its own.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

log = structlog.get_logger()

GUARDIAN = Path(__file__).with_name("guardian.py")
KILL_SECONDS = 15.0
"""How long a kill may take before the guardian itself is given up."""


class LaunchError(Exception):
    """The engine could not be started: its command is missing, or may not be executed."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    argv: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    stdout: Path
    """Files to which the output is appended."""

    stderr: Path


class Engine(Protocol):
    """A running engine and all its descendants."""

    def terminate(self) -> None:
        """Send SIGTERM to its process group; nothing happens if it has ended."""
        ...

    async def kill(self) -> int:
        """End all of it at once, and wait for that; its exit code."""
        ...

    async def exited(self) -> int:
        """Wait until its main process has ended and nothing of it is left; its exit code.

        Negative: the signal that ended it. Several may wait.
        """
        ...


class Launch(Protocol):
    def __call__(self, command: Command) -> AbstractAsyncContextManager[Engine]:
        """Start an engine; whatever is left of it is killed when the context exits.

        Raises LaunchError.
        """
        ...


class _Status(asyncio.Protocol):
    """What the guardian says: whether the engine started, and how it ended."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            word, _, value = line.decode(errors="replace").partition(" ")
            if word == "pid":
                self.started.set_result(int(value))
            elif word == "code":
                self.ended.set_result(int(value))
            elif word == "error":
                self.started.set_exception(LaunchError(value))

    def connection_lost(self, exc: Exception | None) -> None:
        """The guardian is gone; if it did not say how the engine ended, it was killed."""
        if not self.started.done():
            self.started.set_exception(LaunchError("the guardian ended before the engine started"))
        if not self.ended.done():
            if not self.started.exception():
                kill_group(self.started.result())
            self.ended.set_result(-int(signal.SIGKILL))


class GuardedEngine:
    """An engine below a guardian process."""

    def __init__(self, pid: int, control: int, status: _Status) -> None:
        self.pid = pid
        """Of the engine's main process, which leads its group and session."""

        self._control = control
        self._status = status

    def terminate(self) -> None:
        self._order(b"T")

    async def kill(self) -> int:
        self._order(b"K")
        try:
            async with asyncio.timeout(KILL_SECONDS):
                return await self.exited()
        except TimeoutError:
            log.error("engine.unkillable", pid=self.pid)
            return -int(signal.SIGKILL)

    async def exited(self) -> int:
        return await asyncio.shield(self._status.ended)

    def _order(self, letter: bytes) -> None:
        if self._status.ended.done():
            return
        try:
            os.write(self._control, letter)
        except BrokenPipeError:
            log.warning("engine.guardian_gone", pid=self.pid)


@asynccontextmanager
async def guarded(command: Command) -> AsyncGenerator[Engine]:
    """Start the engine below a guardian: what workers do outside of simulations."""
    loop = asyncio.get_running_loop()
    orders, control = os.pipe()
    answers, said = os.pipe()
    transport: asyncio.BaseTransport | None = None
    guardian: asyncio.subprocess.Process | None = None
    try:
        try:
            guardian = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(GUARDIAN), str(orders), str(said)),
                *(str(command.stdout), str(command.stderr), *command.argv),
                cwd=command.folder,
                env=dict(command.environment),
                pass_fds=(orders, said),
                start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL,
            )
        except (OSError, ValueError) as exc:
            raise LaunchError(f"the guardian cannot be started: {exc}") from exc
        finally:
            os.close(orders)
            os.close(said)
        transport, status = await loop.connect_read_pipe(_Status, os.fdopen(answers, "rb"))
        engine = GuardedEngine(await status.started, control, status)
        try:
            yield engine
        finally:
            await engine.kill()
    finally:
        os.close(control)  # whatever happened here: its end makes the guardian kill and leave
        if transport is None:
            os.close(answers)
        else:
            transport.close()
        if guardian is not None:
            await guardian.wait()


def kill_group(leader: int) -> None:
    """Nothing happens if the group has ended."""
    with suppress(OSError):
        os.killpg(leader, signal.SIGKILL)
