"""A worker's process: `relaymd-worker`, `python -m relaymd.worker`, `relaymd worker`.

Exit codes: 0 it left in good order; 69 nobody answers, or does not want it; 73 its folder cannot
be used; 75 it left, and something it had to say waits in its outbox; 78 its configuration or its
environment is wrong.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import structlog

from relaymd import connection, logs, process
from relaymd.bus.bus import UnreachableError
from relaymd.bus.client import connect
from relaymd.config import Config, StorageConfig, load_config
from relaymd.connection import NoStackError, Role
from relaymd.core.clusters import IdleStrategy
from relaymd.core.ids import UnixTime
from relaymd.core.resources import ProviderKind
from relaymd.machine import Machine
from relaymd.settings import InvalidConfigError
from relaymd.storage.open import open_store
from relaymd.storage.store import StorageError
from relaymd.worker import home, notices
from relaymd.worker.guardians import guardians
from relaymd.worker.home import HomeTakenError
from relaymd.worker.identity import InvalidIdentityError, identify
from relaymd.worker.session import UnwantedError
from relaymd.worker.tools import Identity, Pace, Room, Tools
from relaymd.worker.worker import Worker

log = structlog.get_logger()

UNSAID = 75
CODES: Mapping[type[Exception], int] = {
    UnreachableError: 69,
    UnwantedError: 69,
    NoStackError: 69,
    StorageError: 69,
    HomeTakenError: 73,
    InvalidConfigError: 78,
    InvalidIdentityError: 78,
}

MIB = 1024 * 1024

ECHO = 1.0
"""Seconds within which SIGTERM is heard once: SLURM tells every process of an allocation, and a
container or a batch script that was told passes it on. Who presses Ctrl-C twice means it."""

AT_ONCE = 2.0
"""Seconds for which a worker that is to leave at once without work waits for its first."""

PATIENCE = 120.0
"""Seconds for which a worker on somebody's allocation looks for the server before it gives up."""

IMPATIENCE = 3.0
"""The same where a person waits for the answer."""


def run() -> None:
    """The console script."""
    argparse.ArgumentParser(
        prog="relaymd-worker",
        description="Be a worker on this machine, until there is no work or a signal comes.",
        epilog="It takes no options: what it needs is in the configuration and the environment; "
        "`relaymd config explain` shows it. Exit codes: 0 left in good order, 69 no server, 73 "
        "its folder cannot be used, 75 something unsaid waits in its outbox, 78 configuration.",
    ).parse_args()
    try:
        config = load_config()
        logs.set_up(
            "worker",
            level=config.log_level,
            environ=os.environ,
            secrets=(
                config.nats_password,
                config.storage.read_token,
                config.storage.access_key_id,
                config.storage.secret_access_key,
            ),
        )
        code = process.run(work(config))
    except tuple(CODES) as exc:
        print(f"relaymd-worker: {exc}", file=sys.stderr)  # noqa: T201 - the person's answer
        code = next(code for kind, code in CODES.items() if isinstance(exc, kind))
    sys.exit(code)


async def work(config: Config | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Be a worker until there is no work, or until a signal comes; the exit code.

    Raises one of the errors in CODES.
    """
    config = config or load_config()
    environ = os.environ if environ is None else environ
    machine = Machine()
    stop = Stop()
    with process.signals(stop.hear, also=[signal.SIGUSR1]):
        try:
            me = identify(
                environ,
                cards=await machine.cards(),
                host=machine.host(),
                slots=config.worker_slots,
                declared=config.worker_platforms,
            )
            async with tools(config, environ, me, machine) as given:
                worker = stop.worker = Worker(given)
                log.info("worker.runs", worker=me.worker, cluster=me.cluster, slots=me.slots)
                said = await worker.run()
        except asyncio.CancelledError:
            if not stop.early:
                raise
            return 0  # there was nothing to give back yet
    log.info("worker.left", worker=me.worker)
    return 0 if said else UNSAID


class Stop:
    """What SIGTERM and SIGINT mean: drain; a second one: hurry; before there is a worker: leave.

    SIGUSR1 says that the allocation ends soon. Whoever drains already has no reason to hurry then.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        """clock: monotonic; None: the running loop's."""
        self.worker: Worker | None = None
        self.early = False
        self._task = asyncio.current_task()
        self._clock = clock or asyncio.get_running_loop().time
        self._heard = float("-inf")

    def hear(self, number: signal.Signals) -> None:
        if number is signal.SIGUSR1 and self.worker is not None:
            return self.worker.drain("the scheduler says that the allocation ends soon")
        now = self._clock()
        if number is signal.SIGTERM and now - self._heard < ECHO:
            return
        self._heard = now
        if self.worker is not None:
            self.worker.hurry(f"the worker got {number.name}")
        elif self._task is not None:
            self.early = True
            self._task.cancel()


@asynccontextmanager
async def tools(
    config: Config, environ: Mapping[str, str], me: Identity, machine: Machine
) -> AsyncGenerator[Tools]:
    """Everything a worker works with, opened in order and closed again."""
    state = Path(config.state_dir)
    folder = Path(config.worker_dir or state / "workers") / me.worker
    access = connection.find(config, Role.WORKER)
    patience = PATIENCE if me.allocation or me.external else IMPATIENCE
    with home.claimed(folder):
        _adopt(folder)
        async with (
            open_store(_storage(config, state), state) as store,
            connect(
                access.url,
                role=Role.WORKER,
                password=access.password,
                name=me.worker,
                user=access.user,
                patience=patience,
            ) as bus,
            guardians() as engines,
        ):
            yield Tools(
                me=me,
                bus=bus,
                store=store,
                folder=folder,
                launch=engines.launch,
                offload=asyncio.to_thread,
                wall=lambda: UnixTime(time.time()),
                rng=random.Random(),
                pace=pace(config, me),
                room=Room(
                    memory=config.worker_transfer_memory_mib * MIB,
                    staging=config.worker_staging_mib * MIB,
                ),
                environment=dict(environ),
                listen=notices.pipe,
                machine=machine,
            )


def pace(config: Config, me: Identity) -> Pace:
    """The intervals of the configuration, for a worker of this kind."""
    strategy = config.worker_idle_strategy
    if strategy is None and me.provider is ProviderKind.SLURM:
        strategy = IdleStrategy.IMMEDIATE_EXIT
    leaves_at_once = strategy is IdleStrategy.IMMEDIATE_EXIT
    return Pace(
        measure_every=config.worker_heartbeat_interval_seconds,
        checkpoint_every=config.worker_checkpoint_poll_interval_seconds,
        drain_longest=config.worker_drain_seconds,
        alone_longest=config.worker_alone_seconds,
        idle_longest=AT_ONCE if leaves_at_once else config.worker_idle_poll_max_seconds,
    )


def _storage(config: Config, state: Path) -> StorageConfig:
    """What the configuration leaves open is as the stack's connection file says."""
    own, default = config.storage, StorageConfig()
    try:
        shared = connection.read_connection(state).storage
    except NoStackError:
        return own
    names = StorageConfig.__struct_fields__
    said = {
        name: getattr(own, name) for name in names if getattr(own, name) != getattr(default, name)
    }
    return msgspec.structs.replace(shared, **said)


def _adopt(folder: Path) -> None:
    try:
        home.adopt(folder)
    except OSError as exc:
        log.warning("worker.not_adopted", reason=str(exc))
