"""Real Slurm with four nodes under a whole stack: what it gives, what it takes, what it forgets."""

import asyncio
import os
import signal
import stat
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from relaymd.actors.providers.provider import ProviderRefusedError
from relaymd.actors.providers.shell import LocalShell
from relaymd.actors.providers.slurm import SlurmProvider
from relaymd.actors.providers.worker_environment import WorkerEnvironment
from relaymd.connection import Role, read_credentials
from relaymd.core.allocation import Allocation, Whereabouts
from relaymd.core.clusters import ClusterConfig
from relaymd.core.ids import AllocationId, UnixTime
from tests.engines.verify import problems
from tests.system.bundles import LONG, LongRun, fake_bundle
from tests.system.slurm_cluster import NODES, SlurmCluster
from tests.system.slurm_stack import SlurmStack, cluster, needed, over

pytestmark = pytest.mark.system


async def finished(
    stack: SlurmStack, job: str, steps: int, folder: Path, *, within: float = 120
) -> list[str]:
    """How the segments of a job ended that has completed with every step once."""
    await stack.until_state(job, "completed", within=within)
    await stack.cli("jobs", "fetch", job, "--to", folder)
    assert problems(folder / "ledger.txt", steps) == []
    return [segment["how"] for segment in (await stack.show(job))["segments"]]


