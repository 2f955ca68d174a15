"""One SSH connection and the commands in it. The one module that speaks asyncssh.

What stands in `~/.ssh/config` holds here too: names, users, keys, jumps. Host keys do not bend: one
that no known_hosts file has is refused, whatever that configuration says. Nobody is ever asked
anything: keys come from files without a passphrase or from an agent.
"""

import asyncio
import contextlib
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import asyncssh

from relaymd.actors.providers.provider import ProviderError
from relaymd.actors.providers.shell import Finished, UnansweredError
from relaymd.core.clusters import SshConfig

KEEPALIVE_EVERY = 15.0
"""Seconds; a server that leaves three questions in a row unanswered is lost."""

LINGER = 2.0
"""Seconds of quiet for which an ended command's output stays open: it left something running."""

STDERR = 1
"""The number of its stream, by RFC 4254."""

SYSTEM_KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts"


class Command(asyncssh.SSHClientSession[bytes]):
    """One command as it goes: what it printed, how it ended."""

    def __init__(self, name: str, *, longest_output: int) -> None:
        self.name = name
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._longest_output = longest_output
        self._channel: Any = None  # asyncssh.SSHClientChannel, whose own types are incomplete
        self._out, self._err = bytearray(), bytearray()
        self._code: int | None = None
        self._lost = "it ended without a word"
        self._quiet: asyncio.TimerHandle | None = None

    def finished(self, host: str) -> Finished:
        """What it did, once it has ended. Raises ProviderError."""
        if max(len(self._out), len(self._err)) > self._longest_output:
            raise ProviderError(f"{self.name} printed more than {self._longest_output} bytes")
        if self._code is None:
            raise UnansweredError(
                f"the connection to {host} was lost while {self.name} ran: {self._lost}"
            )
        return Finished(
            code=self._code,
            stdout=self._out.decode(errors="replace"),
            stderr=self._err.decode(errors="replace"),
        )

    def give(self, stdin: bytes) -> None:
        with contextlib.suppress(OSError):  # it has ended already, and wants none
            if self._channel is not None:
                self._channel.write(stdin)
                self._channel.write_eof()

    def end(self) -> None:
        """Kill it where it still runs, and let its channel go."""
        if self._quiet is not None:
            self._quiet.cancel()
        if self._channel is not None and not self._channel.is_closing():
            with contextlib.suppress(OSError):
                self._channel.kill()
            self._channel.abort()
        if not self.ended.done():
            self.ended.cancel()

    def connection_made(self, chan: "asyncssh.SSHClientChannel[bytes]") -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        into = self._err if datatype == STDERR else self._out
        into += data
        if len(into) > self._longest_output:
            self._done()
        elif self._code is not None:
            self._linger()

    def exit_status_received(self, status: int) -> None:
        self._code = status
        self._linger()

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self._code = -_number(signal)
        self._linger()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._lost = str(exc)
        self._done()

    def _linger(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
        self._quiet = asyncio.get_running_loop().call_later(LINGER, self._done)

    def _done(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class Link:
    """An open connection."""

    def __init__(self, connection: asyncssh.SSHClientConnection, host: str) -> None:
        self._connection = connection
        self._host = host

    def is_closed(self) -> bool:
        return self._connection.is_closed()

    async def begin(self, command: Command, line: str) -> None:
        """Have the far shell run the line. Raises UnansweredError where it perhaps runs."""
        try:
            await cast(Any, self._connection).create_session(
                lambda: command, line, encoding=None, request_pty=False, x11_forwarding=False
            )
        except (asyncssh.Error, OSError) as exc:
            if self.is_closed():
                raise UnansweredError(f"the connection to {self._host} was lost: {exc}") from exc
            raise ProviderError(f"{self._host} runs no command for us: {exc}") from exc

    def abort(self) -> None:
        """End it at once; the commands in it end as lost."""
        self._connection.abort()

    async def close(self, *, within: float) -> None:
        self._connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._connection.wait_closed()
        self._connection.abort()


async def connect(login: SshConfig) -> Link:
    """Log in. Raises ProviderError, one sentence: nothing was run."""
    try:
        return await _connect(login)
    except ValueError as exc:  # a key or a configuration file that cannot be read
        raise ProviderError(f"the way to {login.host} is not well configured: {exc}") from exc
    except asyncssh.PermissionDenied as exc:
        raise ProviderError(f"{login.host} does not let us in: {exc.reason}") from exc
    except asyncssh.Error as exc:
        raise ProviderError(f"{login.host} was not reached: {exc}") from exc
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise ProviderError(f"{login.host} was not reached: {reason}") from exc


async def _connect(login: SshConfig) -> Link:
    config = () if login.config_file is None else [_path(login.config_file)]
    options: asyncssh.SSHClientConnectionOptions = await cast(
        Any, asyncssh.SSHClientConnectionOptions
    ).construct(
        config=config,
        host=login.host,
        port=() if login.port is None else login.port,
        username=() if login.user is None else login.user,
        client_keys=() if login.identity_file is None else [_path(login.identity_file)],
        known_hosts=() if login.known_hosts_file is None else [_path(login.known_hosts_file)],
        agent_forwarding=False,
        keepalive_interval=KEEPALIVE_EVERY,
    )
    doorman = Doorman(login.host, options)
    try:
        connection = await asyncssh.connect(
            login.host,
            config=config,  # once more: for the jumps
            options=options,
            client_factory=lambda: doorman,
            known_hosts=doorman.known,
        )
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as exc:
        raise ProviderError(doorman.refusal(exc)) from exc
    return Link(connection, login.host)


class Doorman(asyncssh.SSHClient):
    """Looks up host keys, and says in words why one was refused."""

    def __init__(self, host: str, options: asyncssh.SSHClientConnectionOptions) -> None:
        self._host = host
        self._files = _known_hosts_files(options)
        self._listed = 0
        self._shown = ""

    def known(self, host: str, address: str, port: int | None) -> object:
        """The keys, authorities and revoked keys of the host in the known_hosts files."""
        found = asyncssh.match_known_hosts(
            asyncssh.read_known_hosts(self._files), host, address, port
        )
        self._listed += len(found[0]) + len(found[1])
        return found

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        self._shown = key.get_fingerprint()
        return False

    def refusal(self, exc: asyncssh.DisconnectError) -> str:
        if self._listed and self._shown:
            return (
                f"the host key of {self._host} has changed: it is now {self._shown}, which no line "
                f"of {_list(self._files)} has; ask those who run {self._host} before you trust it"
            )
        if self._shown:
            return (
                f"the host key of {self._host} is not known: it is {self._shown}, and "
                f"{_list(self._files)} has no line for it; compare it, then run "
                f"`ssh {self._host}` once and accept it"
            )
        return f"{self._host} was not reached: {exc.reason}"


def _known_hosts_files(options: asyncssh.SSHClientConnectionOptions) -> list[str]:
    """Those that are there. `UserKnownHostsFile none` gives no leave to trust anybody."""
    named: Any = options.known_hosts
    files = [str(file) for file in cast(list[object], named)] if isinstance(named, list) else []
    files = files or ["~/.ssh/known_hosts", SYSTEM_KNOWN_HOSTS]
    return [str(path) for file in files if (path := Path(file).expanduser()).is_file()]


def _path(text: str) -> str:
    return str(Path(text).expanduser())


def _list(files: Iterable[str]) -> str:
    return " or ".join(files) or "no known_hosts file"


def _number(name: str) -> int:
    try:
        return signal.Signals[f"SIG{name}"]
    except KeyError:
        return signal.SIGKILL
