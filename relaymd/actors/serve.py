"""The orchestrator's process: opens the ledger, finds the server, runs the actors.

Exit codes: 0 it was told to end; 69 no NATS server; 73 the ledger cannot be used; 70 an actor
crashed again and again; 78 the configuration is wrong.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from relaymd import connection, logs, process
from relaymd.actors.database import open_database
from relaymd.actors.disk import DatabaseError
from relaymd.actors.ledger import Ledger
from relaymd.actors.orchestrator import World, orchestrator
from relaymd.actors.presence import Presence
from relaymd.actors.providers.configured import clusters
from relaymd.actors.providers.local import LocalProvider
from relaymd.actors.registry import Hints
from relaymd.actors.supervisor import CrashLoopError, innermost
from relaymd.bus.advisories import Disconnection
from relaymd.bus.bus import UnreachableError
from relaymd.bus.client import connect
from relaymd.bus.journal import NatsJournal
from relaymd.bus.remote import NatsBus
from relaymd.config import Config, load_config
from relaymd.connection import NoStackError, Role
from relaymd.core.devices import visible
from relaymd.core.ids import Monotonic, UnixTime
from relaymd.core.provisioning import PlanningPolicy
from relaymd.core.reaping import LivenessPolicy
from relaymd.core.resources import Gpu
from relaymd.core.restarts import RestartPolicy
from relaymd.machine import Machine
from relaymd.settings import InvalidConfigError

log = structlog.get_logger(__name__)

PATIENCE = 60.0
"""Seconds for which a server that is still starting is waited for."""

SWITCH_EVERY = 0.0005
"""Seconds after which the loop lets the ledger's thread on; Python's 5 ms would be added to every
commit while the loop is busy."""

CODES: Mapping[type[Exception], int] = {
    UnreachableError: 69,
    NoStackError: 69,
    CrashLoopError: 70,
    DatabaseError: 73,
    InvalidConfigError: 78,
}


def main() -> None:
    sys.setswitchinterval(SWITCH_EVERY)
    process.follow_parent(os.environ)
    try:
        config = load_config()
        logs.set_up("orchestrator", level=config.log_level, environ=os.environ)
        process.run(_until_told(serve(config, os.environ)))
    except* tuple(CODES) as group:
        error = innermost(group)
        log.error("orchestrator.ends", reason=str(error))
        code = next(code for kind, code in CODES.items() if isinstance(error, kind))
        sys.exit(code)


async def serve(config: Config, environ: Mapping[str, str]) -> None:
    """Run until cancelled. Raises one of the errors in CODES, also in a group."""
    state = Path(config.state_dir)
    os.makedirs(state, exist_ok=True)
    presence = Presence(clock=_monotonic)
    async with (
        open_database(state / "relaymd.db") as disk,
        Ledger.open(disk, wall=_wall) as ledger,
        _connected(config, Role.ORCHESTRATOR, presence.reset) as bus,
        _hints(config) as hints,
        clusters(config) as far,
    ):
        presence.reset()
        local = LocalProvider(
            state,
            {key: value for key, value in environ.items() if key != process.PARENT},
            limit=config.local_workers,
            slots=config.worker_slots,
            gpus=await _gpus(config, environ),
            declared=config.worker_platforms,
        )
        world = World(
            bus=bus,
            journal=NatsJournal(bus),
            ledger=ledger,
            presence=presence,
            providers=[local, *far],
            rng=random.Random(),
            policy=policy(config),
            planning=PlanningPolicy(overflow_after=config.overflow_after_seconds),
            restarts=RestartPolicy(),
            hints=hints,
            reachable=lambda: bus.connected,
        )
        log.info("orchestrator.runs", jobs=len(ledger.jobs), workers=len(ledger.workers))
        await orchestrator(world).run()


def policy(config: Config) -> LivenessPolicy:
    return LivenessPolicy(
        heartbeat_every=config.worker_heartbeat_interval_seconds,
        time_to_live=config.lease_time_to_live_seconds,
        margin=config.lease_margin_seconds,
        disconnect_grace=config.disconnect_grace_seconds,
        hang_up_grace=config.hang_up_grace_seconds,
        confirm_within=config.lease_confirm_seconds,
    )


@asynccontextmanager
async def _connected(
    config: Config, role: Role, on_reconnect: Callable[[], None] = lambda: None
) -> AsyncGenerator[NatsBus]:
    access = connection.find(config, role)
    async with connect(
        access.url,
        role=role,
        password=access.password,
        user=access.user,
        name=f"relaymd-{role}",
        patience=PATIENCE,
        on_reconnect=on_reconnect,
    ) as bus:
        yield bus


@asynccontextmanager
async def _hints(config: Config) -> AsyncGenerator[Hints | None]:
    """What the server's own account tells of lost connections; a site's server may not."""
    if config.nats_url is not None:
        yield None
        return
    async with _connected(config, Role.SYSTEM) as bus:

        async def hints() -> AsyncIterator[Disconnection]:
            async with bus.disconnections() as lost:
                async for one in lost:
                    yield one

        yield hints


async def _until_told(work: Coroutine[None, None, None]) -> None:
    """Run it; SIGTERM and SIGINT end it in good order."""
    task = asyncio.current_task()
    assert task is not None

    def told(number: signal.Signals) -> None:
        log.info("orchestrator.told_to_end", signal=number.name)
        task.cancel()

    with process.signals(told):
        try:
            await work
        except asyncio.CancelledError:
            log.info("orchestrator.ended")


async def _gpus(config: Config, environ: Mapping[str, str]) -> Sequence[Gpu]:
    """Those that local workers will have."""
    if not config.local_workers:
        return ()
    return visible(await Machine().cards(), environ.get("CUDA_VISIBLE_DEVICES"))


def _monotonic() -> Monotonic:
    return Monotonic(asyncio.get_running_loop().time())


def _wall() -> UnixTime:
    return UnixTime(time.time())
