"""What holds of every plan, whatever there is and whatever waits."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from relaymd.core.allocation import Allocation, AllocationState
from relaymd.core.clusters import Strategy
from relaymd.core.demand import Demand
from relaymd.core.provisioning import Offer, Plan, Submit
from relaymd.core.resources import Gpu, ProviderKind, Requirements, Seat
from tests.core.plans import (
    GPU,
    NOW,
    allocation,
    demand,
    offer,
    planned,
    retired,
    seat,
    submits,
    withdrawn,
)

NAMES = "abc"
needs = st.builds(
    Requirements, gpus=st.integers(0, 1), clusters=st.sampled_from([(), ("a",), ("b",), ("c",)])
)
demands = st.dictionaries(needs, st.tuples(st.integers(1, 5), st.integers(0, 5)), max_size=4).map(
    lambda found: [
        demand(need, waiting, overdue=min(overdue, waiting), oldest=float(overdue * 500))
        for need, (waiting, overdue) in found.items()
    ]
)


def offers(slots: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[Offer, ...]]:
    each = [
        st.builds(
            offer,
            st.just(name),
            st.sampled_from(ProviderKind),
            limit=st.integers(0, 4),
            max_pending=st.none() | st.integers(0, 3),
            slots=slots,
            closed=st.sampled_from(["", "", "ill"]),
            disabled=st.sampled_from(["", "", "off"]),
            strategy=st.sampled_from(Strategy),
            jit_threshold=st.just(1000.0),
            outlives_worker=st.booleans(),
            gpus=st.sampled_from([(), (GPU,)]),
        )
        for name in NAMES
    ]
    return st.tuples(*each)


held = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from([state for state in AllocationState if state != "ended"]),
        st.sampled_from([0.0, 1000.0]),
        st.sampled_from([None, NOW]),
    ),
    max_size=6,
).map(
    lambda found: [
        allocation(f"x{n}", cluster, state, age=age + n, started_at=started)
        for n, (cluster, state, age, started) in enumerate(found)
    ]
)
gpus: st.SearchStrategy[tuple[Gpu, ...]] = st.sampled_from([(), (GPU,)])
seats = st.lists(
    st.tuples(gpus, st.sampled_from(NAMES), st.booleans(), st.sampled_from([None, 10.0])),
    max_size=4,
).map(
    lambda found: [
        (seat(f"w{n}", *has, cluster=cluster, ends=ends), idle)
        for n, (has, cluster, idle, ends) in enumerate(found)
    ]
)
Seats = list[tuple[Seat, bool]]


def looked(
    wanted: Sequence[Demand], all_offers: Sequence[Offer], there: Sequence[Allocation], free: Seats
) -> Plan:
    return planned(
        wanted,
        all_offers,
        held=there,
        idle=[one for one, idle in free if idle],
        busy=[one for one, idle in free if not idle],
    )


def carried_out(found: Plan, there: Sequence[Allocation]) -> list[Allocation]:
    after = [one for one in there if one.id not in withdrawn(found)]
    new = [each for each in found.commands if isinstance(each, Submit)]
    return after + [
        allocation(f"new{len(there)}-{n}", each.cluster, image=each.image)
        for n, each in enumerate(new)
    ]


@given(demands, offers(st.just(1)), held, seats)
def test_no_more_is_on_its_way_than_waits(
    wanted: list[Demand], all_offers: tuple[Offer, ...], there: list[Allocation], free: Seats
) -> None:
    after = carried_out(looked(wanted, all_offers, there, free), there)
    waiting = sum(each.waiting for each in wanted)
    salad = {each.cluster for each in all_offers if each.provider is ProviderKind.SALAD}
    coming = [one for one in after if one.is_coming]
    assert sum(one.cluster in salad for one in coming) <= waiting
    assert sum(one.cluster not in salad for one in coming) <= waiting


@given(demands, offers(st.integers(1, 3)), held, seats)
def test_limits_hold_and_who_is_closed_is_left_alone(
    wanted: list[Demand], all_offers: tuple[Offer, ...], there: list[Allocation], free: Seats
) -> None:
    asked = submits(looked(wanted, all_offers, there, free))
    live = Counter(one.cluster for one in there)
    pending = Counter(one.cluster for one in there if one.is_pending)
    for each in all_offers:
        new = asked.get(each.cluster, 0)
        if new:
            assert not each.closed
            assert not each.disabled
            assert live[each.cluster] + new <= each.limit
            most = each.max_pending
            assert most is None or pending[each.cluster] + new <= most


@given(demands, offers(st.integers(1, 3)), held, seats, st.booleans())
def test_nothing_is_taken_from_who_works(
    wanted: list[Demand],
    all_offers: tuple[Offer, ...],
    there: list[Allocation],
    free: Seats,
    manned: bool,
) -> None:
    active = [one.id for one in there if one.state is AllocationState.ACTIVE]
    found = planned(
        wanted,
        all_offers,
        held=there,
        idle=[one for one, idle in free if idle],
        busy=[one for one, idle in free if not idle],
        manned=active if manned else (),
    )
    assert {*retired(found)} <= {one.worker for one, idle in free if idle}
    outliving = {each.cluster for each in all_offers if each.outlives_worker}
    known = {str(one.id): one for one in there}
    for id in withdrawn(found):
        one = known[id]
        assert one.is_coming or (one.cluster in outliving and not manned)


@given(demands, offers(st.integers(1, 3)), held, seats)
def test_plans_that_are_carried_out_come_to_an_end(
    wanted: list[Demand], all_offers: tuple[Offer, ...], there: list[Allocation], free: Seats
) -> None:
    for _ in range(4):
        found = looked(wanted, all_offers, there, free)
        there = carried_out(found, there)
    last = looked(wanted, all_offers, there, free)
    assert submits(last) == {}
    assert withdrawn(last) == []


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=2, max_size=5),
    st.integers(1, 3),
    st.sampled_from([Strategy.CONTINUOUS, Strategy.REACTIVE]),
    st.integers(1, 2),
)
def test_no_class_starves_behind_others_whatever_they_have_waiting(
    waiting: list[int], limit: int, strategy: Strategy, max_pending: int
) -> None:
    """One cluster, a class an image; each allocation runs one job and ends with it."""
    images = [str(number) for number in range(len(waiting))]
    all_offers = [
        offer("a", image=image, limit=limit, strategy=strategy, max_pending=max_pending)
        for image in images
    ]
    since = {image: [0.0] * count for image, count in zip(images, waiting, strict=True)}
    running: list[str] = []
    done: list[str] = []
    turn: dict[str, float] = {}
    for now in range(1, 2 * sum(waiting) + 2):
        wanted = [
            demand(
                Requirements(worker_image=image),
                len(line),
                oldest=now - line[0],
                running=running.count(image),
                since_turn=now - turn.get(image, -1000.0),
            )
            for image, line in since.items()
            if line
        ]
        there = [
            allocation(f"{now}-{n}", "a", AllocationState.ACTIVE, image=image)
            for n, image in enumerate(running)
        ]
        for each in planned(wanted, all_offers, held=there).commands:
            assert isinstance(each, Submit)
            assert each.image is not None
            since[each.image].pop(0)
            running.append(each.image)
            turn[each.image] = now
        assert len(running) <= limit
        if running:
            done.append(running.pop(0))
    assert len(done) == sum(waiting), "all run in the end"
    assert {*done[: len(images) + limit]} == {*images}, "and each class soon"
