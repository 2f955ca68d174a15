"""Actors that crash come back; actors that only crash end the process."""

import asyncio
from pathlib import Path

import pytest

from relaymd.actors.actor import Actor
from relaymd.actors.supervisor import CrashLoopError, Supervisor, innermost
from relaymd.bus.memory import MemoryBus
from relaymd.core.restarts import RestartPolicy
from tests.actors.office import Office, Parts, opened, turns, until

QUICK = RestartPolicy(intensity=3, period=60.0, backoff=0.001)


class Mayfly(Actor):
    """Ends in its first tick, so often."""

    def __init__(self, bus: MemoryBus, deaths: list[int]) -> None:
        super().__init__(bus)
        self._deaths = deaths

    async def tick(self) -> None:
        if self._deaths:
            self._deaths.pop()
            raise ValueError("a defect of ours")


class Steady(Actor):
    def __init__(self, bus: MemoryBus, ended: list[str]) -> None:
        super().__init__(bus)
        self._ended = ended

    async def start(self) -> None:
        self.later(self._live())

    async def _live(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self._ended.append("steady")


async def test_an_actor_that_crashes_is_made_anew_and_its_siblings_live_on() -> None:
    bus, ended = MemoryBus(), list[str]()
    deaths = [1, 1]
    supervisor = Supervisor(
        {"mayfly": lambda: Mayfly(bus, deaths), "steady": lambda: Steady(bus, ended)}, QUICK
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(supervisor.run())
        await until(lambda: supervisor.health()[0].restarts == 2)
        assert ended == []
        running.cancel()

    mayfly, steady = supervisor.health()
    assert mayfly.last_error == "ValueError('a defect of ours')"
    assert steady.restarts == 0
    assert ended == ["steady"]


async def test_a_crash_loop_ends_the_supervisor_and_every_sibling() -> None:
    bus, ended = MemoryBus(), list[str]()
    deaths = [1] * 10
    supervisor = Supervisor(
        {"mayfly": lambda: Mayfly(bus, deaths), "steady": lambda: Steady(bus, ended)}, QUICK
    )
    with pytest.raises(ExceptionGroup) as caught:
        await supervisor.run()

    assert isinstance(innermost(caught.value), CrashLoopError)
    assert str(innermost(caught.value)) == "mayfly crashed 4 times"
    assert len(deaths) == 6
    assert ended == ["steady"]


@pytest.mark.parametrize(
    "name", ["registry", "scheduler", "reports", "desk", "reaper", "provisioner", "outbox"]
)
async def test_a_crash_of_any_actor_is_seen_in_the_status_and_costs_no_job(
    office: Office, name: str
) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    it = await worker.begin()
    await office.crash(name)

    await worker.complete(it)
    crashed = [one for one in (await office.operator.status()).actors if one.restarts]
    assert [(one.name, one.restarts) for one in crashed] == [(name, 1)]
    assert "a defect of ours" in crashed[0].last_error


async def test_a_crash_loop_of_an_actor_ends_the_orchestrator(tmp_path: Path) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await crash_for_ever(tmp_path / "db")
    assert isinstance(innermost(caught.value), CrashLoopError)


async def crash_for_ever(path: Path) -> None:
    async with opened(path, Parts(restarts=QUICK)) as office:
        while True:
            await office.crash("reaper")


async def test_an_actor_that_is_told_to_end_ends_without_a_restart() -> None:
    ended = list[str]()
    supervisor = Supervisor({"steady": lambda: Steady(MemoryBus(), ended)}, QUICK)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(supervisor.run())
        await turns()
        running.cancel()

    assert ended == ["steady"]
    assert supervisor.health()[0].restarts == 0