async def test_twelve_jobs_on_four_nodes_complete_and_nothing_is_left(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    async with over(slurm, tmp_path, cluster()) as stack:
        bundle = fake_bundle(tmp_path / "b", steps=100)
        jobs = await asyncio.gather(*(stack.submit(bundle, "--title", f"j{n}") for n in range(12)))
        used: set[str] = set()

        async def all_completed() -> bool:
            there = await stack.allocations()
            waiting = slurm.queue()
            assert len(there) <= needed(12)
            assert len(waiting) <= needed(12)
            used.update(slurm.run("squeue", "-h", "-t", "R", "-o", "%N")[1].split())
            return all([await stack.state_of(job) == "completed" for job in jobs])

        await stack.until(all_completed, within=120, what="all jobs complete")
        assert used == {*NODES}
        await stack.until_at_rest()
        assert len(await stack.told("requested")) == len(await stack.told("ended"))
        assert len(await stack.told("requested")) <= needed(12)
        secrets = [read_credentials(stack.state).passwords[role] for role in Role]
        assert not files_with(secrets, slurm.folder, tmp_path / "logs", tmp_path / "work")


def files_with(secrets: list[str], *folders: Path) -> list[Path]:
    """What SLURM keeps of scripts, environments and arguments, and what workers wrote."""
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 50
    return [file for file in files if any(s.encode() in content(file) for s in secrets)]


def content(file: Path) -> bytes:
    """Nothing where SLURM has just replaced it."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


async def test_a_job_longer_than_the_wall_time_is_handed_over_before_each_end(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    """Slurm counts wall times in minutes, and ends jobs up to half a minute late."""
    async with over(slurm, tmp_path, cluster(wall_time="2")) as stack:
        bundle = fake_bundle(tmp_path / "b", steps=3000, pace=0.1)  # five minutes of it
        job = await stack.submit(bundle, "--title", "long")
        ends = await finished(stack, job, 3000, tmp_path / "out", within=600)

        assert ends[-1] == "completed"
        assert set(ends[:-1]) == {"handed over"}
        assert len(ends) >= 3
        await stack.until_at_rest()
        states = slurm.accounted(*[one["allocation"] for one in await stack.told("requested")])
        assert set(states) == {"COMPLETED"}, "none of them was ended by Slurm"


async def test_scancel_hands_the_job_over_and_is_told(slurm: SlurmCluster, tmp_path: Path) -> None:
    async with over(slurm, tmp_path, cluster()) as stack:
        run = LongRun(tmp_path / "b")
        job = await stack.submit(run.bundle, "--title", "scancel")
        slurm.run("scancel", "--name", await stack.until_running(job))

        (end, *_) = await stack.ended()
        assert end["reason"] == "CANCELLED: it was cancelled"
        run.let_go()
        assert await finished(stack, job, LONG, tmp_path / "out") == ["handed over", "completed"]


async def test_a_node_that_dies_interrupts_its_job_and_the_next_node_goes_on(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    async with over(slurm, tmp_path, cluster()) as stack:
        run = LongRun(tmp_path / "b")
        job = await stack.submit(run.bundle, "--title", "node")
        node = stack.node_of(await stack.until_running(job))
        slurm.kill_node(node)
        slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        try:
            (end, *_) = await stack.ended()
            assert end["reason"] == "NODE_FAIL: its node failed"
            run.let_go()
            ends = await finished(stack, job, LONG, tmp_path / "out")
            assert ends == ["interrupted", "completed"]
            (event,) = [e for e in await stack.events(job) if e["type"] == "interrupted"]
            assert event["end"]["outcome"] == "interrupted"
        finally:
            slurm.bring_back(node)


async def test_preempted_allocations_hand_their_jobs_over(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    """Where a partition cancels, and where it requeues: an allocation of ours has one life."""
    partitions = ("requeued", "cancelled")
    clusters = [cluster(name, partition=name) for name in partitions]
    async with over(slurm, tmp_path, *clusters) as stack:
        runs = [LongRun(tmp_path / name, resources={"clusters": [name]}) for name in partitions]
        jobs = [
            await stack.submit(run.bundle, "--title", name)
            for run, name in zip(runs, partitions, strict=True)
        ]
        for job in jobs:
            await stack.until_running(job)
        slurm.take_all_nodes(seconds=2)

        ends = await stack.ended(2)
        reason = "PREEMPTED: it was preempted by a job of higher priority"
        assert [end["reason"] for end in ends[:2]] == [reason] * 2
        for run, job in zip(runs, jobs, strict=True):
            run.let_go()
            how = await finished(stack, job, LONG, tmp_path / f"{job}-out")
            assert how == ["handed over", "completed"]


async def test_an_allocation_that_slurm_requeues_is_the_same_allocation(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    lines = [f"--export=HOME={tmp_path}", "--requeue"]
    requeued = cluster(partition="requeued", sbatch_lines=lines)
    async with over(slurm, tmp_path, requeued) as stack:
        run = LongRun(tmp_path / "b")
        job = await stack.submit(run.bundle, "--title", "requeued")
        name = await stack.until_running(job)
        slurm.take_all_nodes(seconds=5)
        await stack.until_event(job, "handed-off")

        async def is_waiting_again() -> bool:
            return f"{name} PENDING" in slurm.queue()

        await stack.until(is_waiting_again, what="Slurm requeued it")
        slurm.run("scontrol", "update", f"jobid={slurm.number_of(name)}", "starttime=now")
        run.let_go()
        assert await finished(stack, job, LONG, tmp_path / "out") == ["handed over", "completed"]
        await stack.until_at_rest()


async def test_while_the_controller_is_away_nothing_is_thought_to_have_ended(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    async with over(slurm, tmp_path, cluster()) as stack:
        run = LongRun(tmp_path / "b")
        job = await stack.submit(run.bundle, "--title", "away")
        await stack.until_running(job)
        slurm.stop_controller()
        try:
            other = await stack.submit(fake_bundle(tmp_path / "o", steps=5), "--title", "other")
            await asyncio.sleep(60)  # how long it is away is what is tested
            assert await stack.state_of(job) == "running"
            assert await stack.told("ended") == []
        finally:
            slurm.start_controller()
        await stack.until_state(other, "completed", within=120)
        run.let_go()
        assert await finished(stack, job, LONG, tmp_path / "out") == ["completed"]
        await stack.until_at_rest()


async def test_a_hanging_sbatch_that_was_accepted_is_found_and_not_repeated(
    slurm: SlurmCluster, tmp_path: Path, hanging_sbatch: Path
) -> None:
    path = f"{hanging_sbatch}:{slurm.environment['PATH']}"
    async with over(slurm, tmp_path, cluster(), PATH=path) as stack:
        job = await stack.submit(fake_bundle(tmp_path / "b", steps=100), "--title", "hangs")
        assert await finished(stack, job, 100, tmp_path / "out") == ["completed"]
        await stack.until_at_rest(within=90)

        calls = (hanging_sbatch / "calls").read_text().splitlines()
        (requested,) = await stack.told("requested")
        assert len(calls) == 1
        assert slurm.accounted(requested["allocation"]) == ["COMPLETED"]


@pytest.fixture
def hanging_sbatch(tmp_path: Path) -> Path:
    """A folder with an sbatch that submits and then says nothing, as over a broken line."""
    folder = tmp_path / "hanging"
    folder.mkdir()
    program = folder / "sbatch"
    program.write_text(
        f'#!/bin/sh\necho "$@" >>{folder}/calls\n/usr/bin/sbatch "$@" >/dev/null\nexec sleep 600\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


async def test_a_full_quota_is_refused_in_words_and_what_waits_says_why(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    """The provider alone: what it makes of real answers."""
    config = ClusterConfig(name="work", qos="two", sbatch_lines=("--hold", "--export=NIL"))
    environment = WorkerEnvironment(settings={}, secrets={}, file="none")
    shell = LocalShell({**slurm.environment, "HOME": str(tmp_path)})
    provider = SlurmProvider(config, shell, environment)
    one, two, three = (
        Allocation(id=AllocationId(f"a-q{n}"), cluster="work", requested_at=UnixTime(time.time()))
        for n in range(3)
    )
    numbers = [await provider.submit(each) for each in (one, two)]  # as many as the QOS allows
    with pytest.raises(ProviderRefusedError, match="QOSMaxSubmitJobPerUserLimit: as many") as told:
        await provider.submit(three)
    assert told.value.retry_after

    seen = await provider.observe([one, two, three])
    assert [seen[each.id].external for each in (one, two)] == numbers
    assert seen[one.id].where is Whereabouts.PENDING
    assert "scontrol release" in seen[one.id].reason
    assert seen[three.id].where is Whereabouts.UNKNOWN
    for each in (one, one, two):
        await provider.cancel(each)
    gone = (await provider.observe([one]))[one.id]
    assert (gone.where, gone.reason) == (Whereabouts.GONE, "CANCELLED: it was cancelled")


async def test_a_full_quota_is_told_in_words_and_is_no_failure_of_the_job(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    for _ in range(2):  # as many as the QOS allows
        slurm.run("sbatch", "--qos=two", "--hold", "--wrap", "true")
    async with over(slurm, tmp_path, cluster(qos="two")) as stack:
        job = await stack.submit(fake_bundle(tmp_path / "b", steps=5), "--title", "full")
        (end, *_) = await stack.ended()

        assert end["reason"] == (
            "a quota is full: QOSMaxSubmitJobPerUserLimit: "
            "as many of our jobs are in its queue as may be"
        )
        assert await stack.state_of(job) == "queued"
        assert await stack.allocations() == []


async def test_a_killed_orchestrator_adopts_what_runs_and_what_waits(
    slurm: SlurmCluster, tmp_path: Path
) -> None:
    slurm.take_all_nodes(seconds=600, count=3)
    async with over(slurm, tmp_path, cluster()) as stack:
        bundle = fake_bundle(tmp_path / "b", steps=100_000)
        jobs = [await stack.submit(bundle, "--title", f"j{n}") for n in range(3)]

        async def one_runs_and_one_waits() -> bool:
            states = sorted(line.split()[1] for line in slurm.queue() if line.startswith("a-"))
            running = [job for job in jobs if await stack.state_of(job) == "running"]
            return states == ["PENDING", "RUNNING"] and len(running) == 2

        await stack.until(one_runs_and_one_waits, what="one allocation runs, one waits")
        before = sorted(one["allocation"] for one in await stack.told("requested"))
        for _ in range(3):
            (pid,) = stack.children("relaymd.actors")
            os.kill(pid, signal.SIGKILL)
            await stack.cli("status", "--wait", "30")
        await asyncio.sleep(6)  # two looks and plans
        assert sorted(one["allocation"] for one in await stack.told("requested")) == before
        assert sorted(line.split()[0] for line in slurm.queue() if line.startswith("a-")) == before
        slurm.run("scancel", "--name", "urgent")
        for job in jobs:
            await stack.until_event(job, "checkpointed")
            assert len((await stack.show(job))["segments"]) == 1, "nothing was begun twice"
            await stack.cli("jobs", "cancel", job)
        await stack.until_at_rest()


@pytest.fixture
async def silence() -> AsyncGenerator[int]:
    """A port where somebody listens and never says a word."""
    over_ = asyncio.Event()

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over_.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    yield int(server.sockets[0].getsockname()[1])
    over_.set()
    server.close()


async def test_a_cluster_whose_ssh_hangs_holds_up_no_other(
    slurm: SlurmCluster, tmp_path: Path, silence: int
) -> None:
    far = cluster("a-far", ssh={"host": "127.0.0.1", "port": silence})
    async with over(slurm, tmp_path, far, cluster("b-near")) as stack:
        near, only_far = ({"clusters": [name]} for name in ("b-near", "a-far"))
        lost = await stack.submit(fake_bundle(tmp_path / "f", resources=only_far), "--title", "far")
        job = await stack.submit(
            fake_bundle(tmp_path / "b", steps=20, resources=near), "--title", "near"
        )
        await stack.until_state(job, "completed", within=30)
        assert await stack.state_of(lost) == "queued"
        assert [one["cluster"] for one in await stack.told("ended")] != ["a-far"]
