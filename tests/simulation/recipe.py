"""What may be put in place of a part, so that a planted bug shows whether it would be found."""

from collections.abc import Callable

from relaymd.actors.actor import Actor
from relaymd.actors.ledger import Ledger
from relaymd.actors.orchestrator import World as Parts
from relaymd.actors.providers.provider import Provider
from relaymd.bus.bus import Bus
from relaymd.process import Offload
from relaymd.storage.store import Store


class Recipe:
    """The parts as they are. A mutant replaces one of them."""

    name = "sound"
    sign = ""
    """What a violation says that is due to it: a bug must be found for what it is."""

    def bus(self, bus: Bus, ledger: Ledger) -> Bus:
        """The orchestrator's."""
        return bus

    def worker_bus(self, bus: Bus) -> Bus:
        return bus

    def worker_store(self, store: Store) -> Store:
        return store

    def offload(self, offload: Offload) -> Offload:
        """A worker's, with which it does everything on its disk."""
        return offload

    def provider(self, provider: Provider) -> Provider:
        return provider

    def recast(self, parts: Parts, name: str, make: Callable[[], Actor]) -> Callable[[], Actor]:
        """An actor, by its name."""
        return make


SOUND = Recipe()
