"""What is removed from a job's checkpoints, by whom, and what never is."""

import asyncio
import os
import random
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from relaymd.core.checkpoint import KEPT, Checkpoint
from relaymd.core.ids import Epoch, Generation, UnixTime
from relaymd.storage import keys
from relaymd.storage.collecting import Collected, collect
from relaymd.storage.folder import FolderStore
from relaymd.storage.generations import load_manifest, put_manifest
from relaymd.storage.manifest import CHUNK_SIZE, Manifest
from relaymd.storage.patterns import match
from relaymd.storage.restore import restore_newest
from relaymd.storage.store import DamagedObjectError, StorageError, Store
from relaymd.storage.stored import Stored
from tests.storage.faulty import Fault, FaultyStore, Plan
from tests.storage.generation import HURRIED, JOB, in_place, objects, send, tree, write


class Lease:
    """A worker's storage side: saves generations, and collects, by what it knows."""

    def __init__(self, store: Store, root: Path, epoch: int, committed: list[Checkpoint]) -> None:
        self.store = store
        self.root = root
        self.epoch = Epoch(epoch)
        self.committed = committed
        """As the ledger gave it, and as this lease knows it to have grown."""

        self.unanswered: list[Checkpoint] = []
        self.stored = Stored()

    async def restore(self) -> None:
        restored = await restore_newest(
            self.store, JOB, self.committed, self.root, patience=HURRIED, offload=in_place
        )
        self.stored = Stored.of(restored.manifest)

    async def save(self, number: int, *, large: bool = False) -> Checkpoint:
        """A generation with one file that changes, one that grows, and one that stays."""
        files = {"state": b"state %d" % number, "log": b"l" * number, "stays": b"stays"}
        if large:
            files["large"] = os.urandom(CHUNK_SIZE)
        write(self.root, files)
        paths = match(self.root, ["**"])
        sent = await send(
            self.store,
            self.root,
            paths,
            stored=self.stored,
            epoch=self.epoch,
            offload=in_place,
        )
        manifest = Manifest(
            job=JOB,
            generation=Generation(number),
            epoch=self.epoch,
            at=UnixTime(1.0 * number),
            files=sent.files,
            packs=self.stored.packs_of(sent.files),
        )
        return await put_manifest(self.store, manifest)

    async def commit(self, number: int, *, large: bool = False) -> Checkpoint:
        self.committed.append(await self.save(number, large=large))
        return self.committed[-1]

    async def collect(self) -> Collected:
        keep = [*self.committed[-KEPT:], *self.unanswered]
        return await collect(self.store, JOB, self.epoch, keep, self.stored)


@pytest.fixture
def quick(store_root: Path) -> FolderStore:
    return FolderStore(store_root, in_place)


async def stored(store: Store) -> set[str]:
    return {info.key async for info in store.list(keys.checkpoints(JOB))}


async def needed(store: Store, checkpoints: list[Checkpoint]) -> set[str]:
    found = {checkpoint.manifest for checkpoint in checkpoints}
    for checkpoint in checkpoints:
        found |= objects(await load_manifest(store, JOB, checkpoint))
    return found


async def are_whole(store: Store, checkpoints: list[Checkpoint], root: Path) -> None:
    for checkpoint in checkpoints:
        target = root / f"{checkpoint.generation}"
        await restore_newest(store, JOB, [checkpoint], target, patience=HURRIED, offload=in_place)
        assert tree(target)["state"][0] == b"state %d" % checkpoint.generation


async def test_the_last_five_generations_stay_and_the_first(
    quick: FolderStore, tmp_path: Path
) -> None:
    lease = Lease(quick, tmp_path / "work", 1, [])
    for number in range(1, 12):
        await lease.commit(number, large=number in (2, 9))
    before = await stored(quick)
    removed = await lease.collect()
    kept = [lease.committed[0], *lease.committed[-KEPT:]]
    assert await stored(quick) == await needed(quick, kept)
    assert removed.objects == len(before) - len(await stored(quick))
    assert removed.size > CHUNK_SIZE
    await are_whole(quick, kept, tmp_path / "back")
    assert (await lease.collect()).objects == 0


async def test_what_was_collected_and_comes_again_is_stored_under_another_key(
    quick: FolderStore, tmp_path: Path
) -> None:
    """The removal may be under way still when the same content is stored again."""
    lease = Lease(quick, tmp_path / "work", 1, [])
    for number in range(1, 9):
        await lease.commit(number)
    before = await stored(quick)
    await lease.collect()
    removed = before - await stored(quick)
    again = await lease.save(3)
    assert not objects(await load_manifest(quick, JOB, again)) & removed
    await are_whole(quick, [again], tmp_path / "back")


