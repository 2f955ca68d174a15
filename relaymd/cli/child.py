"""A process of the stack: started, watched, started again when it dies, and taken down."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import structlog

from relaymd.cli.failures import CommandError
from relaymd.core.ids import Monotonic
from relaymd.core.restarts import RestartPolicy

log = structlog.get_logger()

STOP_WITHIN = 10.0
"""Seconds a child may take to end after SIGTERM before it is killed."""


class ChildFailedError(CommandError):
    """A child died so often that starting it once more promises nothing."""


class Child:
    """How to start one process, and the life it has at present."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        output: Path,
        pass_fds: Sequence[int] = (),
        policy: RestartPolicy | None = None,
        died: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._command = command
        self._environ = environ
        self._output = output
        self._pass_fds = pass_fds
        self._policy = policy or RestartPolicy()
        self._died = died
        self.pid: int | None = None
        """While it runs."""

    async def run(self) -> NoReturn:
        """Keep it running until cancelled. Raises ChildFailedError when it dies too often."""
        crashes: list[Monotonic] = []
        clock = asyncio.get_running_loop().time
        while True:
            status = await self._live()
            now = Monotonic(clock())
            crashes = self._policy.recent([*crashes, now], now=now)
            reason = f"{self.name} ended with {_how(status)}"
            log.warning("stack.child_ended", child=self.name, status=status)
            self._died(reason)
            if not self._policy.allows(crashes, now=now):
                raise ChildFailedError(
                    f"{reason}, {len(crashes)} times within {self._policy.period:.0f} s; "
                    f"its last words are in {self._output}"
                )
            await asyncio.sleep(self._policy.delay(crashes, now=now))

    async def _live(self) -> int:
        """One life, from start to end; stops the process when cancelled."""
        with self._output.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=self._pass_fds,
                # A process group of its own: Ctrl-C at the terminal is for `up`, which takes
                # its children down in order.
                start_new_session=True,
            )
        self.pid = process.pid
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                await _stop(process)
            self.pid = None

    def kill(self) -> None:
        """End it at once: somebody is in a hurry."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


async def _stop(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_WITHIN):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _how(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
