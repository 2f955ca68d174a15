"""What workers report: once or twice, in time or too late, by whom it may be said."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from relaymd.bus import contract
from relaymd.bus import messages as m
from relaymd.bus.bus import RefusedError
from relaymd.bus.messages import Standing
from relaymd.core.ids import Epoch
from relaymd.core.job import JobState
from relaymd.core.outcome import Outcome
from relaymd.core.retry import BUDGETS
from tests.actors.office import Office, opened
from tests.actors.peers import WorkerPeer, checkpoint

Say = Callable[[WorkerPeer, m.Assignment], Awaitable[Standing]]

REPORTS: dict[str, Say] = {
    "start": WorkerPeer.start,
    "launched": WorkerPeer.launched,
    "checkpoint": WorkerPeer.checkpoint,
    "missed": WorkerPeer.missed,
    "draining": WorkerPeer.draining,
    "complete": WorkerPeer.complete,
    "fail": WorkerPeer.fail,
    "handoff": WorkerPeer.handoff,
    "cancelled": WorkerPeer.cancelled,
}
ENDINGS = ("complete", "fail", "handoff")


async def running(office: Office, worker: WorkerPeer | None = None) -> m.Assignment:
    worker = worker or office.worker()
    await worker.register()
    await office.operator.submit()
    return await worker.begin()


async def superseded(office: Office) -> tuple[m.Assignment, m.Assignment]:
    """A zombie's assignment, and the one its successor w2 works on."""
    old = await running(office)
    office.clock.advance(60)
    office.tick("reaper")
    successor = office.worker("w2", "i2")
    await successor.register()
    return old, await successor.begin()


@pytest.mark.parametrize("report", REPORTS)
async def test_a_stale_epoch_is_superseded_and_changes_nothing(office: Office, report: str) -> None:
    old, new = await superseded(office)
    before = await office.operator.details()

    assert await REPORTS[report](office.worker(), old) is Standing.SUPERSEDED
    assert await office.operator.details() == before
    assert new.epoch == old.epoch + 1


async def test_a_zombies_late_fail_does_not_hurt_the_job_running_on_its_successor(
    office: Office,
) -> None:
    old, new = await superseded(office)

    assert await office.worker().fail(old, Outcome.BUNDLE_INVALID) is Standing.SUPERSEDED
    assert await office.worker("w2", "i2").complete(new) is Standing.ACCEPTED
    assert (await office.operator.show()).state is JobState.COMPLETED


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("epoch", [0, 10**30])
async def test_an_epoch_that_never_was_is_superseded(
    office: Office, report: str, epoch: int
) -> None:
    it = await running(office)
    liar = m.Assignment(job=it.job, epoch=Epoch(epoch), title="", bundle=it.bundle)

    assert await REPORTS[report](office.worker(), liar) is Standing.SUPERSEDED
    assert (await office.operator.show()).state is JobState.RUNNING


@pytest.mark.parametrize("report", REPORTS)
async def test_a_report_of_a_worker_that_does_not_own_the_lease_is_superseded(
    office: Office, report: str
) -> None:
    it = await running(office)
    stranger = office.worker("w9", "i9")
    await stranger.register()

    assert await REPORTS[report](stranger, it) is Standing.SUPERSEDED
    assert (await office.operator.show()).state is JobState.RUNNING


@pytest.mark.parametrize("report", REPORTS)
async def test_a_report_of_a_job_that_nobody_knows_is_superseded(
    office: Office, report: str
) -> None:
    it = await running(office)
    unknown = m.Assignment(job=type(it.job)("j-x"), epoch=it.epoch, title="", bundle=it.bundle)

    assert await REPORTS[report](office.worker(), unknown) is Standing.SUPERSEDED


@pytest.mark.parametrize("report", ["start", "checkpoint", "draining", *ENDINGS])
async def test_the_same_report_again_is_answered_as_before_and_changes_nothing(
    office: Office, report: str
) -> None:
    it = await running(office)
    first = await REPORTS[report](office.worker(), it)
    before = await office.operator.details()

    assert first is Standing.ACCEPTED
    assert await REPORTS[report](office.worker(), it) is first
    assert await office.operator.details() == before


@pytest.mark.parametrize("report", ENDINGS)
async def test_a_report_whose_answer_was_lost_in_a_restart_is_accepted_again(
    tmp_path: Path, report: str
) -> None:
    async with opened(tmp_path / "db") as office:
        it = await running(office)
        assert await REPORTS[report](office.worker(), it) is Standing.ACCEPTED
        before = await office.operator.show()

    async with opened(tmp_path / "db") as office:
        assert await REPORTS[report](office.worker(), it) is Standing.ACCEPTED
        assert await office.operator.show() == before


async def test_a_cancelled_report_twice_is_once(office: Office) -> None:
    it = await running(office)
    await office.operator.cancel()

    assert await office.worker().cancelled(it) is Standing.CANCELLED
    before = await office.operator.details()
    assert await office.worker().cancelled(it) is Standing.CANCELLED
    assert await office.operator.details() == before
    assert before.view.job.state is JobState.CANCELLED


async def test_a_handoff_of_a_worker_whose_lease_was_revoked_is_not_taken_for_the_revocation(
    office: Office,
) -> None:
    it = await running(office)
    office.clock.advance(60)
    office.tick("reaper")
    await office.operator.status()

    assert await office.worker().handoff(it, reason="") is Standing.SUPERSEDED


