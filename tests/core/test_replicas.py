"""Claims find machines, and nothing that somebody claims is ever taken away."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaymd.core.allocation import Allocation
from relaymd.core.ids import AllocationId, UnixTime
from relaymd.core.replicas import (
    KEEP,
    Instance,
    InstanceState,
    Price,
    Reallocate,
    Scale,
    Start,
    Step,
    claim,
    steps,
)

RUNNING, CREATING, STOPPING = (
    InstanceState.RUNNING,
    InstanceState.CREATING,
    InstanceState.STOPPING,
)


def allocation(id: str, external: str = "", at: float = 0.0) -> Allocation:
    return Allocation(
        id=AllocationId(id), cluster="salad", external=external, requested_at=UnixTime(at)
    )


def instance(machine: str, state: InstanceState = RUNNING, cost: int = 0) -> Instance:
    return Instance(id=f"i-{machine}", machine=machine, state=state, deletion_cost=cost)


def homes(**machines: str) -> dict[AllocationId, str]:
    return {AllocationId(id): machine for id, machine in machines.items()}


# -- who gets which machine ---------------------------------------------------------------------


def test_the_oldest_open_claim_gets_the_machine_that_runs() -> None:
    claims = [allocation("b", at=2), allocation("a", at=1)]

    assert claim(claims, [instance("m1")], ()) == homes(a="m1")


def test_a_claim_keeps_its_machine_also_when_that_is_not_listed() -> None:
    claims = [allocation("a", "m1"), allocation("b")]

    assert claim(claims, [instance("m2")], ()) == homes(a="m1", b="m2")


@pytest.mark.parametrize("state", [state for state in InstanceState if state is not RUNNING])
def test_a_machine_that_does_not_run_yet_or_no_longer_is_nobodys(state: InstanceState) -> None:
    assert claim([allocation("a")], [instance("m1", state)], ()) == {}


def test_a_machine_without_a_name_or_dismissed_is_nobodys() -> None:
    assert claim([allocation("a")], [instance(""), instance("m1")], {"m1"}) == {}


# -- what is changed ----------------------------------------------------------------------------


def test_more_claims_than_replicas_raise_them() -> None:
    assert steps(1, [], claims=3, homes={}, dismissed=()) == [Scale(3)]


def test_a_group_that_is_stopped_is_started_for_an_open_claim_and_for_nothing_else() -> None:
    assert steps(0, [], claims=1, homes={}, dismissed=(), stopped=True) == [Scale(1), Start()]
    assert steps(1, [], claims=1, homes={}, dismissed=(), stopped=True) == [Start()]
    assert steps(1, [], claims=1, homes=homes(a="m1"), dismissed=(), stopped=True) == []
    assert steps(0, [], claims=0, homes={}, dismissed=(), stopped=True) == []


def test_as_many_replicas_as_claims_are_left_alone() -> None:
    assert steps(2, [instance("m1")], claims=2, homes=homes(a="m1"), dismissed=()) == []


def test_a_dismissed_machine_goes_by_being_the_cheapest() -> None:
    machines = [instance("m1"), instance("m2"), instance("m3", CREATING)]
    assert steps(3, machines, claims=2, homes=homes(a="m1"), dismissed={"m2"}) == [
        Price("i-m1", KEEP),
        Price("i-m3", KEEP),
        Scale(2),
    ]


def test_what_is_marked_already_is_not_marked_again() -> None:
    machines = [instance("m1", cost=KEEP), instance("m2")]
    assert steps(2, machines, claims=1, homes=homes(a="m1"), dismissed={"m2"}) == [Scale(1)]


def test_a_dismissed_machine_whose_replica_somebody_waits_for_is_exchanged() -> None:
    machines = [instance("m1"), instance("m2")]
    assert steps(2, machines, claims=2, homes=homes(a="m1"), dismissed={"m2"}) == [
        Reallocate("i-m2")
    ]


def test_a_group_that_is_on_its_way_down_is_not_hurried() -> None:
    machines = [instance("m1"), instance("m2")]
    assert steps(1, machines, claims=1, homes=homes(a="m1"), dismissed={"m2"}) == []


def test_an_open_claim_that_was_released_takes_a_replica_that_never_ran() -> None:
    machines = [instance("m1"), instance("m2", CREATING)]
    assert steps(2, machines, claims=1, homes=homes(a="m1"), dismissed=(), released=1) == [
        Price("i-m1", KEEP),
        Scale(1),
    ]
    assert steps(2, [instance("m1")], claims=1, homes=homes(a="m1"), dismissed=(), released=1) == [
        Price("i-m1", KEEP),
        Scale(1),
    ]


def test_a_machine_that_runs_unclaimed_stays_until_patience_is_over() -> None:
    machines = [instance("m1"), instance("m2")]
    known = homes(a="m1")
    assert steps(2, machines, claims=1, homes=known, dismissed=(), released=1) == []
    assert steps(2, machines, claims=1, homes=known, dismissed=(), patience_is_over=True) == [
        Price("i-m1", KEEP),
        Scale(1),
    ]


def test_nothing_is_wanted_and_all_goes() -> None:
    machines = [instance("m1"), instance("m2", CREATING), instance("m3", STOPPING)]
    assert steps(3, machines, claims=0, homes={}, dismissed=(), patience_is_over=True) == [Scale(0)]


def test_an_instance_that_was_kept_becomes_the_cheapest_when_it_is_to_go() -> None:
    machines = [instance("m1", cost=KEEP), instance("m2", cost=KEEP)]
    assert steps(2, machines, claims=1, homes=homes(a="m1"), dismissed={"m2"}) == [
        Price("i-m2", 0),
        Scale(1),
    ]


# -- what always holds --------------------------------------------------------------------------

MACHINES = [f"m{n}" for n in range(6)]
INSTANCES = st.lists(
    st.builds(
        instance,
        st.sampled_from(MACHINES),
        st.sampled_from([*InstanceState]),
        st.sampled_from([0, KEEP]),
    ),
    unique_by=lambda one: one.machine,
)


def shrunk(instances: Sequence[Instance], plan: Sequence[Step]) -> list[Instance]:
    """What Salad takes away: the cheapest first, and of equals those we would least like."""
    costs = {step.instance: step.cost for step in plan if isinstance(step, Price)}
    staying = [one for one in instances if one.is_staying]
    (replicas,) = [step.replicas for step in plan if isinstance(step, Scale)]
    dearest_last = sorted(
        staying, key=lambda one: (costs.get(one.id, one.deletion_cost), not one.runs)
    )
    return dearest_last[: max(len(staying) - replicas, 0)]


@given(
    replicas=st.integers(0, 8),
    instances=INSTANCES,
    claims=st.integers(0, 8),
    named=st.lists(st.sampled_from(MACHINES), unique=True),
    dismissed=st.frozensets(st.sampled_from(MACHINES)),
    released=st.integers(0, 3),
    over=st.booleans(),
    stopped=st.booleans(),
)
def test_whatever_the_state_no_claimed_machine_goes_and_no_replica_too_many_comes(
    replicas: int,
    instances: list[Instance],
    claims: int,
    named: list[str],
    dismissed: frozenset[str],
    released: int,
    over: bool,
    stopped: bool,
) -> None:
    known = {
        AllocationId(f"a{n}"): machine
        for n, machine in enumerate(named[:claims])
        if machine not in dismissed
    }
    plan = steps(
        replicas,
        instances,
        claims=claims,
        homes=known,
        dismissed=dismissed,
        released=released,
        patience_is_over=over,
        stopped=stopped,
    )
    scales = [step.replicas for step in plan if isinstance(step, Scale)]
    assert all(min(replicas, claims) <= to <= max(replicas, claims) for to in scales)
    kept = {one.id for one in instances if one.machine in known.values()}
    assert not kept & {step.instance for step in plan if isinstance(step, Reallocate)}
    if scales and scales[0] < replicas:
        gone = shrunk(instances, plan)
        assert not kept & {one.id for one in gone}
        if not over:
            assert all(one.machine in dismissed for one in gone if one.runs)
