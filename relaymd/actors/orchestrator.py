"""Puts the orchestrator together. The one place that knows every actor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from relaymd.actors.actor import Actor
from relaymd.actors.asks import Asks
from relaymd.actors.desk import Desk
from relaymd.actors.ledger import Ledger
from relaymd.actors.outbox import Outbox
from relaymd.actors.presence import Presence
from relaymd.actors.providers.provider import Provider
from relaymd.actors.provisioner import POLICY, Provisioner
from relaymd.actors.reaper import Reaper
from relaymd.actors.registry import Hints, Registry
from relaymd.actors.reports import Reports
from relaymd.actors.scheduler import Scheduler
from relaymd.actors.sightings import Sightings
from relaymd.actors.supervisor import Supervisor
from relaymd.actors.views import Views
from relaymd.bus.bus import Bus, Journal
from relaymd.bus.operating import ActorStatus
from relaymd.core.provisioning import PlanningPolicy
from relaymd.core.reaping import LivenessPolicy
from relaymd.core.restarts import RestartPolicy

Make: TypeAlias = Callable[[], Actor]
"""How an actor comes to be, each time anew."""


def as_it_is(name: str, make: Make) -> Make:
    return make


@dataclass(frozen=True)
class World:
    """What the actors live in; a simulation brings another."""

    bus: Bus
    journal: Journal
    ledger: Ledger
    presence: Presence
    providers: Sequence[Provider]
    rng: Random
    policy: LivenessPolicy
    restarts: RestartPolicy
    planning: PlanningPolicy = POLICY
    hints: Hints | None = None
    reachable: Callable[[], bool] = lambda: True
    """Whether our own connection stands: while it does not, nobody is silent."""

    recast: Callable[[str, Make], Make] = as_it_is
    """Gives another actor the part of the one of this name, or keeps an eye on it."""


def orchestrator(world: World) -> Supervisor:
    """All actors under one supervisor. They share the ledger, and what only memory knows."""
    bus, ledger, presence, policy = world.bus, world.ledger, world.presence, world.policy
    jitter = world.rng.random
    asks, sightings = Asks(ledger, presence), Sightings()
    views = Views(ledger, presence, asks, sightings, policy)
    started_at = ledger.wall()

    def health() -> tuple[ActorStatus, ...]:
        return supervisor.health()

    actors: dict[str, Make] = {
        "registry": lambda: Registry(
            bus, ledger, presence, views, policy=policy, jitter=jitter, hints=world.hints
        ),
        "scheduler": lambda: Scheduler(bus, ledger, presence, asks, jitter=jitter),
        "reports": lambda: Reports(bus, ledger, presence, jitter=jitter),
        "desk": lambda: Desk(bus, ledger, views, started_at=started_at, health=health),
        "reaper": lambda: Reaper(
            bus,
            ledger,
            presence,
            sightings,
            policy=policy,
            jitter=jitter,
            reachable=world.reachable,
        ),
        "provisioner": lambda: Provisioner(
            bus,
            ledger,
            presence,
            sightings,
            world.providers,
            entropy=world.rng.randbytes,
            policy=world.planning,
        ),
        "outbox": lambda: Outbox(bus, ledger, world.journal),
    }
    cast = {name: world.recast(name, make) for name, make in actors.items()}
    supervisor = Supervisor(cast, world.restarts)
    return supervisor
