"""Engines below guardians: started, signalled, killed, their end noticed at once.

A guardian is a small process (`guardian.py`) that is ready before there is an engine, so that
an engine starts within milliseconds of its assignment.
"""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import structlog

from relaymd.worker.engine import Command, Engine, LaunchError

log = structlog.get_logger()

SCRIPT = Path(__file__).with_name("guardian.py")
_NUMBER = re.compile(r"-?[0-9]{1,10}")
_CODES = range(-signal.NSIG, 256)
"""How a process may end; negative: by that signal."""

KILL_SECONDS = 15.0
"""How long a kill may take before the guardian itself is given up."""


class GuardianLostError(LaunchError):
    """The guardian ended before the engine started: nothing runs, and another may do it."""


class Status(asyncio.Protocol):
    """What the guardian says: whether the engine started, and how it ended."""

    def __init__(self, kill_group: Callable[[int], None]) -> None:
        """kill_group: for the engine of a guardian that was killed."""
        self._kill_group = kill_group
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._hear(line.decode(errors="replace"))

    def _hear(self, line: str) -> None:
        """Each thing once; what makes no sense is passed over: the end tells the rest."""
        word, _, value = line.partition(" ")
        number = int(value) if _NUMBER.fullmatch(value) else None
        if word == "pid" and number is not None and number > 1 and not self.started.done():
            self.started.set_result(number)
        elif word == "code" and number is not None and number in _CODES and not self.ended.done():
            self.ended.set_result(number)
        elif word == "error" and not self.started.done():
            self.started.set_exception(LaunchError(value or "the guardian does not say why"))
        else:
            log.warning("guardian.misunderstood", line=line[:200])

    def connection_lost(self, exc: Exception | None) -> None:
        """The guardian is gone; if it did not say how the engine ended, it was killed."""
        if not self.started.done():
            reason = "the guardian ended before the engine started"
            self.started.set_exception(GuardianLostError(reason))
        if not self.ended.done():
            if not self.started.exception():
                self._kill_group(self.started.result())
            self.ended.set_result(-int(signal.SIGKILL))


class GuardedEngine:
    """An engine below a guardian process."""

    def __init__(self, pid: int, control: int, status: Status) -> None:
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


class Guardian:
    """One guardian process, waiting for a command or keeping an engine."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        control: int,
        transport: asyncio.BaseTransport,
        status: Status,
    ) -> None:
        self._process = process
        self._control = control
        self._transport = transport
        self._status = status

    @classmethod
    async def start(cls) -> "Guardian":
        """Raises LaunchError."""
        orders, control = os.pipe()
        # No pipe: uvloop closes what `connect_read_pipe` was given twice, and the second time
        # the number may be that of a file which another thread has just opened.
        answers, said = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(SCRIPT), str(orders), str(said.fileno())),
                cwd="/",
                env={},
                pass_fds=(orders, said.fileno()),
                start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL,
            )
        except OSError as exc:
            os.close(control)
            answers.close()
            raise LaunchError(f"the guardian cannot be started: {exc}") from exc
        finally:
            os.close(orders)
            said.close()
        loop = asyncio.get_running_loop()
        transport, status = await loop.create_connection(lambda: Status(_kill_group), sock=answers)
        return cls(process, control, transport, status)

    async def launch(self, command: Command) -> GuardedEngine:
        """Raises LaunchError."""
        document = {
            "argv": command.argv,
            "folder": str(command.folder),
            "environment": dict(command.environment),
            "stdout": str(command.stdout),
            "stderr": str(command.stderr),
        }
        line = json.dumps(document).encode() + b"\n"
        try:
            await asyncio.to_thread(_write_all, self._control, line)
        except OSError as exc:
            raise GuardianLostError(f"the guardian is gone: {exc}") from exc
        return GuardedEngine(await self._status.started, self._control, self._status)

    async def end(self) -> None:
        """Kill what is left of the engine; the end of its pipe makes the guardian leave too."""
        os.close(self._control)
        await self._process.wait()
        self._transport.close()
        if self._status.started.done() and not self._status.started.cancelled():
            self._status.started.exception()  # seen, also where nobody waited for it


class Guardians:
    """Starts engines. Keeps one guardian ready, so that the next engine need not wait for it."""

    def __init__(self) -> None:
        self._ready: Guardian | None = None

    async def prepare(self) -> None:
        """Have a guardian ready; if it cannot be, the launch that needs it says so."""
        if self._ready is None:
            with suppress(LaunchError):
                self._ready = await Guardian.start()

    @asynccontextmanager
    async def launch(self, command: Command) -> AsyncGenerator[Engine]:
        """Start an engine; whatever is left of it is killed when the context exits.

        Raises LaunchError.
        """
        async with AsyncExitStack() as stack:
            engine = await self._started(command, stack)
            await self.prepare()
            stack.push_async_callback(engine.kill)
            yield engine

    async def _started(self, command: Command, stack: AsyncExitStack) -> GuardedEngine:
        """Below the guardian that is ready; below another where somebody has killed that one."""
        ready, self._ready = self._ready, None
        if ready is not None:
            stack.push_async_callback(ready.end)
            with suppress(GuardianLostError):
                return await ready.launch(command)
        guardian = await Guardian.start()
        stack.push_async_callback(guardian.end)
        return await guardian.launch(command)

    async def close(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            await ready.end()


@asynccontextmanager
async def guardians() -> AsyncGenerator[Guardians]:
    """Engines can be started during the block; a guardian is ready from its begin."""
    found = Guardians()
    try:
        await found.prepare()
        yield found
    finally:
        await found.close()


def _write_all(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]


def _kill_group(leader: int) -> None:
    """Nothing happens if the group has ended."""
    with suppress(OSError):
        os.killpg(leader, signal.SIGKILL)
