"""How fast Salad is asked, on a virtual clock."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from relaymd.actors.providers.provider import ProviderError
from relaymd.actors.providers.salad_pace import BURST, SHORT, Pace
from tests.simulation.loop import VirtualLoop


def virtually(main: Coroutine[Any, Any, None]) -> None:
    loop = VirtualLoop()  # type: ignore[abstract] # what nothing here calls is not written
    loop.run(main)
    assert loop.failures == []


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_burst_is_free_and_then_the_pace_is_steady() -> None:
    async def main() -> None:
        pace = Pace(lambda: 1.0)
        for _ in range(BURST):
            await pace.turn()
        assert now() == 0
        for _ in range(600):
            await pace.turn()
        assert now() == pytest.approx(200)

    virtually(main())


def test_in_no_minute_are_there_more_requests_than_salad_allows() -> None:
    async def main() -> None:
        pace, sent = Pace(lambda: 1.0), list[float]()

        async def ask() -> None:
            await pace.turn()
            sent.append(now())

        async with asyncio.TaskGroup() as group:
            for _ in range(1000):
                group.create_task(ask())
        most = max(sum(at <= other < at + 60 for other in sent) for at in sent)
        assert 180 <= most <= 240

    virtually(main())


def test_pauses_grow_with_failures_and_are_forgotten_with_a_success() -> None:
    async def main() -> None:
        pace = Pace(lambda: 1.0)
        pauses = [pace.failed("no").retry_after for _ in range(9)]
        assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
        pace.fine()
        assert pace.failed("no").retry_after == 0.5

    virtually(main())


def test_a_short_pause_is_waited_for_and_a_long_one_is_told() -> None:
    async def main() -> None:
        pace = Pace(lambda: 1.0)
        pace.failed("no", SHORT)
        await pace.turn()
        assert now() == SHORT
        pace.failed("it stormed", 90)
        with pytest.raises(ProviderError, match="stormed; it is left alone for 90 s") as raised:
            await pace.turn()
        assert raised.value.retry_after == pytest.approx(90)

    virtually(main())


def test_no_pause_that_salad_wants_is_longer_than_ten_minutes() -> None:
    async def main() -> None:
        assert Pace(lambda: 1.0).failed("no", 86_400).retry_after == 600

    virtually(main())
