import asyncio
from collections.abc import Iterator

import pytest

from relaymd.storage.parallel import each


async def test_results_come_in_the_order_of_the_items_and_no_more_run_than_may() -> None:
    running = most = 0

    async def work(item: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(item % 5):
            await asyncio.sleep(0)
        running -= 1
        return item * 2

    assert await each(range(50), work, at_once=4) == [item * 2 for item in range(50)]
    assert most == 4


async def test_items_are_taken_only_when_their_turn_comes() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(1000):
            taken.append(item)
            yield item

    async def fail(item: int) -> None:
        raise KeyError(item)

    with pytest.raises(KeyError, match="0"):
        await each(items(), fail, at_once=3)
    assert len(taken) <= 3


async def test_the_first_error_ends_the_others_and_is_raised_as_it_is() -> None:
    ended: list[str] = []

    async def work(item: str) -> None:
        try:
            if item == "inner":
                await each(["deep"], work)
            if item == "deep":
                raise LookupError(item)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(item)
            raise

    with pytest.raises(LookupError, match="deep"):
        await each(["waits", "inner"], work)
    assert ended == ["waits"]
