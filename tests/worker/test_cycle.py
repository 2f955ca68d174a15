"""Generations: what goes into one, when there is none, and what a failure leaves."""

import asyncio
import os
import time

import msgspec
import pytest

from relaymd.core.checkpoint import KEPT
from relaymd.core.ids import Generation
from relaymd.core.specification import parse
from relaymd.storage import keys
from relaymd.storage.store import (
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
)
from relaymd.worker.cycle import COLLECT_EVERY, Cycle, CycleError
from relaymd.worker.held import Wish
from tests.worker.bench import JOB, NOWHERE, SPEC, Bench
from tests.worker.shop import Shop


@pytest.fixture
def bench(shop: Shop) -> Bench:
    return Bench(shop)


async def test_generations_count_up_and_point_to_the_newest(bench: Bench) -> None:
    bench.write(a="1")
    assert await bench.cycle.once()
    bench.write(a="2")
    assert await bench.cycle.once()
    assert bench.committed == [1, 2]
    latest = msgspec.json.decode(await bench.store.get(keys.latest(JOB)))
    assert latest["generation"] == 2


async def test_what_the_engine_said_is_stored_before_the_generation_exists(bench: Bench) -> None:
    for text in ("1", "2"):
        bench.write(a=text)
        await bench.cycle.once()
    assert bench.committed_at_output == [[], [1]]


async def test_a_generation_whose_cycle_was_cut_short_behind_its_upload_is_still_reported(
    bench: Bench,
) -> None:
    """As when the engine ends just then: what is stored must not be forgotten, and its number."""
    stuck = asyncio.Event()

    async def never() -> None:
        stuck.set()
        await asyncio.Event().wait()

    bench.write(a="1")
    cycle = Cycle(
        bench.shop.tools(),
        bench.held,
        bench.place,
        SPEC,
        restored=None,
        generation=Generation(0),
        store_output=never,
    )
    cut = asyncio.create_task(cycle.once())
    await stuck.wait()
    cut.cancel()
    await asyncio.wait({cut})
    await cycle.settle()
    assert bench.committed == [1]


async def test_nothing_changed_is_no_generation(bench: Bench) -> None:
    bench.write(a="1")
    await bench.cycle.once()
    assert not await bench.cycle.once()
    assert bench.committed == [1]


async def test_a_file_written_again_with_the_same_content_is_unchanged(bench: Bench) -> None:
    bench.write(a="1")
    await bench.cycle.once()
    bench.write(a="1")
    assert not await bench.cycle.once()
    assert bench.committed == [1]


async def test_a_file_that_is_absent_for_a_while_stays_in_the_generation(bench: Bench) -> None:
    bench.write(a="1", b="1")
    await bench.cycle.once()
    (bench.place.work / "a.chk").unlink()
    bench.write(b="2")
    await bench.cycle.once()
    assert [entry.path for entry in (await bench.manifest()).files] == ["a.chk", "b.chk"]


async def test_when_every_file_is_absent_nothing_is_committed_over_the_checkpoint(
    bench: Bench,
) -> None:
    bench.write(a="1")
    await bench.cycle.once()
    (bench.place.work / "a.chk").unlink()
    assert not await bench.cycle.once()
    assert bench.committed == [1]


async def test_three_hundred_files_are_all_stored(bench: Bench) -> None:
    """More than 250 matching files once meant that none was."""
    bench.write(**{f"f{n}": str(n) for n in range(300)})
    await bench.cycle.once()
    assert len((await bench.manifest()).files) == 300


async def test_restored_files_are_not_stored_again(bench: Bench) -> None:
    bench.write(a="1", b="1")
    await bench.cycle.once()
    resumed = bench.new_cycle(await bench.manifest(), generation=1)
    await resumed.learn()
    assert not await resumed.once()
    bench.write(b="2")
    assert await resumed.once()
    assert bench.committed == [1, 2]
    assert bench.shop.desk.committed[JOB][-1].uploaded == 1


async def test_after_falling_back_a_generation_the_next_number_is_still_new(bench: Bench) -> None:
    bench.write(a="1")
    await bench.cycle.once()
    elder = await bench.manifest()
    bench.write(a="2")
    await bench.cycle.once()
    bench.write(a="1")
    resumed = bench.new_cycle(elder, generation=2)
    await resumed.learn()
    bench.write(a="3")
    await resumed.once()
    assert bench.committed == [1, 2, 3]


async def test_progress_is_that_of_the_copy(bench: Bench) -> None:
    bench.write(a="1")
    (bench.place.work / "progress").write_text("0.25")
    await bench.cycle.once()
    progress = bench.shop.desk.committed[JOB][-1].progress
    assert progress is not None
    assert progress.fraction == 0.25


@pytest.mark.parametrize(
    ("error", "soon"),
    [
        (StorageFullError("k", "no space left"), False),
        (StorageDeniedError("k", "403 Forbidden"), False),
        (StorageUnreachableError("k", "500 Internal Server Error"), True),
    ],
)
async def test_what_the_store_refused_is_named_and_commits_nothing(
    bench: Bench, error: StorageError, soon: bool
) -> None:
    bench.write(a="1")
    bench.store.error = error
    with pytest.raises(CycleError, match=error.reason) as raised:
        await bench.cycle.once()
    assert raised.value.soon is soon
    assert bench.committed == []
    bench.store.error = None
    assert await bench.cycle.once()
    assert bench.committed == [1]


