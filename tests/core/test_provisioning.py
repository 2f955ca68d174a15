"""Demand against capacity."""

from collections.abc import Mapping, Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from relaymd.core.allocation import Allocation, AllocationState
from relaymd.core.ids import AllocationId, UnixTime, WorkerId
from relaymd.core.provisioning import (
    Offer,
    ProvisionCommand,
    Submit,
    Withdraw,
    plan,
)
from relaymd.core.resources import Gpu, ProviderKind, Requirements, Seat

ANY = Requirements()
ONE_GPU = Requirements(gpus=1)
GPU = Gpu(model="A100", vram_gb=40.0)
ON_ITS_WAY = (AllocationState.REQUESTED, AllocationState.SUBMITTED)


def offer(
    cluster: str,
    kind: ProviderKind = ProviderKind.SLURM,
    *,
    limit: int = 10,
    slots: int = 1,
    closed: str = "",
    gpus: tuple[Gpu, ...] = (),
) -> Offer:
    template = Seat(worker=WorkerId("w"), provider=kind, cluster=cluster, gpus=gpus)
    return Offer(
        cluster=cluster, provider=kind, template=template, slots=slots, limit=limit, closed=closed
    )


def allocation(
    id: str,
    cluster: str,
    state: AllocationState = AllocationState.SUBMITTED,
    at: float = 0.0,
) -> Allocation:
    return Allocation(id=AllocationId(id), cluster=cluster, state=state, requested_at=UnixTime(at))


def idle(worker: str, *gpus: Gpu) -> Seat:
    return Seat(worker=WorkerId(worker), gpus=gpus)


def submits(commands: Sequence[ProvisionCommand]) -> dict[str, int]:
    return {each.cluster: each.count for each in commands if isinstance(each, Submit)}


def withdrawn(commands: Sequence[ProvisionCommand]) -> list[str]:
    return [each.allocation for each in commands if isinstance(each, Withdraw)]


def test_one_queued_job_and_three_clusters_make_one_allocation() -> None:
    offers = [offer("c"), offer("a"), offer("b")]
    assert plan({ANY: 1}, [], [], offers) == [Submit("a", 1, "1 jobs wait")]


def test_hpc_is_asked_before_salad_before_this_machine() -> None:
    offers = [
        offer("here", ProviderKind.LOCAL),
        offer("cloud", ProviderKind.SALAD, limit=1),
        offer("hpc", ProviderKind.SLURM, limit=1),
    ]
    assert submits(plan({ANY: 4}, [], [], offers)) == {"hpc": 1, "cloud": 1, "here": 2}


def test_an_allocation_that_is_on_its_way_is_not_asked_for_again() -> None:
    for state in ON_ITS_WAY:
        assert plan({ANY: 1}, [], [allocation("x", "a", state)], [offer("a")]) == []


def test_an_allocation_on_its_way_to_one_cluster_counts_for_all() -> None:
    assert plan({ANY: 1}, [], [allocation("x", "b")], [offer("a"), offer("b")]) == []


def test_a_job_that_an_idle_seat_can_take_needs_nothing() -> None:
    assert plan({ANY: 1}, [idle("w1")], [], [offer("a")]) == []
    assert submits(plan({ONE_GPU: 1}, [idle("w1")], [], [offer("a", gpus=(GPU,))])) == {"a": 1}


def test_jobs_without_need_of_a_gpu_leave_those_seats_to_the_others() -> None:
    seats = [idle("gpu", GPU), idle("cpu")]
    assert plan({ANY: 1, ONE_GPU: 1}, seats, [], [offer("a", gpus=(GPU,))]) == []


def test_a_second_class_does_not_starve_behind_the_first() -> None:
    other = Requirements(clusters=("b",))
    found = plan({ANY: 5, other: 1}, [], [], [offer("a", limit=2), offer("b", limit=6)])
    assert submits(found)["a"] == 2
    assert submits(found)["b"] == 4


def test_the_limit_counts_everything_that_lives() -> None:
    held = [allocation("x", "a", AllocationState.ACTIVE), allocation("y", "a")]
    assert submits(plan({ANY: 9}, [], held, [offer("a", limit=3)])) == {"a": 1}
    over = plan({ANY: 9}, [], held, [offer("a", limit=1)])
    assert submits(over) == {}


def test_an_allocation_of_several_slots_serves_several_jobs() -> None:
    assert submits(plan({ANY: 5}, [], [], [offer("a", slots=4)])) == {"a": 2}
    assert plan({ANY: 4}, [], [allocation("x", "a")], [offer("a", slots=4)]) == []