async def test_what_is_not_answered_yet_may_be_committed_and_stays(
    quick: FolderStore, tmp_path: Path
) -> None:
    lease = Lease(quick, tmp_path / "work", 1, [])
    for number in range(1, 8):
        await lease.commit(number)
    lease.unanswered = [await lease.save(8), await lease.save(9)]
    await lease.collect()
    await are_whole(quick, [*lease.committed[-KEPT:], *lease.unanswered], tmp_path / "back")


async def test_uploads_that_came_to_nothing_go_and_what_is_not_ours_stays(
    quick: FolderStore, tmp_path: Path
) -> None:
    dead = Lease(quick, tmp_path / "dead", 1, [])
    await dead.commit(1)
    await dead.save(2, large=True)  # and then its worker died
    foreign = [
        keys.latest(JOB),
        keys.chunk(JOB, "ab" * 32),
        f"{keys.checkpoints(JOB)}packs/notes.txt",
        f"{keys.checkpoints(JOB)}manifests/00000002-000001-0123456789abcdef.json.bak",
    ]
    for key in foreign:
        await quick.put(key, b"x")
    lease = Lease(quick, tmp_path / "work", 2, [*dead.committed])
    await lease.restore()
    await lease.commit(2)
    assert (await lease.collect()).size > CHUNK_SIZE
    assert await stored(quick) == {*foreign, *await needed(quick, lease.committed)}


async def test_when_a_generation_that_is_to_stay_cannot_be_read_nothing_goes(
    quick: FolderStore, store_root: Path, tmp_path: Path
) -> None:
    lease = Lease(quick, tmp_path / "work", 1, [])
    for number in range(1, 10):
        await lease.commit(number)
    (store_root / lease.committed[-2].manifest).write_bytes(b"{}")
    before = await stored(quick)
    with pytest.raises(DamagedObjectError):
        await lease.collect()
    assert await stored(quick) == before
    for call in range(8):
        faulty = FaultyStore(quick, Plan(faults=(Fault("unreachable", call=call),)))
        lease.store = faulty
        with pytest.raises(StorageError):
            await lease.collect()
        assert await stored(quick) == before or call == 7


@pytest.mark.parametrize("after", range(12))
async def test_a_crash_in_the_middle_costs_nothing_and_the_next_one_goes_on(
    after: int, quick: FolderStore, tmp_path: Path
) -> None:
    lease = Lease(quick, tmp_path / "work", 1, [])
    for number in range(1, 12):
        await lease.commit(number, large=True)

    class Dying(FaultyStore):
        """Removes so many objects, and is never heard of again."""

        left = after

        async def delete(self, keys: Iterable[str]) -> None:
            for key in keys:
                if self.left == 0:
                    raise asyncio.CancelledError
                self.left -= 1
                await super().delete([key])

    lease.store = Dying(quick)
    with pytest.raises(asyncio.CancelledError):
        await lease.collect()
    kept = [lease.committed[0], *lease.committed[-KEPT:]]
    await are_whole(quick, kept, tmp_path / "back")
    heir = Lease(quick, tmp_path / "heir", 2, lease.committed[-KEPT:])
    await heir.restore()
    await heir.commit(12)
    await heir.collect()
    kept = [lease.committed[0], *heir.committed[-KEPT:]]
    assert await stored(quick) == await needed(quick, kept)


@pytest.mark.parametrize("seed", range(60))
async def test_a_zombie_that_collects_and_uploads_harms_nothing_of_its_successors(
    seed: int, quick: FolderStore, tmp_path: Path
) -> None:
    """Three leases one after the other; those that are over do not know it, and go on."""
    rng = random.Random(seed)
    slow = FaultyStore(quick, Plan(latency=0.002, seed=seed))
    ledger: list[Checkpoint] = []
    every: list[asyncio.Task[None]] = []

    async def zombie(lease: Lease, number: int) -> None:
        """It has nobody to tell it that it is over: nothing it reports is answered."""
        for step in range(4):
            if rng.random() < 0.5:
                lease.unanswered.append(await lease.save(number + step))
            with suppress(DamagedObjectError):  # its successors have removed what it would keep
                await lease.collect()

    number = 0
    for epoch in (1, 2, 3):
        lease = Lease(slow, tmp_path / f"work{epoch}", epoch, ledger[-KEPT:])
        if ledger:
            await lease.restore()
        for _ in range(rng.randrange(1, 7)):
            number += 1
            ledger.append(await lease.commit(number, large=rng.random() < 0.2))
            if rng.random() < 0.4:
                await lease.collect()
        if rng.random() < 0.5:  # accepted, and the answer was lost
            number += 1
            lost = await lease.save(number)
            lease.unanswered.append(lost)
            ledger.append(lost)
        every.append(asyncio.create_task(zombie(lease, number + 1)))
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0.001)
    await asyncio.gather(*every)
    await are_whole(quick, ledger[-KEPT:], tmp_path / "back")
