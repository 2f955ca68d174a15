"""What is wrong all the time, until the faults end: loss, delay, errors that come and go."""

from random import Random

from tests.simulation.world import World


async def lossy_network(world: World, rng: Random) -> None:
    world.network.loss = rng.choice([0.02, 0.1, 0.25])


async def doubling_network(world: World, rng: Random) -> None:
    world.network.doubling = rng.choice([0.05, 0.2])


async def late_copies(world: World, rng: Random) -> None:
    """Requests arrive once more, seconds later."""
    world.network.late = rng.choice([0.02, 0.1])


async def slow_network(world: World, rng: Random) -> None:
    """So slow that messages overtake each other by seconds."""
    world.network.slowest = rng.choice([0.02, 0.3, 2.5])


async def flaky_store(world: World, rng: Random) -> None:
    world.store.trouble = rng.choice([0.02, 0.1])


async def slow_store(world: World, rng: Random) -> None:
    world.store.slowest = rng.choice([0.2, 1.0])


async def flaky_provider(world: World, rng: Random) -> None:
    world.provider.errs = rng.choice([0.1, 0.4])


async def forgetful_provider(world: World, rng: Random) -> None:
    """It accepts a submit, and nothing comes of it."""
    world.provider.loses = rng.choice([0.1, 0.5])


async def flaky_journal(world: World, rng: Random) -> None:
    world.journal.trouble = rng.choice([0.1, 0.5])


ALL = (
    lossy_network,
    doubling_network,
    late_copies,
    slow_network,
    flaky_store,
    slow_store,
    flaky_provider,
    forgetful_provider,
    flaky_journal,
)


def clear(world: World) -> None:
    """The end of all faults: everything works again, except what `unknown` says of itself."""
    network, store, provider = world.network, world.store, world.provider
    network.loss = network.doubling = network.late = 0.0
    network.slowest = min(network.slowest, 0.3)
    store.trouble = provider.errs = provider.loses = world.journal.trouble = 0.0
    provider.blind = min(provider.blind, 0.9)
    world.story.note("*** the world is whole again")
