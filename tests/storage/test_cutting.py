from hypothesis import given
from hypothesis import strategies as st

from relaymd.storage.cutting import MOST_SHORT, cuts
from relaymd.storage.manifest import CHUNK_SIZE, Chunk


def chunks(*sizes: int) -> list[Chunk]:
    return [Chunk(f"{n}", size) for n, size in enumerate(sizes)]


def test_a_new_file_is_cut_at_multiples() -> None:
    assert cuts(0) == []
    assert cuts(5) == [(0, 5)]
    assert cuts(2 * CHUNK_SIZE + 1) == [
        (0, CHUNK_SIZE),
        (CHUNK_SIZE, CHUNK_SIZE),
        (2 * CHUNK_SIZE, 1),
    ]


def test_what_was_appended_is_all_that_is_new() -> None:
    assert cuts(17, chunks(10)) == [(0, 10), (10, 7)]
    assert cuts(CHUNK_SIZE + 3, chunks(10)) == [
        (0, 10),
        (10, CHUNK_SIZE - 10),
        (CHUNK_SIZE, 3),
    ]


def test_a_file_that_shrank_keeps_the_boundaries_that_are_left() -> None:
    assert cuts(12, chunks(10, 5, 5)) == [(0, 10), (10, 2)]


def test_too_many_short_chunks_are_put_together() -> None:
    assert len(cuts(100, chunks(*[1] * MOST_SHORT))) == 1
    assert len(cuts(MOST_SHORT, chunks(*[1] * MOST_SHORT))) == MOST_SHORT


@given(st.integers(0, 5 * CHUNK_SIZE), st.lists(st.integers(1, CHUNK_SIZE), max_size=40))
def test_cuts_cover_a_file_without_gap(size: int, before: list[int]) -> None:
    found = cuts(size, chunks(*before))
    assert all(0 < length <= CHUNK_SIZE for _, length in found)
    ends = [0, *(offset + length for offset, length in found)]
    assert [offset for offset, _ in found] == ends[:-1]
    assert ends[-1] == size
    assert sum(length < CHUNK_SIZE for _, length in found) <= MOST_SHORT
