"""What befalls a process, a disk or a line for a while."""

import asyncio
from contextlib import suppress
from random import Random

import msgspec

from relaymd.core.checkpoint import Checkpoint
from relaymd.core.job import Job
from relaymd.storage import keys
from relaymd.storage.manifest import Manifest
from tests.simulation.process import Process
from tests.simulation.staff import Hand
from tests.simulation.world import World, crash


def some_worker(world: World, rng: Random) -> Hand | None:
    living = [*world.staff.hands.values()]
    return rng.choice(living) if living else None


def running(world: World) -> Process | None:
    """The orchestrator, if it lives."""
    process = world.orchestrator
    return process if process is not None and process.alive else None


async def kill_worker(world: World, rng: Random) -> None:
    if hand := some_worker(world, rng):
        hand.process.kill()


async def kill_worker_soon(world: World, rng: Random) -> None:
    """At any await: after so many more of its turns."""
    if hand := some_worker(world, rng):
        hand.process.doomed_at = hand.process.turns + rng.randrange(1, 200)


async def kill_before_the_last_word(world: World, rng: Random) -> None:
    """It has written down how a lease ended, and may not have said it. Its folder stays."""
    hand = some_worker(world, rng)
    if hand is None:
        return
    hand.disk.keeps.clear()
    with suppress(TimeoutError):
        async with asyncio.timeout(6.0):
            await hand.disk.keeps.wait()
            await asyncio.sleep(rng.choice([0.0, 0.002, 0.01]))
    hand.process.kill()
    await asyncio.sleep(rng.choice([0.1, 1.0]))
    world.staff.start_again(hand)


async def freeze_worker(world: World, rng: Random) -> None:
    if hand := some_worker(world, rng):
        hand.process.frozen = True
        await asyncio.sleep(rng.choice([0.3, 2.0, 8.0]))
        world.loop.thaw(hand.process)


async def drain_worker(world: World, rng: Random) -> None:
    """SIGTERM, now and then a second one."""
    hand = some_worker(world, rng)
    if hand and hand.worker:
        for _ in range(rng.choice([1, 1, 2])):
            hurry, context = hand.worker.hurry, hand.process.context
            world.loop.call_soon(hurry, "the worker got SIGTERM", context=context)
            await asyncio.sleep(rng.uniform(0.0, 1.5))


async def part_worker(world: World, rng: Random) -> None:
    if hand := some_worker(world, rng):
        world.network.cut.add(hand.party)
        await asyncio.sleep(rng.choice([0.3, 2.0, 8.0, 25.0]))
        if hand.process.alive:
            world.network.cut.discard(hand.party)


async def mute_worker(world: World, rng: Random) -> None:
    """It hears, and is not heard."""
    if hand := some_worker(world, rng):
        world.network.mute.add(hand.party)
        await asyncio.sleep(rng.choice([0.3, 2.0, 8.0]))
        world.network.mute.discard(hand.party)


async def deafen_worker(world: World, rng: Random) -> None:
    """It is heard, and hears nothing."""
    if hand := some_worker(world, rng):
        world.network.deaf.add(hand.party)
        await asyncio.sleep(rng.choice([0.3, 2.0, 8.0]))
        world.network.deaf.discard(hand.party)


async def slow_consumer(world: World, rng: Random) -> None:
    """Somebody is seconds behind with what it receives."""
    hand, process = some_worker(world, rng), running(world)
    parties = [*([hand.party] if hand else []), *([process.name] if process else [])]
    if parties:
        party = rng.choice(parties)
        world.network.sluggish[party] = rng.choice([0.3, 1.5, 5.0])
        await asyncio.sleep(rng.uniform(0.5, 5.0))
        world.network.sluggish.pop(party, None)


async def twin_worker(world: World, rng: Random) -> None:
    """The provider starts a second process for an allocation that has one."""
    if hand := some_worker(world, rng):
        world.staff.start(hand.allocation, twin=rng.random() < 0.5)


async def fill_node(world: World, rng: Random) -> None:
    """A worker's disk is full, or nearly."""
    if hand := some_worker(world, rng):
        hand.disk.full = rng.choice([0.3, 1.0])
        await asyncio.sleep(rng.choice([0.3, 2.0, 8.0]))
        hand.disk.full = 0.0


async def kill_orchestrator(world: World, rng: Random) -> None:
    if process := running(world):
        process.kill()
        await asyncio.sleep(rng.choice([0.1, 1.0, 8.0]))
        world.start_orchestrator()


async def kill_orchestrator_soon(world: World, rng: Random) -> None:
    """At any await: after so many more of its turns."""
    if process := running(world):
        process.doomed_at = process.turns + rng.randrange(1, 300)
        died = asyncio.Event()
        process.on_death.append(died.set)
        await died.wait()
        await asyncio.sleep(rng.uniform(0.0, 1.0))
        world.start_orchestrator()