def test_the_spare_slots_of_a_new_allocation_serve_the_next_class() -> None:
    found = plan({ANY: 1, Requirements(clusters=("a",)): 3}, [], [], [offer("a", slots=4)])
    assert submits(found) == {"a": 1}


def test_a_provider_in_trouble_gets_no_submits_and_the_next_one_does() -> None:
    offers = [offer("a", closed="ill"), offer("b")]
    assert submits(plan({ANY: 2}, [], [], offers)) == {"b": 2}


def test_what_a_provider_in_trouble_has_accepted_still_counts() -> None:
    offers = [offer("a", closed="ill"), offer("b")]
    assert plan({ANY: 1}, [], [allocation("x", "a")], offers) == []


def test_nothing_is_asked_for_that_would_not_fit() -> None:
    assert plan({ONE_GPU: 3}, [], [], [offer("a")]) == []


def test_surplus_on_its_way_is_withdrawn_the_youngest_first() -> None:
    coming = [allocation("old", "a", at=1.0), allocation("young", "a", at=2.0)]
    assert withdrawn(plan({ANY: 1}, [], coming, [offer("a")])) == ["young"]
    assert withdrawn(plan({}, [], coming, [offer("a")])) == ["old", "young"]


def test_what_became_a_worker_is_never_withdrawn() -> None:
    active = [allocation("x", "a", AllocationState.ACTIVE)]
    assert plan({}, [], active, [offer("a")]) == []


needs = st.builds(
    Requirements, gpus=st.integers(0, 1), clusters=st.sampled_from([(), ("a",), ("b",)])
)
offers = st.tuples(
    *[
        st.builds(
            offer,
            st.just(name),
            st.sampled_from(ProviderKind),
            limit=st.integers(0, 4),
            slots=st.integers(1, 3),
            closed=st.sampled_from(["", "ill"]),
            gpus=st.sampled_from([(), (GPU,)]),
        )
        for name in "abc"
    ]
)
allocations = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(AllocationState)), max_size=6
).map(lambda found: [allocation(f"x{n}", *each, at=float(n)) for n, each in enumerate(found)])


@given(
    st.dictionaries(needs, st.integers(1, 5), max_size=4),
    st.lists(st.sampled_from([(), (GPU,)]), max_size=3),
    allocations,
    offers,
)
def test_whatever_waits_limits_hold_and_no_allocation_is_without_demand(
    demand: Mapping[Requirements, int],
    seats: list[tuple[Gpu, ...]],
    held: list[Allocation],
    all_offers: tuple[Offer, ...],
) -> None:
    free = [idle(f"w{n}", *gpus) for n, gpus in enumerate(seats)]
    commands = plan(demand, free, held, all_offers)
    assert sum(submits(commands).values()) <= sum(demand.values())
    for each in all_offers:
        new = submits(commands).get(each.cluster, 0)
        live = sum(
            one.cluster == each.cluster and one.state is not AllocationState.ENDED for one in held
        )
        assert new == 0 or (not each.closed and live + new <= each.limit)
    coming = {one.id for one in held if one.state in ON_ITS_WAY}
    assert {*withdrawn(commands)} <= coming


@given(
    st.dictionaries(needs, st.integers(1, 5), max_size=4),
    st.lists(st.sampled_from([(), (GPU,)]), max_size=3),
    allocations,
    offers,
)
def test_plans_that_are_carried_out_come_to_an_end(
    demand: Mapping[Requirements, int],
    seats: list[tuple[Gpu, ...]],
    held: list[Allocation],
    all_offers: tuple[Offer, ...],
) -> None:
    free = [idle(f"w{n}", *gpus) for n, gpus in enumerate(seats)]

    def carried_out(now: list[Allocation]) -> list[Allocation]:
        commands = plan(demand, free, now, all_offers)
        after = [one for one in now if one.id not in withdrawn(commands)]
        for cluster, count in submits(commands).items():
            after += [allocation(f"new-{cluster}-{n}", cluster, at=99.0) for n in range(count)]
        return after

    first = carried_out(held)
    # What has several slots may make an older one superfluous, and that is all.
    assert submits(plan(demand, free, first, all_offers)) == {}
    assert plan(demand, free, carried_out(first), all_offers) == []


def test_the_order_of_offers_does_not_matter() -> None:
    found = [offer("b"), offer("a"), msgspec.structs.replace(offer("c"), limit=1)]
    assert plan({ANY: 3}, [], [], found) == plan({ANY: 3}, [], [], found[::-1])
