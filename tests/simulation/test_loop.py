"""The virtual clock: time passes only by waiting, and the dead get no turn."""

import asyncio

import pytest

from tests.simulation.loop import OverrunError, StuckError, VirtualLoop
from tests.simulation.process import Process


def loop(max_turns: int = 10_000) -> VirtualLoop:
    return VirtualLoop(max_turns=max_turns)  # type: ignore[abstract] # what nothing here calls is not written


def test_an_hour_takes_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(3600.0)
        return asyncio.get_running_loop().time()

    assert loop().run(main()) == 3600.0


def test_timers_of_one_moment_fire_in_the_order_in_which_they_were_set() -> None:
    order: list[int] = []

    async def main() -> None:
        for number in range(5):
            asyncio.get_running_loop().call_later(1.0, order.append, number)
        await asyncio.sleep(2.0)

    loop().run(main())

    assert order == [0, 1, 2, 3, 4]


def test_a_killed_process_runs_no_finally() -> None:
    said: list[str] = []
    virtual = loop()
    process = Process("victim")

    async def live() -> None:
        try:
            await asyncio.sleep(10.0)
        finally:
            said.append("goodbye")

    async def main() -> None:
        virtual.spawn(process, live())
        await asyncio.sleep(1.0)
        process.kill()
        await asyncio.sleep(20.0)
        assert not said

    virtual.run(main())


def test_a_frozen_process_goes_on_where_it_stopped() -> None:
    virtual = loop()
    process = Process("sleeper")
    ticks: list[float] = []

    async def live() -> None:
        while True:
            ticks.append(virtual.time())
            await asyncio.sleep(1.0)

    async def main() -> None:
        virtual.spawn(process, live())
        await asyncio.sleep(2.5)
        process.frozen = True
        await asyncio.sleep(10.0)
        virtual.thaw(process)
        await asyncio.sleep(0.5)

    virtual.run(main())

    assert ticks == [0.0, 1.0, 2.0, 12.5]


def test_a_process_dies_at_any_turn_that_fate_names() -> None:
    virtual = loop()
    process = Process("doomed")
    process.doomed_at = 4
    turns: list[int] = []

    async def live() -> None:
        while True:
            turns.append(process.turns)
            await asyncio.sleep(0.0)

    async def main() -> None:
        virtual.spawn(process, live())
        await asyncio.sleep(1.0)

    virtual.run(main())

    assert turns == [1, 2, 3]
    assert not process.alive


def test_waiting_for_what_never_comes_is_noticed() -> None:
    with pytest.raises(StuckError):
        loop().run(asyncio.Event().wait())


def test_spinning_is_noticed() -> None:
    spins: list[int] = []

    async def main() -> None:
        while True:
            spins.append(len(spins))
            await asyncio.sleep(0.0)

    with pytest.raises(OverrunError):
        loop(max_turns=100).run(main())
