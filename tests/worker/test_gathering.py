"""Files that are written all the time, and which moment of theirs is stored."""

import asyncio
import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from relaymd.worker.cycle import CycleError
from relaymd.worker.tools import Room
from tests.worker.bench import JOB, Bench
from tests.worker.shop import Shop

P = ParamSpec("P")
T = TypeVar("T")


@pytest.fixture
def bench(shop: Shop) -> Bench:
    return Bench(shop)


@contextlib.contextmanager
def written(write: Callable[[int], None], pause: float) -> Generator[None]:
    """Call it again and again in a thread, as an engine writes that does not wait for us."""
    begun, over = threading.Event(), threading.Event()

    def engine() -> None:
        for number in itertools.count():
            write(number)
            begun.set()
            if over.wait(pause):
                return

    thread = threading.Thread(target=engine)
    thread.start()
    try:
        begun.wait()
        yield
    finally:
        over.set()
        thread.join()


class Restless:
    """An offload beside which the engine writes a file anew, whatever is done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._count += 1
        self._path.write_text(str(self._count))
        return await asyncio.to_thread(work, *args, **kwargs)


async def test_a_file_that_never_rests_fails_the_cycle_and_commits_nothing(bench: Bench) -> None:
    bench.write(a="1")
    bench.offload = Restless(bench.place.work / "a.chk")
    bench.cycle = bench.new_cycle()
    with pytest.raises(CycleError, match=r"a\.chk"):
        await bench.cycle.once()
    assert bench.committed == []


FRAME = os.urandom(700_000)


def append_frame(path: Path, number: int) -> None:
    """As some trajectories are written: a frame at the end, their number at the begin."""
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"%08d" % number + FRAME)
        file.seek(0)
        file.write(b"%08d" % (number + 1))


def frames(data: bytes) -> tuple[int, list[int]]:
    """The number that the file says it holds, and those that it does hold."""
    size = 8 + len(FRAME)
    found = [data[at : at + size] for at in range(8, len(data), size)]
    assert all(frame[8:] == FRAME for frame in found)
    return int(data[:8]), [int(frame[:8]) for frame in found]


async def three_generations(bench: Bench) -> None:
    async with asyncio.timeout(60):
        while len(bench.committed) < 3:
            await bench.cycle.once()


@pytest.mark.parametrize("staging", [0, 2**30])
async def test_a_trajectory_that_never_rests_is_stored_as_it_was_at_one_moment(
    shop: Shop, staging: int
) -> None:
    """The store is slower than the engine, and no marker says when the files are whole."""
    bench = Bench(shop, room=Room(memory=1, staging=staging), void_tries=100)
    path = bench.place.work / "a.chk"
    path.write_bytes(b"%08d" % 0)
    bench.store.delay = 0.02
    with written(lambda number: append_frame(path, number), 0.08):
        await three_generations(bench)
    counts: list[int] = []
    for index in range(3):
        count, numbers = frames((await shop.restored(JOB, index) / "a.chk").read_bytes())
        assert numbers == [*range(count)]
        counts.append(count)
    assert counts == sorted(set(counts))


async def test_two_files_that_are_written_in_turn_are_stored_as_they_were_at_one_moment(
    shop: Shop,
) -> None:
    bench = Bench(shop, void_tries=100)
    bench.write(a="0", b="0")

    def write(number: int) -> None:
        bench.write(a=str(number))
        bench.write(b=str(number))

    with written(write, 0.05):
        await three_generations(bench)
    for index in range(3):
        root = await shop.restored(JOB, index)
        a, b = (int((root / f"{name}.chk").read_text()) for name in "ab")
        assert a - b in (0, 1)