async def freeze_orchestrator(world: World, rng: Random) -> None:
    if process := running(world):
        process.frozen = True
        await asyncio.sleep(rng.choice([0.3, 2.0, 6.0]))
        world.loop.thaw(process)


async def crash_actor(world: World, rng: Random) -> None:
    """An exception within one actor."""
    process = running(world)
    if process and world.actors:
        name = rng.choice(sorted(world.actors))
        world.crashes += 1
        world.loop.call_soon(crash, world.actors[name], context=process.context)


async def stop_broker(world: World, rng: Random) -> None:
    world.network.down += 1
    world.journal.available = False
    await asyncio.sleep(rng.choice([0.2, 1.5, 6.0]))
    world.network.down -= 1
    if not world.network.down:
        world.journal.available = True
        world.reconnected()


async def stop_journal(world: World, rng: Random) -> None:
    """The stream of events alone is away."""
    world.journal.available = False
    await asyncio.sleep(rng.choice([0.3, 2.0, 8.0]))
    world.journal.available = not world.network.down


async def fill_disk(world: World, rng: Random) -> None:
    world.disk.failing = True
    await asyncio.sleep(rng.choice([0.1, 1.0]))
    world.disk.failing = False


async def lying_disk(world: World, rng: Random) -> None:
    """Commits land and are said to have failed."""
    world.disk.lying = True
    await asyncio.sleep(rng.choice([0.1, 1.0]))
    world.disk.lying = False


async def break_store(world: World, rng: Random) -> None:
    world.store.trouble = 1.0
    await asyncio.sleep(rng.choice([0.3, 2.0, 7.0]))
    world.store.trouble = 0.0


async def deny_store(world: World, rng: Random) -> None:
    world.store.denies = True
    await asyncio.sleep(rng.choice([0.3, 2.0]))
    world.store.denies = False


async def damage_generation(world: World, rng: Random) -> None:
    """A flipped bit, half an object, or none, in one committed generation; others stay whole.

    Mostly the worker that runs the job dies with it, so that somebody has to restore.
    """
    for _ in range(40):
        jobs = [job for _, job in sorted(world.disk.jobs.items()) if len(job.checkpoints) > 1]
        jobs = [job for job in jobs if not job.state.is_final]
        if jobs or world.store.damaged:
            break
        await asyncio.sleep(0.25)
    else:
        return
    if world.store.damaged:
        return
    job = rng.choice(jobs)
    victim = rng.choice([job.checkpoints[-1], job.checkpoints[-1], *job.checkpoints])
    key = victim.manifest
    if rng.random() < 0.5:
        others = {
            key for one in job.checkpoints if one != victim for key in _packs(world, job, one)
        }
        own = [key for key in _packs(world, job, victim) if key not in others]
        key = rng.choice(own) if own else key
    data = world.store.objects[key]
    at = rng.randrange(len(data))
    flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    world.story.note(f"{key} is damaged")
    world.store.spoil(key, rng.choice([flipped, data[:at], None]))
    holder = world.staff.hands.get(job.lease.worker) if job.lease else None
    if holder is not None and rng.random() < 0.8:
        holder.process.kill()


def _packs(world: World, job: Job, checkpoint: Checkpoint) -> list[str]:
    manifest = msgspec.json.decode(world.store.objects[checkpoint.manifest], type=Manifest)
    return [keys.pack(job.id, pack.epoch, pack.round, pack.name) for pack in manifest.packs]


async def blind_provider(world: World, rng: Random) -> None:
    """It knows nothing of anybody, for as long as it likes: `unknown` is no verdict."""
    world.provider.blind = 1.0
    await asyncio.sleep(rng.choice([1.0, 8.0, 25.0]))
    world.provider.blind = 0.2


async def step_clock(world: World, rng: Random) -> None:
    """A wall clock is set: forward or back."""
    step = rng.choice([-3600.0, -5.0, 5.0, 3600.0])
    if rng.random() < 0.5:
        world.skew += step
    else:
        world.worker_skew += step


ALL = (
    kill_worker,
    kill_worker_soon,
    kill_before_the_last_word,
    freeze_worker,
    drain_worker,
    part_worker,
    mute_worker,
    deafen_worker,
    slow_consumer,
    twin_worker,
    fill_node,
    kill_orchestrator,
    kill_orchestrator_soon,
    freeze_orchestrator,
    crash_actor,
    stop_broker,
    stop_journal,
    fill_disk,
    lying_disk,
    break_store,
    deny_store,
    damage_generation,
    blind_provider,
    step_clock,
)
