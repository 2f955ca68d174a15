"""What the providers say becomes facts: ends, deadlines, a second wait in the queue."""

from pathlib import Path

from relaymd.core.allocation import Sighting, Whereabouts
from relaymd.core.ids import UnixTime
from relaymd.core.outcome import Outcome
from tests.actors.cloud import Cloud
from tests.actors.clouds import kinds, look, over, states
from tests.actors.office import Office, turns


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
