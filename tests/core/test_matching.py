"""As many as possible find a place."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from relaymd.core.matching import Matching


def match(counts: list[int], spare: list[int], fits: list[list[int]]) -> Matching:
    matching = Matching(spare, len(counts))
    for member, count in enumerate(counts):
        matching.add(member, count, fits[member])
    return matching


def test_the_preferred_kind_is_used_first() -> None:
    assert match([2], [1, 5], [[1, 0]]).taken == [{1: 2}]


def test_who_can_go_elsewhere_makes_room() -> None:
    found = match([1, 1], [1, 1], [[0, 1], [0]])
    assert [sum(taken.values()) for taken in found.taken] == [1, 1]
    assert found.taken[1] == {0: 1}


def test_room_is_made_over_several_steps() -> None:
    found = match([2, 2, 2], [2, 2, 2], [[0, 1], [1, 2], [1]])
    assert [sum(taken.values()) for taken in found.taken] == [2, 2, 2]


def test_who_has_a_place_keeps_one() -> None:
    matching = Matching([1], 2)
    assert matching.add(0, 1, [0]) == 1
    assert matching.add(1, 1, [0]) == 0
    assert sum(matching.taken[0].values()) == 1


problems = st.integers(1, 3).flatmap(
    lambda kinds: st.tuples(
        st.lists(st.integers(0, 3), min_size=kinds, max_size=kinds),
        st.lists(
            st.tuples(st.integers(0, 3), st.lists(st.integers(0, kinds - 1), unique=True)),
            max_size=3,
        ),
    )
)


@given(problems)
def test_no_other_way_finds_places_for_more(
    problem: tuple[list[int], list[tuple[int, list[int]]]],
) -> None:
    spare, members = problem
    found = match([count for count, _ in members], spare, [fits for _, fits in members])
    for number, (count, fits) in enumerate(members):
        assert sum(found.taken[number].values()) <= count
        assert all(kind in fits for kind, many in found.taken[number].items() if many)
    for kind, places in enumerate(spare):
        used = sum(taken.get(kind, 0) for taken in found.taken)
        assert used + found.spare[kind] == places
    assert sum(sum(taken.values()) for taken in found.taken) == _most(spare, members)


def _most(spare: list[int], members: list[tuple[int, list[int]]]) -> int:
    """By Hall and König: the least over all sets of kinds that could be short."""
    sets = product([False, True], repeat=len(spare))
    return min(
        sum(places for places, inside in zip(spare, chosen, strict=True) if inside)
        + sum(count for count, fits in members if not all(chosen[kind] for kind in fits))
        for chosen in sets
    )
