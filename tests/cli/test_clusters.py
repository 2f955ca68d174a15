"""Clusters as a person sees them: listed, shown, switched, planned over; the script."""

import pytest

from relaymd.bus.operating import (
    AllocationView,
    ClusterView,
    PlannedStep,
    PlanView,
    WaitingClass,
)
from relaymd.core.allocation import Allocation, AllocationState
from relaymd.core.ids import AllocationId, JobId, UnixTime, WorkerId
from relaymd.core.provisioning import Offer
from relaymd.core.resources import Gpu, ProviderKind, Requirements, Seat
from tests.cli.conftest import Stack

NORTH = Offer(
    cluster="north",
    provider=ProviderKind.SLURM,
    template=Seat(worker=WorkerId("w"), cluster="north", gpus=(Gpu(model="a100"),)),
    slots=2,
    limit=4,
    max_pending=1,
    wall_seconds=4 * 3600.0,
)
WAITS = AllocationView(
    allocation=Allocation(
        id=AllocationId("a-1"),
        cluster="north",
        state=AllocationState.SUBMITTED,
        external="4711",
        requested_at=UnixTime(0.0),
    ),
    says="Priority",
)


def north(**said: object) -> ClusterView:
    known: dict[str, object] = {"offers": (NORTH,), "allocations": (WAITS,), **said}
    return ClusterView(cluster="north", **known)  # type: ignore[arg-type]  # fields by name


async def test_clusters_are_listed_with_how_they_do(stack: Stack) -> None:
    stack.desk.clusters = [north(closed="ssh: no route to host; asked again in 40 s")]
    answer = await stack.shell("clusters")
    _, row = answer.out.splitlines()
    assert row.startswith("north  ")
    assert "left alone: ssh: no route to host; asked again in 40 s" in row
    assert "2 × a100" in row
    assert (await stack.shell("clusters", "--json")).json["clusters"][0]["cluster"] == "north"


async def test_a_cluster_is_shown_with_what_it_says_of_its_allocations(stack: Stack) -> None:
    stack.desk.clusters = [north()]
    answer = await stack.shell("clusters", "show", "north")
    assert "2 slots, strategy continuous, at most 4, 1 waiting, for 4 h" in answer.out
    assert "4711" in answer.out
    assert "Priority" in answer.out


async def test_a_cluster_is_switched_off_and_on(stack: Stack) -> None:
    stack.desk.clusters = [north()]
    answer = await stack.shell("clusters", "disable", "north")
    assert (answer.code, answer.out) == (0, "north is disabled\n")
    assert "disabled: by " in (await stack.shell("clusters")).out
    answer = await stack.shell("clusters", "enable", "north")
    assert answer.out == "north is enabled\n"
    assert "in use" in (await stack.shell("clusters")).out


@pytest.mark.parametrize("command", ["show", "enable", "disable"])
async def test_a_cluster_that_is_not_there_is_an_error_that_names_the_others(
    stack: Stack, command: str
) -> None:
    stack.desk.clusters = [north()]
    answer = await stack.shell("clusters", command, "nrth")
    assert answer.code == 4
    assert answer.err == "relaymd: there is no cluster nrth; known are north\n"


async def test_a_plan_says_what_would_be_done_and_why_not_more(stack: Stack) -> None:
    nothing = await stack.shell("clusters", "plan")
    assert nothing.out == "Nothing would be asked for or taken back now.\n"
    stack.desk.planned = PlanView(
        commands=(
            PlannedStep(what="submit", cluster="north", image="gmx", reason="for 1 jobs that wait"),
            PlannedStep(what="withdraw", allocation=AllocationId("a-1"), reason="not needed"),
        ),
        waiting=(
            WaitingClass(
                need=Requirements(), jobs=2, oldest=60.0, why="north is full", first=JobId("j-1")
            ),
        ),
    )
    assert (await stack.shell("clusters", "plan")).out.splitlines() == [
        "ask north for an allocation with image gmx: for 1 jobs that wait",
        "take back a-1: not needed",
        "2 jobs such as j-1, waiting for up to 60 s:",
        "  north is full",
    ]


CONFIG = """
clusters:
  - {name: north, partition: a100, worker_images: {gmx: {sif_path: /w.sif}}}
"""


async def test_the_script_of_a_cluster_is_printed_and_holds_no_secret(stack: Stack) -> None:
    (stack.shell.cwd / "relaymd-config.yaml").write_text(CONFIG)
    answer = await stack.shell("clusters", "script", "north", RELAYMD_NATS_PASSWORD="canary-77")
    assert answer.code == 0
    assert "#SBATCH --partition=a100" in answer.out
    assert "canary-77" not in answer.out
    wrong = await stack.shell("clusters", "script", "north", "--image", "gnx")
    assert wrong.err == "relaymd: north has no image gnx; known are gmx\n"
    unknown = await stack.shell("clusters", "script", "south")
    assert unknown.err == "relaymd: no cluster south is configured; known are north\n"
