"""Demand becomes allocations: no more than are needed, none forgotten, none asked for twice."""

import asyncio
from pathlib import Path

from relaymd.bus import contract, operating
from relaymd.bus import messages as m
from relaymd.bus.bus import Bus
from relaymd.core.allocation import AllocationState
from relaymd.core.job import JobState
from tests.actors.cloud import Cloud
from tests.actors.clouds import kinds, look, over, states
from tests.actors.office import turns, until


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
