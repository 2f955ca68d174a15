"""People: submit, look, cancel, requeue; each twice, each wrongly."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from relaymd.bus import contract, operating
from relaymd.bus import messages as m
from relaymd.bus.bus import RefusedError
from relaymd.bus.messages import RefusalCode, Standing
from relaymd.core.ids import JobId
from relaymd.core.job import Bundle, JobState
from relaymd.core.outcome import Outcome
from relaymd.core.resources import Requirements
from tests.actors.office import Office, opened


async def refusal(asking: Awaitable[object]) -> m.Refusal:
    with pytest.raises(RefusedError) as caught:
        await asking
    return caught.value.refusal


async def test_a_submit_twice_is_once(office: Office) -> None:
    first = await office.operator.submit(by="me")
    events = office.ledger.last_event

    assert await office.operator.submit(by="me") == first
    assert office.ledger.last_event == events


async def test_a_submit_repeated_at_the_same_time_is_once(office: Office) -> None:
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(office.operator.submit()) for _ in range(10)]

    assert len({job.result().submitted_at for job in asking}) == 1
    assert office.ledger.last_event == 1


async def test_a_submit_repeated_after_a_restart_or_after_the_end_is_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as office:
        await office.operator.submit()
        await office.operator.cancel()

    async with opened(tmp_path / "db") as office:
        assert (await office.operator.submit()).state is JobState.CANCELLED


async def test_another_submit_under_the_same_id_is_a_conflict(office: Office) -> None:
    await office.operator.submit()

    assert (await refusal(office.operator.submit(title="other"))).error is RefusalCode.CONFLICT


@pytest.mark.parametrize(
    "said",
    [
        {"title": ""},
        {"title": "   "},
        {"title": "x" * 201},
        {"priority": 10**30},
        {"priority": -(10**30)},
        {"requirements": Requirements(gpus=-1)},
        {"requirements": Requirements(vram_gb=-1.0)},
        {"command": "x" * 100_000},
        {"requirements": Requirements(clusters=("c" * 100,) * 1000)},
    ],
    ids=lambda said: next(iter(said)),
)
async def test_a_submit_that_cannot_be_run_is_refused_in_one_sentence(
    office: Office, said: dict[str, Any]
) -> None:
    refused = await refusal(office.operator.submit(**{"title": "t", **said}))

    assert refused.error is RefusalCode.INVALID
    assert "\n" not in refused.message
    assert len(refused.message) < 300


@pytest.mark.parametrize(
    "bundle",
    [
        Bundle(key="", digest="d", size=1),
        Bundle(key="k", digest="", size=1),
        Bundle(key="k", digest="d", size=-1),
    ],
)
async def test_a_submit_without_a_bundle_is_refused(office: Office, bundle: Bundle) -> None:
    message = operating.Submit(job=JobId("j1"), title="t", bundle=bundle)
    refused = await refusal(office.operator.bus.ask(contract.SUBMIT, message))
    assert refused.error is RefusalCode.INVALID


async def test_a_queued_job_is_cancelled_at_once_and_twice_is_once(office: Office) -> None:
    await office.operator.submit()

    assert (await office.operator.cancel()).state is JobState.CANCELLED
    events = office.ledger.last_event
    assert (await office.operator.cancel()).state is JobState.CANCELLED
    assert office.ledger.last_event == events


async def test_a_running_job_is_cancelled_when_its_worker_has_stopped_it(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    it = await worker.begin()

    assert (await office.operator.cancel()).state is JobState.CANCELLING
    assert (await office.operator.cancel()).state is JobState.CANCELLING
    assert await worker.checkpoint(it) is Standing.CANCELLED, "what it has is still stored"
    assert await worker.cancelled(it) is Standing.CANCELLED
    job = await office.operator.show()
    assert (job.state, job.generation) == (JobState.CANCELLED, 1)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_a_requeue_keeps_the_id_and_the_checkpoint(office: Office, end: str) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    it = await worker.begin()
    await worker.checkpoint(it)
    if end == "failed":
        await worker.fail(it, Outcome.BUNDLE_INVALID)
    else:
        await office.operator.cancel()
        await worker.cancelled(it)
    assert (await office.operator.show()).state == end

    again = await office.operator.requeue()
    assert (again.id, again.state, again.generation) == ("j1", JobState.QUEUED, 1)
    events = office.ledger.last_event
    assert await office.operator.requeue() == again
    assert office.ledger.last_event == events
    resumed = await worker.begin()
    assert [point.generation for point in resumed.checkpoints] == [1]
    assert resumed.epoch == it.epoch + 1


async def test_a_requeue_works_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as office:
        await office.operator.submit()
        await office.operator.cancel()

    async with opened(tmp_path / "db") as office:
        assert (await office.operator.requeue()).state is JobState.QUEUED
        counts = (await office.operator.status()).jobs
        assert counts == {JobState.QUEUED: 1}


async def test_a_requeue_of_what_runs_or_is_complete_is_a_conflict_that_names_both_states(
    office: Office,
) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    it = await worker.begin()
    running = await refusal(office.operator.requeue())
    await worker.complete(it)
    completed = await refusal(office.operator.requeue())
    cancelled = await refusal(office.operator.cancel())

    assert (running.current_status, running.requested_status) == ("running", "queued")
    assert (completed.current_status, completed.requested_status) == ("completed", "queued")
    assert (cancelled.current_status, cancelled.requested_status) == ("completed", "cancelled")
    assert {one.error for one in (running, completed, cancelled)} == {RefusalCode.CONFLICT}
    assert {one.job_id for one in (running, completed, cancelled)} == {"j1"}


async def test_the_beginning_of_exactly_one_id_is_enough(office: Office) -> None:
    for id in ("ja1", "ja2", "jb1"):
        await office.operator.submit(id)

    assert (await office.operator.show("jb")).id == "jb1"
    assert (await refusal(office.operator.show("ja"))).error is RefusalCode.INVALID
    assert (await refusal(office.operator.show("jc"))).error is RefusalCode.UNKNOWN_JOB


async def test_pages_show_every_job_once_the_newest_first(office: Office) -> None:
    for n in range(25):
        await office.operator.submit(f"j{n:02}")
        office.clock.advance(1 if n % 3 else 0)
    seen: list[str] = []
    after = None
    while True:
        page = await office.operator.page(limit=10, after=after)
        seen += [view.job.id for view in page.jobs]
        if (after := page.next) is None:
            break

    assert seen == [f"j{n:02}" for n in range(24, -1, -1)]


async def test_a_page_can_be_of_some_states(office: Office) -> None:
    for n in range(6):
        await office.operator.submit(f"j{n}")
    await office.operator.cancel("j1")
    await office.operator.cancel("j4")

    page = await office.operator.page(states=(JobState.CANCELLED, JobState.CANCELLED))
    assert {view.job.id for view in page.jobs} == {"j1", "j4"}


@pytest.mark.parametrize("limit", [0, -1, 10**30, -(10**30)])
async def test_a_limit_out_of_bounds_is_the_nearest_one(office: Office, limit: int) -> None:
    await office.operator.submit()

    assert len((await office.operator.page(limit=limit)).jobs) == 1


@pytest.mark.parametrize("after", ["", "x", "~", "1:j1", "1~" * 99 + "x"])
async def test_a_cursor_nobody_gave_out_is_refused_or_an_empty_page(
    office: Office, after: str
) -> None:
    await office.operator.submit()
    await asyncio.gather(office.operator.page(after=after), return_exceptions=True)

    assert {one.restarts for one in (await office.operator.status()).actors} == {0}


@pytest.mark.parametrize("after", ["nan~j1", "-inf~j1"])
async def test_a_cursor_behind_everything_is_an_empty_page(office: Office, after: str) -> None:
    await office.operator.submit()

    assert (await office.operator.page(after=after)).jobs == ()


async def test_the_status_counts_jobs_by_state(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    for n in range(4):
        await office.operator.submit(f"j{n}")
    await worker.complete(await worker.begin())
    await worker.begin()
    await office.operator.cancel("j3")

    status = await office.operator.status()
    assert status.jobs == {"queued": 1, "running": 1, "completed": 1, "cancelled": 1}
    assert (status.workers, status.last_event) == (1, office.ledger.last_event)


async def test_details_tell_the_segments_of_a_job(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    it = await worker.begin()
    await worker.launched(it)
    for generation in range(1, 4):
        await worker.checkpoint(it, generation)
    await worker.handoff(it)
    await worker.complete(await worker.begin())

    details = await office.operator.details()
    assert [(part.how, part.committed) for part in details.segments] == [
        ("handed over", 3),
        ("completed", 0),
    ]
    assert [fact.kind for fact in details.history][:2] == ["submitted", "assigned"]