async def test_a_report_that_nobody_answers_waits_and_keeps_its_number(bench: Bench) -> None:
    bench.write(a="1")
    bench.shop.desk.away = True
    assert await bench.cycle.once()
    bench.write(a="2")
    assert await bench.cycle.once()
    assert [c.generation for c in bench.cycle.unanswered] == [1, 2]
    bench.shop.desk.away = False
    await bench.cycle.settle()
    assert bench.committed == [1, 2]
    assert not bench.cycle.unanswered


async def test_what_was_stored_alone_is_garbage_if_the_lease_is_over(bench: Bench) -> None:
    bench.write(a="1")
    bench.shop.desk.away = True
    await bench.cycle.once()
    bench.shop.desk.away = False
    bench.shop.desk.revoke(JOB)
    await bench.cycle.settle()
    assert bench.held.wish is Wish.DROP
    assert bench.committed == []
    assert not bench.cycle.unanswered


async def test_a_refused_generation_is_a_failure_and_the_number_is_used_again(
    bench: Bench,
) -> None:
    bench.cycle = bench.new_cycle(generation=7)
    bench.write(a="1")
    with pytest.raises(CycleError, match="generation 8 after 0"):
        await bench.cycle.once()
    assert not bench.cycle.unanswered


async def test_a_marker_that_is_removed_during_the_copy_makes_it_void_and_it_is_tried_again(
    shop: Shop,
) -> None:
    bench = Bench(shop, msgspec.structs.replace(SPEC, checkpoint_marker="valid"))
    bench.write(a="1")

    async def validate_later() -> None:
        await asyncio.sleep(0.07)
        (bench.place.work / "valid").touch()

    async with asyncio.TaskGroup() as group:
        group.create_task(validate_later())
        assert await bench.cycle.once()
    assert bench.committed == [1]
    assert not shop.desk.said("CheckpointMiss")


async def test_a_marker_that_was_never_there_is_no_failure_but_is_said(shop: Shop) -> None:
    bench = Bench(shop, msgspec.structs.replace(SPEC, checkpoint_marker="valid"))
    bench.write(a="1")
    assert not await bench.cycle.once()
    assert bench.cycle.nothing_yet == "the marker valid is not there"


async def test_a_generation_that_was_refused_is_made_again_although_nothing_changed(
    bench: Bench,
) -> None:
    bench.cycle = bench.new_cycle(generation=7)
    bench.write(a="1")
    with pytest.raises(CycleError, match="generation 8 after 0"):
        await bench.cycle.once()
    bench.shop.desk.committed[JOB] = [
        msgspec.structs.replace(NOWHERE, generation=Generation(7)),
    ]
    assert await bench.cycle.once()
    assert bench.committed == [7, 8]


async def test_a_file_from_a_machine_whose_clock_is_ahead_is_stored(bench: Bench) -> None:
    bench.write(a="1")
    os.utime(bench.place.work / "a.chk", (time.time() + 3600, time.time() + 3600))
    assert await bench.cycle.once()


async def test_the_staging_folder_is_empty_after_every_cycle(bench: Bench) -> None:
    bench.write(a="1")
    await bench.cycle.once()
    assert list(bench.place.staging.iterdir()) == []


async def test_what_no_generation_needs_any_more_is_removed_now_and_then(bench: Bench) -> None:
    for number in range(2 * COLLECT_EVERY):
        bench.write(a=str(number))
        assert await bench.cycle.once()
        await bench.cycle.collect()
    manifests = [info.key async for info in bench.store.list(f"{keys.checkpoints(JOB)}manifests/")]
    assert len(manifests) < 2 * COLLECT_EVERY
    kept = bench.shop.desk.committed[JOB]
    assert {kept[0].manifest, *(one.manifest for one in kept[-KEPT:])} <= {*manifests}
    for index in (0, *range(-KEPT, 0)):
        restored = (await bench.shop.restored(JOB, index)) / "a.chk"
        assert restored.read_text() == str(range(2 * COLLECT_EVERY)[index])


async def test_a_store_that_cannot_be_collected_is_no_failure_of_the_cycle(bench: Bench) -> None:
    bench.write(a="1")
    assert await bench.cycle.once()
    (bench.shop.root / "store" / bench.shop.desk.committed[JOB][0].manifest).unlink()
    await bench.cycle.collect()
    bench.write(a="2")
    assert await bench.cycle.once()


async def test_guarded_against_falling_back_nothing_is_stored_before_progress_was_told(
    shop: Shop,
) -> None:
    """An engine that forgot its checkpoint has written files, and not yet how far it is."""
    guard = {"progress_file_path": "progress", "progress_rollback_limit": 0.05}
    spec = parse({"command": "x", "checkpoint_watch_paths": ["*.chk"], **guard})
    bench = Bench(shop, spec)
    bench.write(a="step 500")
    (bench.place.work / "progress").write_text("0.5")
    assert await bench.cycle.once()
    again = bench.new_cycle(restored=await bench.manifest(), generation=1)
    bench.write(a="step 1")
    assert not await again.once()
    (bench.place.work / "progress").unlink()
    assert not await again.once()
    assert bench.committed == [1]
    (bench.place.work / "progress").write_text("0.51")
    assert await again.once()
    bench.write(a="the end")
    resumed = bench.new_cycle(restored=await bench.manifest(), generation=2)
    assert await resumed.once(finished=True), "it ended well: this is its result"
    assert bench.committed == [1, 2, 3]
