"""The embedded stack: server, bridge, orchestrator, and down again in the other order.

    lock ─► server ─► bridge, orchestrator ─► ready ─► (a signal) ─► workers sent home
                                                                          │
            unlock ◄─ server ◄─ bridge ◄─ orchestrator ◄──────────────────┘

When a part fails for good the workers are left alone: their engines run on, and the next stack
on this folder adopts them.
"""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from relaymd.actors.providers.processes import local_workers
from relaymd.bus import contract
from relaymd.bus.bus import Bus, BusError, Journal
from relaymd.bus.client import connect
from relaymd.bus.journal import NatsJournal
from relaymd.bus.operating import AskStatus, ListClusters, Status, WindDown
from relaymd.bus.server import EmbeddedServer, ServerFailedError, Settings, embedded
from relaymd.cli.child import Child
from relaymd.cli.draining import drain
from relaymd.cli.failures import CommandError
from relaymd.cli.words import left_behind, number
from relaymd.config import Config, StorageConfig
from relaymd.connection import (
    Connection,
    Credentials,
    Role,
    ensure_credentials,
    find,
    remove_connection,
    write_connection,
)
from relaymd.process import PARENT
from relaymd.storage.open import prepare_store
from relaymd.web.listening import bind, url

DRAIN_MARGIN = 15.0
"""Seconds a worker gets beyond its own bound for draining before it is killed."""

ASK_AGAIN = 0.1
"""Seconds between two questions whether the orchestrator is ready."""

LARGEST_LOG = 20_000_000
"""Bytes of a child's log beyond which it is put aside at the next start."""

Tell = Callable[[str], None]
"""Takes one sentence for the person who watches."""


@dataclass(frozen=True)
class Running:
    """What can be done with a stack while it runs."""

    connection: Connection
    bus: Bus
    journal: Journal

    async def ready(self) -> Status:
        """The first answer of the orchestrator, however long it takes."""
        while True:
            with suppress(BusError):
                return await self.bus.ask(contract.STATUS, AskStatus())
            await asyncio.sleep(ASK_AGAIN)


class Stack:
    """How to run a stack on one state folder."""

    def __init__(
        self,
        config: Config,
        environ: Mapping[str, str],
        tell: Tell,
        *,
        orchestrator: str = "relaymd.actors",
    ) -> None:
        """orchestrator: the module that is run as one."""
        self.state = Path(config.state_dir)
        self._config = config
        self._environ = {**environ, "RELAYMD_STATE_DIR": str(self.state), PARENT: str(os.getpid())}
        self._tell = tell
        self._orchestrator = orchestrator
        self._children: list[Child] = []
        self._nats: EmbeddedServer | None = None

    def children(self) -> set[int]:
        """Processes that this one started, and waits for."""
        pids = {child.pid for child in self._children}
        if self._nats is not None:
            pids.add(self._nats.pid)
        return {pid for pid in pids if pid is not None}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Running]:
        """The processes are up, and kept up, as long as the block lasts.

        Raises CommandError and CannotListenError, also in a group.
        """
        credentials = ensure_credentials(self.state)
        storage = self._storage()
        async with AsyncExitStack() as parts:
            bridge = parts.enter_context(
                closing(bind(self._config.bridge_host, self._config.bridge_port))
            )
            server = await parts.enter_async_context(self._server(credentials))
            connection = Connection(
                nats_url=server, bridge_url=url(bridge), storage=storage, pid=os.getpid()
            )
            write_connection(self.state, connection)
            parts.callback(remove_connection, self.state)
            access = find(self._config, Role.OPERATOR)
            await parts.enter_async_context(self._kept_up(bridge.fileno()))
            bus = await parts.enter_async_context(
                connect(
                    access.url,
                    role=Role.OPERATOR,
                    user=access.user,
                    password=access.password,
                    name=f"relaymd-up-{os.getpid()}",
                )
            )
            yield Running(connection, bus, NatsJournal(bus))

    async def send_workers_home(self, bus: Bus, hurry: asyncio.Event) -> None:
        """Let the local workers store and give back what they hold, and leave."""
        with suppress(BusError):  # without an orchestrator nobody asks for more workers
            await bus.ask(contract.WIND_DOWN, WindDown())
        if present := len(local_workers(self.state)):
            workers = number(present, "local worker")
            self._tell(f"waiting for {workers} to store and leave; Ctrl-C once more kills at once")
        within = self._config.worker_drain_seconds + DRAIN_MARGIN
        killed = await drain(lambda: local_workers(self.state), within=within, hurry=hurry)
        if killed:
            workers = number(killed, "local worker")
            self._tell(f"{workers} killed; what they ran goes on from its last checkpoint")
        await self._tell_what_stays(bus)

    async def _tell_what_stays(self, bus: Bus) -> None:
        """What goes on costing without us."""
        with suppress(BusError):
            for view in (await bus.ask(contract.CLUSTERS, ListClusters())).clusters:
                if text := left_behind(view):
                    self._tell(text)

    @asynccontextmanager
    async def _server(self, credentials: Credentials) -> AsyncGenerator[str]:
        """Where NATS answers: at the site's server, where one is configured, else at our own."""
        if self._config.nats_url is not None:
            yield self._config.nats_url
            return
        async with AsyncExitStack() as parts:
            try:
                own = await parts.enter_async_context(embedded(self._settings(), credentials))
            except ServerFailedError as exc:
                raise CommandError(str(exc)) from None
            self._nats = own
            yield own.url

    @asynccontextmanager
    async def _kept_up(self, bridge: int) -> AsyncGenerator[None]:
        """Bridge and orchestrator; at the end the orchestrator goes first."""
        names = {"bridge": ("relaymd.web", bridge), "orchestrator": (self._orchestrator, None)}
        async with asyncio.TaskGroup() as tasks:
            self._children = [self._child(name, module, fd) for name, (module, fd) in names.items()]
            running = [tasks.create_task(child.run()) for child in self._children]
            try:
                yield
            finally:
                for task in reversed(running):
                    task.cancel()
                    await asyncio.wait([task])

    def _child(self, name: str, module: str, fd: int | None) -> Child:
        folder = self.state / "logs"
        folder.mkdir(exist_ok=True)
        output = folder / f"{name}.log"
        if output.exists() and output.stat().st_size > LARGEST_LOG:
            output.replace(output.with_suffix(".log.1"))
        return Child(
            name,
            [sys.executable, "-m", module, *(["--fd", str(fd)] if fd is not None else [])],
            environ=self._environ,
            output=output,
            pass_fds=[fd] if fd is not None else [],
            died=self._tell,
        )

    def _settings(self) -> Settings:
        return Settings(
            folder=self.state / "nats", host=self._config.nats_host, port=self._config.nats_port
        )

    def _storage(self) -> StorageConfig:
        """As others find it: the folder made and resolved, no secrets."""
        return msgspec.structs.replace(
            prepare_store(self._config.storage, self.state),
            read_token=None,
            access_key_id=None,
            secret_access_key=None,
        )
