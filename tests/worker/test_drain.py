"""What becomes of a running engine when its worker is told to leave."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import ParamSpec, TypeVar

import msgspec
import pytest

from relaymd.bus import contract
from relaymd.bus.messages import Drain, HeartbeatAck
from relaymd.core.ids import WorkerId
from relaymd.storage.store import StorageUnreachableError
from relaymd.worker.snapshot import NotValidError
from tests.engines.verify import problems
from tests.worker.bench import Grumpy
from tests.worker.lengthy import LONG, NEVER, started, step_stored
from tests.worker.processes import is_alive, number_in, until
from tests.worker.shop import QUICK, Shop

P = ParamSpec("P")
T = TypeVar("T")


async def test_what_the_engine_writes_at_sigterm_is_what_is_stored(shop: Shop) -> None:
    """Not the checkpoint from before the signal."""
    job = await shop.submit(*LONG, "--checkpoint-every", "1000", spec=NEVER)
    async with shop.worker() as running:
        await started(shop)
        running.worker.drain("a test")
        assert await running.left()
    assert await step_stored(shop, job) > 0
    assert [type(m).__name__ for m in shop.desk.heard if "Drain" in type(m).__name__]
    assert shop.desk.said("Handoff")[0].reason == "a test"
    assert shop.desk.said("Leave")


async def test_an_engine_that_needs_time_to_write_gets_it(shop: Shop) -> None:
    job = await shop.submit(
        *LONG, "--checkpoint-every", "1000", "--term-seconds", "1.5", spec=NEVER
    )
    async with shop.worker() as running:
        await started(shop)
        running.worker.drain("a test")
        assert await running.left()
    assert await step_stored(shop, job) > 0


async def test_an_engine_that_hangs_after_its_last_checkpoint_is_killed_when_it_is_stored(
    shop: Shop,
) -> None:
    """As AToM-OpenMM does."""
    marked = {**NEVER, "checkpoint_marker": "valid"}
    options = ("--checkpoint-every", "1000", "--marker", "valid", "--hang-after-term")
    job = await shop.submit(*LONG, *options, spec=marked)
    async with shop.worker() as running:
        await started(shop)
        running.worker.drain("a test")
        assert await running.left(within=4)
    assert await step_stored(shop, job) > 0
    assert shop.desk.said("Handoff")


async def test_an_engine_that_ignores_sigterm_hands_over_its_latest_checkpoint(shop: Shop) -> None:
    job = await shop.submit(*LONG, "--ignore-term", spec=NEVER)
    async with shop.worker(shop.tools(pace=msgspec.structs.replace(QUICK, drain_longest=6.0))) as w:
        await until((shop.root / "workers/w-1/j-1-1/work/state.json").exists)
        w.worker.drain("a test")
        assert await w.left(within=20)
    assert await step_stored(shop, job) > 0
    assert shop.desk.said("Handoff")


async def test_an_engine_that_exits_0_in_a_drain_has_completed(shop: Shop) -> None:
    job = await shop.submit("--steps", "40", "--pace", "0.03", "--finish-at-term", spec=NEVER)
    async with shop.worker() as running:
        await started(shop)
        running.worker.drain("a test")
        assert await running.left()
    assert shop.desk.said("Complete")
    assert not shop.desk.said("Handoff")
    assert problems(await shop.restored(job) / "ledger.txt", 40) == []


async def test_an_engine_that_exits_1_after_a_good_checkpoint_in_a_drain_is_handed_on(
    shop: Shop,
) -> None:
    job = await shop.submit(*LONG, "--checkpoint-every", "1000", "--term-code", "1", spec=NEVER)
    async with shop.worker() as running:
        await started(shop)
        running.worker.drain("a test")
        assert await running.left()
    assert shop.desk.said("Handoff")
    assert not shop.desk.said("Fail")
    assert await step_stored(shop, job) > 0


async def test_heartbeats_go_on_until_the_lease_is_given_back(shop: Shop) -> None:
    await shop.submit(*LONG, "--term-seconds", "1")
    async with shop.worker() as running:
        await started(shop)
        running.worker.drain("a test")
        await running.left()
    kinds = [type(message).__name__ for message in shop.desk.heard]
    between = kinds[kinds.index("DrainReport") : kinds.index("Handoff")]
    assert between.count("Heartbeat") >= 10
    phases = {lease.phase for beat in shop.desk.said("Heartbeat") for lease in beat.leases}
    assert phases >= {"running", "draining"}


async def test_a_drain_leaves_no_process_behind(shop: Shop) -> None:
    await shop.submit(*LONG, "--grandchild")
    async with shop.worker() as running:
        await started(shop)
        folder = next((shop.root / "workers" / "w-1").glob("j-*")) / "work"
        grandchild = number_in(folder / "grandchild.pid")
        running.worker.drain("a test")
        await running.left()
    assert grandchild
    assert not is_alive(grandchild)
    assert not folder.exists(), "the lease's folder is removed when its end was heard"


async def test_a_drain_whose_last_cycle_fails_says_so_and_the_one_before_stands(
    shop: Shop,
) -> None:
    job = await shop.submit(*LONG)
    pace = msgspec.structs.replace(QUICK, drain_longest=2.0)
    async with shop.worker(shop.tools(pace=pace)) as running:
        await shop.desk.until(lambda: len(shop.desk.committed.get(job, ())) >= 3)
        (shop.root / "store").rename(shop.root / "gone")
        running.worker.drain("a test")
        assert await running.left()
    (shop.root / "gone").rename(shop.root / "store")
    assert "the one before stands" in shop.desk.said("Handoff")[0].reason
    assert await step_stored(shop, job) > 0


async def test_a_drain_tries_again_while_the_engine_still_writes_its_checkpoint(
    shop: Shop,
) -> None:
    """One that heeds no signal has its marker away when we look, and back a moment later."""
    script = """
        trap '' TERM
        echo first > state.json
        touch marker
        while :; do
            sleep 0.05
            [ -e away ] && rm -f marker
            [ -e back ] && { rm -f away back; echo last > state.json; touch marker; }
        done
    """
    spec = {"checkpoint_watch_paths": ["state.json"], "checkpoint_marker": "marker"}
    job = await shop.submit_command(script, spec=spec)
    pace = msgspec.structs.replace(QUICK, drain_longest=4.0, void_tries=1, settle=3600.0)
    tools = shop.tools(pace=pace)
    looked = asyncio.Event()

    async def offload(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await tools.offload(work, *args, **kwargs)
        except NotValidError:
            looked.set()
            raise

    async with shop.worker(replace(tools, offload=offload)) as running:
        await shop.desk.until_said("CheckpointReport")
        (work,) = (shop.root / "workers" / "w-1").glob("j-*/work")
        (work / "away").touch()
        await until(lambda: not (work / "marker").exists())
        running.worker.drain("a test")
        await shop.desk.until_said("DrainReport")
        looked.clear()
        await looked.wait()
        (work / "back").touch()
        assert await running.left()
    assert shop.desk.said("Handoff")[0].reason == "a test"
    assert (await shop.restored(job) / "state.json").read_text() == "last\n"


async def test_a_drain_tries_again_while_the_store_is_away(shop: Shop) -> None:
    job = await shop.submit(*LONG, "--checkpoint-every", "1000", spec=NEVER)
    store = Grumpy(shop.store)
    async with shop.worker(shop.tools(store=store)) as running:
        await started(shop)
        store.error = StorageUnreachableError("the store", "it is away")
        running.worker.drain("a test")
        await until(lambda: store.refused >= 2)
        store.error = None
        assert await running.left()
    assert shop.desk.said("Handoff")[0].reason == "a test"
    assert await step_stored(shop, job) > 0


async def test_a_drain_does_not_wait_for_a_checkpoint_that_an_ended_engine_left_torn(
    shop: Shop,
) -> None:
    script = "touch state.json marker; trap 'rm marker; exit 75' TERM; while :; do sleep 0.05; done"
    spec = {"checkpoint_watch_paths": ["state.json"], "checkpoint_marker": "marker"}
    await shop.submit_command(script, spec=spec)
    pace = msgspec.structs.replace(QUICK, drain_longest=600.0, void_tries=2)
    async with shop.worker(shop.tools(pace=pace)) as running:
        await shop.desk.until_said("CheckpointReport")
        running.worker.drain("a test")
        assert await running.left()
    assert "the marker marker is not there" in shop.desk.said("Handoff")[0].reason


async def test_a_second_signal_hurries(shop: Shop) -> None:
    await shop.submit(*LONG, "--term-seconds", "60")
    pace = msgspec.structs.replace(QUICK, drain_longest=100.0)
    async with shop.worker(shop.tools(pace=pace)) as running:
        await started(shop)
        running.worker.drain("a test")
        await shop.desk.until_said("DrainReport")
        running.worker.hurry("a test")
        assert await running.left(within=9)
    assert shop.desk.said("Handoff")


@pytest.mark.parametrize("drains_already", [False, True])
async def test_a_signal_before_a_kill_leaves_what_the_site_leaves(
    shop: Shop, drains_already: bool
) -> None:
    """SLURM kills so many seconds after its signal, whatever a drain might take otherwise."""
    await shop.submit(*LONG, "--term-seconds", "60")
    pace = msgspec.structs.replace(QUICK, drain_longest=100.0)
    tools = shop.tools(pace=pace)
    tools = replace(tools, me=msgspec.structs.replace(tools.me, notice=4.0))
    async with shop.worker(tools) as running:
        await started(shop)
        if drains_already:
            running.worker.drain("a test")
            await shop.desk.until_said("DrainReport")
        running.worker.hurry("a test")
        assert await running.left(within=6)
    assert shop.desk.said("Handoff")


async def test_a_job_is_handed_on_before_its_allocation_ends(shop: Shop) -> None:
    """The deadline is unix time, the loop's clock is not."""
    await shop.submit(*LONG)
    tools = shop.tools(deadline=shop.wall + 4.0)
    async with shop.worker(tools) as running:
        assert await running.left(within=6)
    assert "allocation" in shop.desk.said("Handoff")[0].reason


async def test_a_drain_pushed_by_the_orchestrator_is_obeyed_at_once(shop: Shop) -> None:
    await shop.submit(*LONG)
    async with shop.worker() as running:
        await started(shop)
        await shop.bus.ask(contract.DRAIN, drain_of("w-1"))
        assert await running.left()
    assert shop.desk.said("Handoff")[0].reason == "pushed"


async def test_a_drain_whose_push_was_lost_comes_with_the_heartbeat(shop: Shop) -> None:
    await shop.submit(*LONG)
    async with shop.worker() as running:
        await started(shop)
        shop.desk.ack = HeartbeatAck(drain="said again")
        assert await running.left()
    assert shop.desk.said("Handoff")[0].reason == "said again"


def drain_of(worker: str) -> Drain:
    return Drain(worker=WorkerId(worker), reason="pushed")
