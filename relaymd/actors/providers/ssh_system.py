"""Commands on a login node through the `ssh` of this machine, for sites with one-time passwords.

A person logs in once and leaves a master connection behind; every command of ours goes through it.
Where a key is enough, the first command opens the master by itself.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from relaymd.actors.providers.provider import ProviderError
from relaymd.actors.providers.shell import Finished, Shell, UnansweredError
from relaymd.actors.providers.ssh import SESSIONS, quoted
from relaymd.core.clusters import SshConfig

FAILED = 255
"""The exit code of `ssh` itself."""

KEPT = "12h"
"""How long a master connection lives that nobody uses."""

NOT_REACHED = (
    "Permission denied",
    "Host key verification failed",
    "Could not resolve hostname",
    "Connection refused",
    "Connection timed out",
    "No route to host",
    "Network is unreachable",
    "Bad configuration option",
    "Too many authentication failures",
    "kex_exchange_identification",
    "too long for Unix domain socket",
)
"""What `ssh` says where it never came to run anything."""


class SystemSsh:
    """Implements Shell."""

    def __init__(self, login: SshConfig, here: Shell, *, control: Path) -> None:
        """here: runs `ssh`. control: the folder for the master's socket, where none is named."""
        self._login = login
        self._here = here
        self._sessions = asyncio.Semaphore(SESSIONS)
        self._socket = login.control_path or str(control / "%C")
        if login.control_path is None:
            control.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def run(self, argv: Sequence[str], *, stdin: bytes = b"", within: float) -> Finished:
        line = quoted(argv, within)
        words = ["ssh", *self._options(), "--", self._login.host, line]
        late = ProviderError(f"{self._login.host} was busy with other commands of ours")
        try:
            async with asyncio.timeout(within), self._sessions:
                late = UnansweredError(
                    f"{argv[0]} on {self._login.host} did not end within {within:g} s"
                )
                said = await self._here.run(words, stdin=stdin, within=2 * within)
        except TimeoutError:
            raise late from None
        if said.code == FAILED:
            self._judge(argv[0], said)
        return said

    def by_hand(self) -> str:
        """The command with which a person logs in for us."""
        return " ".join(["ssh", *self._way(), "-o", "ControlMaster=yes", self._login.host, "true"])

    def _judge(self, name: str, said: Finished) -> None:
        """Raise where it was `ssh` that failed, and not the command."""
        words = " ".join(said.stderr.split())[-300:]
        if any(sign in said.stderr for sign in NOT_REACHED):
            advice = ""
            if "Permission denied" in said.stderr:
                advice = f"; log in once by hand: {self.by_hand()}"
            raise ProviderError(f"{self._login.host} was not reached: {words}{advice}")
        if not words or "onnection" in words or "mux_client" in words:
            raise UnansweredError(
                f"the connection to {self._login.host} was lost while {name} ran: {words}"
            )

    def _options(self) -> list[str]:
        settings = (
            "BatchMode=yes",
            "ControlMaster=auto",
            "StrictHostKeyChecking=yes",
            f"ConnectTimeout={max(int(self._login.connect_seconds), 1)}",
            "RemoteCommand=none",
            "LogLevel=ERROR",
        )
        return ["-T", "-x", "-a", *self._way(), *(w for one in settings for w in ("-o", one))]

    def _way(self) -> list[str]:
        login = self._login
        given = [
            *(["-F", login.config_file] if login.config_file else []),
            *(["-l", login.user] if login.user else []),
            *(["-p", str(login.port)] if login.port else []),
            *(["-i", login.identity_file] if login.identity_file else []),
        ]
        settings = [
            f"ControlPath={self._socket}",
            f"ControlPersist={KEPT}",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=3",
            *([f"UserKnownHostsFile={login.known_hosts_file}"] if login.known_hosts_file else []),
        ]
        return [*given, *(word for one in settings for word in ("-o", one))]
