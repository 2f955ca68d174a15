"""Demand becomes allocations: no more than are needed, none forgotten, none asked for twice."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relaymd.actors.provisioner import POLICY, Provisioner
from relaymd.bus import contract, operating
from relaymd.bus import messages as m
from relaymd.bus.bus import Bus, RefusedError
from relaymd.core.allocation import AllocationState, Sighting, Whereabouts
from relaymd.core.ids import UnixTime
from relaymd.core.job import JobState
from relaymd.core.outcome import Outcome
from tests.actors.cloud import Cloud
from tests.actors.office import Office, Parts, opened, turns, until


@asynccontextmanager
async def over(path: Path, *clouds: Cloud) -> AsyncGenerator[Office]:
    async with opened(path / "db", Parts(providers=clouds)) as office:
        yield office


async def look(office: Office, times: int = 3) -> None:
    """Let the provisioner look so often, each time at what the last look led to."""
    for _ in range(times):
        office.tick("provisioner")
        await turns()
        await office.ledger.settled(None)
        await turns()


async def states(office: Office) -> list[str]:
    return [str(one.state) for one in (await office.operator.status()).allocations]


async def kinds(office: Office) -> list[str]:
    rows = await office.ledger.events_after(0, limit=10_000)
    return [row.kind for row in rows if ".provider." in row.subject]


async def wind_down(bus: Bus) -> m.Done:
    return await bus.ask(contract.WIND_DOWN, operating.WindDown())


async def test_one_queued_job_with_three_clusters_causes_one_allocation(tmp_path: Path) -> None:
    clouds = [Cloud("north"), Cloud("south"), Cloud("west")]
    async with over(tmp_path, *clouds) as office:
        await office.operator.submit()
        await look(office, 10)

        assert sum(len(cloud.asked) for cloud in clouds) == 1


async def test_an_allocation_is_requested_submitted_active_ended(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        assert await states(office) == ["submitted"]
        worker = office.worker()
        await worker.register(allocation=cloud.asked[0], cluster="north")
        await look(office)
        assert await states(office) == ["active"]
        it = await worker.begin()
        await worker.complete(it)
        await worker.leave()
        cloud.alive.clear()
        await look(office)
        assert await states(office) == []
        expected = ["requested", "submitted", "started", "active", "ended"]
        assert await kinds(office) == expected
        assert len(cloud.asked) == 1


async def test_the_limit_of_a_cluster_is_respected_whatever_waits(tmp_path: Path) -> None:
    cloud = Cloud(limit=3)
    async with over(tmp_path, cloud) as office:
        for n in range(20):
            await office.operator.submit(f"j{n}")
        await look(office, 10)

        assert len(cloud.asked) == 3


async def test_slots_of_one_allocation_serve_several_jobs(tmp_path: Path) -> None:
    cloud = Cloud(slots=4)
    async with over(tmp_path, cloud) as office:
        for n in range(5):
            await office.operator.submit(f"j{n}")
        await look(office)

        assert len(cloud.asked) == 2


async def test_an_idle_worker_is_used_before_anything_is_asked_for(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.worker().register()
        await office.operator.submit()
        await look(office)

        assert cloud.asked == []


async def test_what_is_no_longer_needed_is_withdrawn_once(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        await office.operator.cancel()
        await look(office, 5)

        assert cloud.cancelled == cloud.asked
        assert await states(office) == []
        await office.operator.submit("j2")
        await look(office)
        assert len(cloud.asked) == 2, "a withdrawn allocation is no failure: nothing is waited for"


async def test_an_error_of_the_provider_is_not_gone(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        worker = office.worker()
        await worker.register(allocation=cloud.asked[0])
        await worker.begin()
        cloud.blind = True
        await look(office, 5)
        office.tick("reaper")
        await turns()

        assert await states(office) == ["active"]
        assert (await office.operator.show()).state is JobState.RUNNING
        assert len(cloud.asked) == 1


async def test_a_worker_whose_allocation_is_gone_is_dead_and_its_job_goes_on_elsewhere(
    tmp_path: Path,
) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        worker = office.worker()
        await worker.register(allocation=cloud.asked[0])
        await worker.begin()
        cloud.alive.clear()
        await look(office)
        office.tick("reaper")
        await turns()

        assert (await office.operator.show()).state is JobState.QUEUED
        await look(office)
        assert len(cloud.asked) == 2, "its death is no failure of the cluster"


async def test_a_submit_that_timed_out_but_was_accepted_is_found_and_not_repeated(
    tmp_path: Path,
) -> None:
    cloud = Cloud()
    cloud.accepts_but_fails = True
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office, 5)

        assert len(cloud.asked) == 1
        assert await states(office) == ["submitted"]
        await office.worker().register(allocation=cloud.asked[0])
        await look(office)
        assert await states(office) == ["active"]


async def test_a_refused_submit_is_left_alone_for_a_while(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.refuses = True
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office, 20)

        assert len(cloud.asked) <= 3, "twenty looks took less than the third try's time"


async def test_a_worker_that_exits_at_once_is_not_started_in_a_loop(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        for _ in range(20):
            await look(office)
            cloud.alive.clear()

        assert len(cloud.asked) <= 3


async def test_one_cluster_that_refuses_does_not_stop_the_others(tmp_path: Path) -> None:
    broken, sound = Cloud("a-broken"), Cloud("sound")
    broken.refuses = True
    async with over(tmp_path, broken, sound) as office:
        await office.operator.submit()
        await look(office, 6)

        assert (len(broken.asked), len(sound.asked)) == (1, 1)


async def test_a_worker_that_came_and_went_between_two_looks_is_no_failure(
    tmp_path: Path,
) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        worker = office.worker()
        await worker.register(allocation=cloud.asked[0])
        await worker.leave()
        cloud.alive.clear()
        await look(office)

        assert len(cloud.asked) == 2, "the next is asked for at once"


async def test_what_was_asked_for_is_adopted_after_a_restart(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)

    async with over(tmp_path, cloud) as office:
        await look(office, 5)
        assert len(cloud.asked) == 1
        assert await states(office) == ["submitted"]


async def test_an_allocation_written_down_but_never_asked_for_ends(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.gate.clear()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        assert await states(office) == ["requested"]

    cloud.gate.set()
    async with over(tmp_path, cloud) as office:
        await look(office)
        assert cloud.asked[0] not in cloud.alive
        assert (await kinds(office))[:2] == ["requested", "ended"]


async def test_a_worker_that_only_knows_its_place_belongs_to_the_allocation_there(
    tmp_path: Path,
) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        await office.worker().register(cluster="north", external="slurm-1")
        await office.worker("w2").register(cluster="south", external="slurm-1")
        await look(office)
        assert await states(office) == ["active"]

        cloud.alive.clear()
        await look(office)
        office.tick("reaper")
        await turns()
        assert [view.worker.id for view in await office.operator.workers()] == ["w2"]


async def test_a_stack_that_winds_down_asks_for_nothing_more(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await look(office)
        await wind_down(office.operator.bus)
        await office.operator.submit()
        await look(office, 5)

        assert cloud.asked == []


async def test_a_wind_down_is_answered_when_what_was_being_asked_for_is_there(
    tmp_path: Path,
) -> None:
    cloud = Cloud()
    cloud.gate.clear()
    async with over(tmp_path, cloud) as office:
        for n in range(3):
            await office.operator.submit(f"j{n}")
        await until(lambda: cloud.asked)
        async with asyncio.TaskGroup() as group:
            told = group.create_task(wind_down(office.operator.bus))
            await turns(20)
            assert not told.done()
            cloud.gate.set()
        count = len(cloud.alive)
        await look(office, 5)

        assert len(cloud.alive) == len(cloud.asked) == count == 1


async def test_a_crash_of_the_provisioner_forgets_no_allocation(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        await office.crash("provisioner")
        await look(office, 5)

        assert len(cloud.asked) == 1
        (one,) = (await office.operator.status()).allocations
        assert one.state is AllocationState.SUBMITTED


# -- what the provider says


def pending(reason: str = "Priority", start: float | None = None) -> Sighting:
    expected = UnixTime(start) if start is not None else None
    return Sighting(where=Whereabouts.PENDING, reason=reason, estimated_start=expected)


def running(office: Office, ends_in: float) -> Sighting:
    deadline = UnixTime(office.clock.wall() + ends_in)
    return Sighting(where=Whereabouts.RUNNING, deadline=deadline)


async def test_a_worker_learns_from_its_heartbeat_when_its_allocation_ends(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        worker = office.worker()
        await worker.register(allocation=cloud.asked[0], cluster="north")
        assert (await worker.heartbeat()).ends_in is None
        cloud.sightings[cloud.asked[0]] = running(office, 3600.0)
        await look(office)
        office.clock.advance(10.0)
        assert (await worker.heartbeat()).ends_in == 3590.0

        cloud.sightings[cloud.asked[0]] = running(office, 60.0)
        await look(office)
        assert (await worker.heartbeat()).ends_in == 60.0
        assert (await kinds(office)).count("moved") == 2


async def test_the_end_is_remembered_over_a_restart(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        cloud.sightings[cloud.asked[0]] = running(office, 3600.0)
        await look(office)
    cloud.blind = True
    async with over(tmp_path, cloud) as office:
        (one,) = (await office.operator.status()).allocations
        assert one.deadline == office.clock.wall() + 3600.0
        assert one.external == "slurm-1"


async def test_the_end_of_an_allocation_says_what_became_of_its_job(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        worker = office.worker()
        await worker.register(allocation=cloud.asked[0], cluster="north")
        it = await worker.begin()
        cloud.sightings[cloud.asked[0]] = Sighting(
            where=Whereabouts.GONE, reason="BOOT_FAIL on n3", outcome=Outcome.NODE_UNFIT
        )
        await look(office)
        office.tick("reaper")
        await turns()

        job = await office.operator.show(it.job)
        assert job.end is not None
        assert job.end.outcome is Outcome.NODE_UNFIT
        assert job.end.reason.endswith("its allocation ended: BOOT_FAIL on n3")


async def test_what_a_cluster_put_back_into_its_queue_is_waited_for_again(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        worker = office.worker()
        await worker.register(allocation=cloud.asked[0], cluster="north")
        await look(office)
        cloud.sightings[cloud.asked[0]] = pending("BeginTime")
        await look(office)
        await worker.leave()
        await look(office)

        assert await states(office) == ["submitted"]
        assert len(cloud.asked) == 1, "it brings a worker again"


async def test_a_waiting_job_says_what_it_waits_for(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        start = office.clock.wall() + 1800.0
        cloud.sightings[cloud.asked[0]] = pending("Resources", start)
        await look(office)
        details = await office.operator.details()

        assert details.view.why_waiting == (
            "no worker is registered; an allocation waits in the queue of north (Resources); "
            "it is expected to start in 30 min"
        )


# -- clusters apart


async def test_a_provider_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    stuck, sound = Cloud("a-stuck", limit=1), Cloud("sound")
    async with over(tmp_path, stuck, sound) as office:
        stuck.hangs = True
        for n in range(3):
            await office.operator.submit(f"j{n}")
        await look(office, 6)

        assert len(sound.alive) == 2
        sound.alive.clear()
        await look(office, 6)
        assert "ended" in await kinds(office), "and it is looked at all the time"


async def test_a_provider_that_hangs_is_given_up_and_left_alone(tmp_path: Path) -> None:
    stuck, sound = Cloud("a-stuck"), Cloud("sound")
    stuck.call_within = 0.05
    async with over(tmp_path, stuck, sound) as office:
        stuck.hangs = True
        await office.operator.submit()
        provisioner = office.actors["provisioner"]
        assert isinstance(provisioner, Provisioner)
        await until(lambda: provisioner.closed("a-stuck"))
        (view, _) = await clusters(office)
        assert view.closed.startswith("a-stuck did not answer within 0.05 s; asked again in")


async def test_what_nobody_can_see_for_a_minute_is_not_waited_for_alone(tmp_path: Path) -> None:
    stuck, sound = Cloud("a-stuck"), Cloud("sound")
    async with over(tmp_path, stuck, sound) as office:
        await office.operator.submit()
        await look(office)
        stuck.blind = True
        await look(office)
        office.clock.advance(59.0)
        await look(office)
        assert sound.asked == []
        office.clock.advance(2.0)
        await look(office)
        assert len(sound.asked) == 1
        assert len(stuck.alive) == 1, "whether it is needed is decided when it is seen again"

        stuck.blind = False
        office.clock.advance(600.0)
        await look(office, 6)
        assert len(stuck.alive) + len(sound.alive) == 1


async def test_what_was_to_be_asked_of_who_refuses_is_asked_of_another(tmp_path: Path) -> None:
    broken, sound = Cloud("a-broken"), Cloud("sound")
    broken.refuses = True
    async with over(tmp_path, broken, sound) as office:
        for n in range(3):
            await office.operator.submit(f"j{n}")
        await look(office, 8)

        assert len(broken.asked) == 1
        assert len(sound.alive) == 3


# -- what operators say


async def test_a_disabled_cluster_is_asked_nothing_until_it_is_enabled(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await switch(office, "north", enabled=False)
        await office.operator.submit()
        await look(office)
        assert cloud.asked == []
        why = (await office.operator.details()).view.why_waiting or ""
        assert "north: it was disabled by ada (relaymd clusters enable north)" in why

    async with over(tmp_path, cloud) as office:
        await look(office)
        assert cloud.asked == [], "it is remembered"
        await switch(office, "north", enabled=True)
        await look(office)
        assert len(cloud.asked) == 1


async def test_what_the_configuration_disables_can_be_enabled(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.offered = {"disabled": "it is disabled in the configuration"}
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        assert cloud.asked == []
        await switch(office, "north", enabled=True)
        await look(office)
        assert len(cloud.asked) == 1


async def test_a_cluster_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    async with over(tmp_path, Cloud()) as office:
        with pytest.raises(RefusedError, match="there is no cluster nroth; known are north"):
            await switch(office, "nroth", enabled=True)


async def test_a_cluster_is_shown_with_what_it_said(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        cloud.sightings[cloud.asked[0]] = pending()
        await look(office)
        (view,) = await clusters(office)

        assert (view.cluster, view.closed, view.disabled, view.workers) == ("north", "", "", 0)
        assert [one.says for one in view.allocations] == ["Priority"]
        assert view.seen_ago == 0.0


async def test_the_plan_tells_what_would_be_done_and_why_not_more(tmp_path: Path) -> None:
    cloud = Cloud(limit=1)
    async with over(tmp_path, cloud) as office:
        await office.operator.submit("j1")
        await office.operator.submit("j2")
        await look(office)
        view = await office.operator.bus.ask(contract.PLAN, operating.AskPlan())

        assert view.commands == ()
        (waiting,) = view.waiting
        assert (waiting.jobs, waiting.first) == (2, "j1")
        assert waiting.why == (
            "nothing is asked for it: "
            "north: its limit of 1 allocations is reached (max_allocations)"
        )


# -- who costs although nothing waits


async def test_an_idle_worker_that_costs_is_let_go_after_a_while_and_its_place_given_back(
    tmp_path: Path,
) -> None:
    cloud = Cloud()
    cloud.outlives_worker = True
    async with over(tmp_path, cloud) as office:
        await office.operator.submit()
        await look(office)
        worker = office.worker()
        await worker.register(allocation=cloud.asked[0], cluster="north")
        await worker.complete(await worker.begin())
        await look(office)
        assert (await worker.heartbeat()).drain is None
        office.clock.advance(POLICY.retire_after)
        await worker.heartbeat()
        await look(office)
        assert (await worker.heartbeat()).drain == "no job waits that it could take"

        await worker.leave()
        await look(office)
        assert cloud.cancelled == cloud.asked
        assert await states(office) == []


async def clusters(office: Office) -> tuple[operating.ClusterView, ...]:
    found = await office.operator.bus.ask(contract.CLUSTERS, operating.ListClusters())
    return found.clusters


async def switch(office: Office, cluster: str, *, enabled: bool) -> m.Done:
    message = operating.SwitchCluster(cluster=cluster, enabled=enabled, by="ada")
    return await office.operator.bus.ask(contract.SWITCH, message)