async def test_a_report_implies_the_start_whose_message_was_lost(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    it = await worker.work()

    assert await worker.checkpoint(it) is Standing.ACCEPTED
    job = await office.operator.show()
    assert (job.state, job.generation) == (JobState.RUNNING, 1)


@pytest.mark.parametrize("generation", [0, 2, 3, 10**30])
async def test_a_generation_out_of_order_is_a_conflict_and_commits_nothing(
    office: Office, generation: int
) -> None:
    it = await running(office)

    with pytest.raises(RefusedError) as caught:
        await office.worker().checkpoint(it, generation)
    refused = caught.value.refusal
    assert refused.error is m.RefusalCode.CONFLICT
    assert (refused.job_id, refused.current_status) == ("j1", JobState.RUNNING)
    assert (await office.operator.show()).generation == 0


async def test_an_engine_that_finished_during_a_drain_has_completed(office: Office) -> None:
    it = await running(office)
    await office.worker().draining(it)

    assert await office.worker().complete(it) is Standing.ACCEPTED
    assert (await office.operator.show()).state is JobState.COMPLETED


async def test_a_handoff_returns_the_job_to_the_queue_with_its_checkpoint(office: Office) -> None:
    it = await running(office)
    await office.worker().checkpoint(it)
    await office.worker().draining(it)
    await office.worker().handoff(it)

    job = await office.operator.show()
    assert (job.state, job.generation, job.lease) == (JobState.QUEUED, 1, None)
    again = await office.worker().work()
    assert [point.generation for point in again.checkpoints] == [1]
    assert again.epoch == it.epoch + 1


async def test_a_failed_attempt_is_tried_again_until_its_budget_is_spent(office: Office) -> None:
    it = await running(office)
    attempts = BUDGETS[Outcome.ENGINE_FAILED].attempts
    for _ in range(attempts - 1):
        await office.worker().fail(it, Outcome.ENGINE_FAILED)
        assert (await office.operator.show()).state is JobState.QUEUED
        office.clock.advance(600)
        await office.worker().register()
        it = await office.worker().begin()
    await office.worker().fail(it, Outcome.ENGINE_FAILED)

    job = await office.operator.show()
    assert job.state is JobState.FAILED
    assert job.end is not None
    assert f"({attempts} attempts" in job.end.reason


async def test_handoffs_that_bring_nothing_forward_end_as_no_progress(office: Office) -> None:
    it = await running(office)
    for _ in range(BUDGETS[Outcome.INTERRUPTED].attempts - 1):
        await office.worker().handoff(it)
        it = await office.worker().begin()
    assert await office.worker().handoff(it) is Standing.ACCEPTED
    assert await office.worker().handoff(it) is Standing.ACCEPTED, "its answer was lost"

    job = await office.operator.show()
    assert job.end is not None
    assert (job.state, job.end.outcome) == (JobState.FAILED, Outcome.NO_PROGRESS)


async def test_a_launch_that_is_said_again_is_told_once_and_its_segment_goes_on(
    office: Office,
) -> None:
    it = await running(office)
    worker = office.worker()
    assert await worker.launched(it) is Standing.ACCEPTED
    assert await worker.checkpoint(it) is Standing.ACCEPTED
    before = await office.operator.details()

    assert await worker.launched(it) is Standing.ACCEPTED, "its answer was lost"
    assert await office.operator.details() == before


async def test_each_lease_has_a_launch_of_its_own(office: Office) -> None:
    it = await running(office)
    worker = office.worker()
    await worker.launched(it)
    await worker.handoff(it)
    await worker.launched(await worker.begin())

    history = (await office.operator.details()).history
    assert [change.kind for change in history].count("launched") == 2


async def test_an_invalid_bundle_ends_the_job_with_that_reason(office: Office) -> None:
    it = await running(office)
    await office.worker().fail(it, Outcome.BUNDLE_INVALID, "the archive holds a device")

    job = await office.operator.show()
    assert job.state is JobState.FAILED
    assert job.end is not None
    assert job.end.reason == "the archive holds a device"


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.CANCELLED, Outcome.NO_PROGRESS])
async def test_a_failure_that_is_none_is_refused(office: Office, outcome: Outcome) -> None:
    it = await running(office)

    with pytest.raises(RefusedError, match="is not how"):
        await office.worker().fail(it, outcome)
    assert (await office.operator.show()).state is JobState.RUNNING


async def test_whatever_a_worker_says_in_its_own_words_is_kept_short(tmp_path: Path) -> None:
    endless = "x" * 1_000_000
    async with opened(tmp_path / "db") as office:
        it = await running(office)
        worker = office.worker()
        await worker.launched(it, note=endless)
        await worker.missed(it, endless)
        await worker.draining(it, endless)
        await worker.handoff(it, endless)
        await worker.drains(endless)
        await worker.leave(endless)
        await worker.register()
        again = await worker.begin()
        await worker.fail(again, Outcome.ENGINE_FAILED, endless)
        rows = await office.ledger.archive.events_after(0, limit=100)

    assert max(len(row.body) for row in rows) < 100_000


async def test_a_checkpoint_whose_manifest_cannot_be_a_key_is_refused(office: Office) -> None:
    it = await running(office)
    worker = office.worker()
    huge = msgspec.structs.replace(checkpoint(1, it.epoch), manifest="k" * 100_000)

    report = m.CheckpointReport(worker=worker.id, job=it.job, checkpoint=huge)
    with pytest.raises(RefusedError):
        await worker.bus.ask(contract.CHECKPOINT, report)
    assert (await office.operator.show()).generation == 0
