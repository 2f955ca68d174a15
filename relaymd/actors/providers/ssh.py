"""Commands on a login node, over one SSH connection that is kept."""

import asyncio
import math
import shlex
from collections.abc import Awaitable, Callable, Sequence

import structlog

from relaymd.actors.providers.provider import ProviderError
from relaymd.actors.providers.shell import LONGEST_OUTPUT, Finished, UnansweredError
from relaymd.actors.providers.ssh_link import Command, Link, connect
from relaymd.core.clusters import SshConfig
from relaymd.core.ids import Monotonic
from relaymd.core.restarts import RestartPolicy

log = structlog.get_logger(__name__)

SESSIONS = 8
"""Commands at a time. A server takes ten in one connection, unless it was told otherwise."""

SILENT = 5.0
"""Seconds without an answer to a new command after which the connection is taken to be dead."""

GRACE = 3
"""Seconds after which a command that nobody waits for any more gets SIGTERM over there."""

RETRY = RestartPolicy(intensity=10, period=600.0, backoff=1.0)
"""How long a login node that was not reached is left alone."""


class SshShell:
    """Implements Shell.

    One connection, opened by the first command and kept. When it is lost, the commands under way
    end as unanswered, and the next one opens it anew: at once, then after pauses that grow while
    that fails, during which commands are refused without waiting.
    """

    def __init__(
        self,
        login: SshConfig,
        *,
        open: Callable[[SshConfig], Awaitable[Link]] = connect,
        longest_output: int = LONGEST_OUTPUT,
    ) -> None:
        self._host = login.host
        self._kept = KeptLink(login, open)
        self._longest_output = longest_output
        self._sessions = asyncio.Semaphore(SESSIONS)

    async def run(self, argv: Sequence[str], *, stdin: bytes = b"", within: float) -> Finished:
        line = quoted(argv, within)
        command = Command(argv[0], longest_output=self._longest_output)
        late: ProviderError = ProviderError(f"{self._host} was busy with other commands of ours")
        try:
            async with asyncio.timeout(within), self._sessions:
                late = ProviderError(f"{self._host} was not reached within {within:g} s")
                link = await self._kept.link()
                late = UnansweredError(f"{self._host} did not answer within {within:g} s")
                await self._kept.begin(link, command, line)
                late = UnansweredError(
                    f"{command.name} on {self._host} did not end within {within:g} s"
                )
                command.give(stdin)
                await command.ended
        except TimeoutError:
            raise late from None
        finally:
            command.end()
        return command.finished(self._host)

    async def close(self) -> None:
        """Give the connection back. A shell that is used again opens it again."""
        await self._kept.close()


class KeptLink:
    """A connection that is opened when it is needed, and again when it was lost."""

    def __init__(self, login: SshConfig, open: Callable[[SshConfig], Awaitable[Link]]) -> None:
        self._login = login
        self._open = open
        self._link: Link | None = None
        self._opening = asyncio.Lock()
        self._failures: list[Monotonic] = []
        self._because = ""

    async def link(self) -> Link:
        """The one that is open, or a new one. Raises ProviderError, also while it rests."""
        async with self._opening:  # those who wait for it share it
            if self._link is None or self._link.is_closed():
                self._refuse_while_resting()
                self._link = await self._opened()
            return self._link

    async def begin(self, link: Link, command: Command, line: str) -> None:
        """Have the line run; a link that does not answer is given up for all."""
        began = _now()
        try:
            await link.begin(command, line)
        except asyncio.CancelledError:
            if _now() - began >= SILENT:
                self._drop(link)
            raise

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close(within=SILENT)

    async def _opened(self) -> Link:
        self._because = f"{self._login.host} did not answer"
        self._failures.append(_now())
        try:
            async with asyncio.timeout(self._login.connect_seconds):
                link = await self._open(self._login)
        except TimeoutError:
            self._because += f" within {self._login.connect_seconds:g} s"
            raise ProviderError(self._because) from None
        except ProviderError as exc:
            self._because = str(exc)
            raise
        finally:  # the pause begins at the end, also where nobody waits for it any longer
            self._failures[-1] = _now()
        self._failures.clear()
        log.info("ssh.connected", host=self._login.host)
        return link

    def _refuse_while_resting(self) -> None:
        recent = self._failures = RETRY.recent(self._failures, now=_now())
        if recent and (rest := recent[-1] + RETRY.delay(recent, now=_now()) - _now()) > 0:
            raise ProviderError(f"{self._because}; the next try is in {rest:.0f} s")

    def _drop(self, link: Link) -> None:
        log.warning("ssh.silent", host=self._login.host)
        link.abort()
        if link is self._link:
            self._link = None


def quoted(argv: Sequence[str], within: float) -> str:
    """The words as one line that the far shell neither splits nor expands.

    With an end of its own: what hangs is gone there too, also where the connection was lost or the
    server, for whatever reason, passes on no signals.
    """
    if any("\0" in word for word in argv):
        raise ProviderError(f"{argv[0]!r} cannot be run: a word has a zero byte in it")
    return shlex.join(["timeout", "-k", "5", str(math.ceil(within) + GRACE), *argv])


def _now() -> Monotonic:
    return Monotonic(asyncio.get_running_loop().time())
