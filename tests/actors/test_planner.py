"""What operators say and are told of clusters; who costs although nothing waits."""

from pathlib import Path

import pytest

from relaymd.actors.provisioner import POLICY
from relaymd.bus import contract, operating
from relaymd.bus.bus import RefusedError
from relaymd.core.allocation import Sighting, Whereabouts
from relaymd.core.ids import UnixTime
from relaymd.core.resources import Requirements
from tests.actors.cloud import Cloud
from tests.actors.clouds import clusters, images, look, over, states, switch


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
        cloud.sightings[cloud.asked[0]] = Sighting(where=Whereabouts.PENDING, reason="Priority")
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


@pytest.mark.parametrize(("left", "asked"), [(None, 1), (3600.0, 1), (60.0, 2)])
async def test_an_idle_worker_whose_end_its_provider_knows_to_be_near_is_no_capacity(
    tmp_path: Path, left: float | None, asked: int
) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.operator.submit("j1")
        await look(office)
        worker = office.worker()
        await worker.register(allocation=cloud.asked[0], cluster="north")
        await worker.complete(await worker.begin())
        end = None if left is None else UnixTime(office.clock.wall() + left)
        cloud.sightings[cloud.asked[0]] = Sighting(where=Whereabouts.RUNNING, deadline=end)
        await look(office)
        await office.operator.submit("j2")
        await look(office)
        assert len(cloud.asked) == asked


async def test_a_job_that_no_allocation_has_gpus_enough_for_is_told_so(tmp_path: Path) -> None:
    async with over(tmp_path, Cloud()) as office:
        await office.operator.submit(requirements=Requirements(gpus=2))
        await look(office)
        why = "nothing is asked for it: north: it has 0 of the 2 GPUs asked for"
        view = await office.operator.bus.ask(contract.PLAN, operating.AskPlan())
        assert [each.why for each in view.waiting] == [why]
        waiting = (await office.operator.details()).view.why_waiting
        assert waiting == f"no worker is registered; {why}"


async def test_whose_turn_it_was_is_remembered_whatever_workers_come(tmp_path: Path) -> None:
    """A worker of south changes what tells the first class from others."""
    cloud = Cloud(limit=1)
    cloud.images = ("a", "b")
    async with over(tmp_path, cloud) as office:
        await switch(office, "north", enabled=False)
        older = Requirements(worker_image="a", clusters=("north", "south"))
        await office.operator.submit("a1", requirements=older)
        await office.operator.submit("a2", requirements=older)
        office.clock.advance(5.0)
        await office.operator.submit("b1", requirements=Requirements(worker_image="b"))
        office.clock.advance(5.0)
        await switch(office, "north", enabled=True)
        await look(office)
        assert await images(office) == ["a"]

        await office.worker().register(cluster="south")
        await look(office)
        cloud.alive.clear()
        await look(office)
        office.clock.advance(5.0)
        await look(office)
        assert await images(office) == ["b"]


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
