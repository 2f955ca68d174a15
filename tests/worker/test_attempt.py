"""From an assignment to its end, through the good cases and the bad ones."""

from relaymd.bus.messages import Complete
from tests.engines.verify import problems
from tests.worker.shop import Shop


async def test_a_job_runs_from_its_assignment_to_its_completion(shop: Shop) -> None:
    async with shop.worker():
        job = await shop.submit("--steps", "20", "--pace", "0.03")
        assert isinstance(await shop.desk.until_said("Complete"), Complete)
    stored = await shop.restored(job)
    assert problems(stored / "ledger.txt", 20) == []


async def test_a_drained_job_goes_on_elsewhere_and_has_every_step_once(shop: Shop) -> None:
    job = await shop.submit("--steps", "60", "--pace", "0.03")
    async with shop.worker() as first:
        await shop.desk.until(lambda: shop.desk.committed.get(job))
        first.worker.drain("a test")
        assert await first.left()
    handoff = await shop.desk.until_said("Handoff")
    assert handoff.reason == "a test"
    shop.resubmit(job)
    async with shop.worker(shop.tools("w-2")):
        await shop.desk.until_said("Complete")
    assert problems(await shop.restored(job) / "ledger.txt", 60) == []
