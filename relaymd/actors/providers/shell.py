"""Where a provider's commands run: on this machine, or on a login node that is reached by SSH.

Another shell is another class with the one method of `Shell`.
"""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO, Protocol

import msgspec

from relaymd.actors.providers.provider import ProviderError

LONGEST_OUTPUT = 32 * 2**20
"""Bytes of one stream that are read; a command that prints more has failed."""


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """What a command did that came to its end. Whether that is a success, the caller judges."""

    code: int
    """Its exit code; negative: the signal that ended it."""

    stdout: str
    stderr: str
    """Bytes that are no UTF-8 are replaced."""


class UnansweredError(ProviderError):
    """The command did not end in time, or the machine was not reached.

    Whether it did its work is not known.
    """


class Shell(Protocol):
    async def run(self, argv: Sequence[str], *, stdin: bytes = b"", within: float) -> Finished:
        """Run one command to its end, without a terminal.

        argv: words, which no shell splits again. within: seconds for all of it, the way there
        included. Raises UnansweredError where there is no end in time, and ProviderError
        where it certainly did not run.
        """
        ...


class LocalShell:
    """Commands on this machine, each in a process group of its own. Implements Shell."""

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        *,
        longest_output: int = LONGEST_OUTPUT,
    ) -> None:
        """environment: what the commands see; None: what this process sees."""
        self._environment = None if environment is None else {**environment}
        self._longest_output = longest_output

    async def run(self, argv: Sequence[str], *, stdin: bytes = b"", within: float) -> Finished:
        # Files, not pipes: what a command leaves running may hold a pipe open for ever.
        with _filled(stdin) as given, _file() as out, _file() as err:
            process = await self._start(argv, given, out, err)
            try:
                async with asyncio.timeout(within):
                    code = await process.wait()
            except TimeoutError:
                raise UnansweredError(f"{argv[0]} did not end within {within:g} s") from None
            finally:
                await _end(process)
            return Finished(code=code, stdout=self._text(argv, out), stderr=self._text(argv, err))

    async def _start(
        self, argv: Sequence[str], given: IO[bytes], out: IO[bytes], err: IO[bytes]
    ) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *argv,
                stdin=given,
                stdout=out,
                stderr=err,
                env=self._environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as exc:  # ValueError: a word with a zero byte in it
            reason = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise ProviderError(f"{argv[0]} cannot be started here: {reason}") from exc

    def _text(self, argv: Sequence[str], file: IO[bytes]) -> str:
        file.seek(0)
        content = file.read(self._longest_output + 1)
        if len(content) > self._longest_output:
            raise ProviderError(f"{argv[0]} printed more than {self._longest_output} bytes")
        return content.decode(errors="replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the whole group of a process that has not ended, and collect it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _file() -> IO[bytes]:
    return tempfile.TemporaryFile()


def _filled(content: bytes) -> IO[bytes]:
    file = _file()
    file.write(content)
    file.seek(0)
    return file
