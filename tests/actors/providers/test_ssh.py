"""How a connection is kept, shared and left alone, on a virtual clock.

What a real server does is in tests/system/test_ssh.py.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from relaymd.actors.providers.provider import ProviderError
from relaymd.actors.providers.shell import UnansweredError
from relaymd.actors.providers.ssh import SESSIONS, SILENT, SshShell, quoted
from relaymd.actors.providers.ssh_link import Command, Link
from relaymd.core.clusters import SshConfig
from tests.simulation.loop import VirtualLoop

CAMPUS = SshConfig(host="campus", connect_seconds=20)


class Line:
    """What is used of Link."""

    def __init__(self) -> None:
        self.closed = False
        self.mute = False
        self.commands: list[Command] = []

    def is_closed(self) -> bool:
        return self.closed

    async def begin(self, command: Command, line: str) -> None:
        if self.mute:
            await asyncio.Event().wait()
        self.commands.append(command)

    def abort(self) -> None:
        self.closed = True


class Campus:
    """Opens lines, or does not."""

    def __init__(self) -> None:
        self.opened: list[Line] = []
        self.tried: list[float] = []
        self.refuses = False
        self.hangs = False
        self.shell = SshShell(CAMPUS, open=self.open)

    async def open(self, login: SshConfig) -> Link:
        self.tried.append(now())
        if self.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(0.1)
        if self.refuses:
            raise ProviderError("campus does not let us in")
        self.opened.append(Line())
        return cast(Link, self.opened[-1])

    async def refusal(self, within: float = 60) -> str:
        with pytest.raises(ProviderError) as raised:
            await self.shell.run(["squeue"], within=within)
        return str(raised.value)


def now() -> float:
    return asyncio.get_running_loop().time()


def virtually(main: Coroutine[Any, Any, None]) -> None:
    loop = VirtualLoop()  # type: ignore[abstract] # what nothing here calls is not written
    loop.run(main)
    assert loop.failures == []


def test_a_host_that_refuses_is_asked_after_pauses_that_grow() -> None:
    async def main() -> None:
        campus = Campus()
        campus.refuses = True
        while now() < 120:
            assert "campus does not let us in" in await campus.refusal()
            await asyncio.sleep(0.5)
        pauses = [b - a for a, b in zip(campus.tried, campus.tried[1:], strict=False)]
        assert [round(pause) for pause in pauses[:5]] == [1, 2, 4, 8, 16]
        assert max(pauses) <= 62

    virtually(main())


def test_a_host_that_lets_us_in_again_is_forgiven() -> None:
    async def main() -> None:
        campus = Campus()
        campus.refuses = True
        await campus.refusal()
        assert "the next try is in 1 s" in await campus.refusal()
        campus.refuses = False
        await asyncio.sleep(1)
        with pytest.raises(UnansweredError):
            await campus.shell.run(["squeue"], within=5)
        campus.opened[0].closed = True
        with pytest.raises(UnansweredError):
            await campus.shell.run(["squeue"], within=5)
        assert len(campus.opened) == 2, "a connection that was lost is opened again at once"

    virtually(main())


def test_an_opening_that_hangs_ends_in_time_and_those_who_waited_do_not_start_over() -> None:
    async def main() -> None:
        campus = Campus()
        campus.hangs = True
        async with asyncio.TaskGroup() as group:
            said = [group.create_task(campus.refusal()) for _ in range(5)]
        assert {one.result().partition(";")[0] for one in said} == {
            "campus did not answer within 20 s"
        }
        assert len(campus.tried) == 1
        assert now() == 20

    virtually(main())


def test_who_gives_up_sooner_than_the_opening_says_so_and_counts_as_a_failure() -> None:
    async def main() -> None:
        campus = Campus()
        campus.hangs = True
        assert await campus.refusal(within=3) == "campus was not reached within 3 s"
        assert "the next try is in" in await campus.refusal(within=3)

    virtually(main())


def test_a_connection_that_answers_nothing_is_given_up() -> None:
    async def main() -> None:
        campus = Campus()
        with pytest.raises(UnansweredError, match="did not end"):
            await campus.shell.run(["squeue"], within=5)
        campus.opened[0].mute = True
        with pytest.raises(UnansweredError, match="campus did not answer"):
            await campus.shell.run(["squeue"], within=SILENT + 1)
        assert campus.opened[0].closed
        with pytest.raises(UnansweredError, match="did not end"):
            await campus.shell.run(["squeue"], within=5)
        assert len(campus.opened) == 2

    virtually(main())


def test_no_more_commands_run_at_a_time_than_a_server_takes() -> None:
    async def main() -> None:
        campus = Campus()
        async with asyncio.TaskGroup() as group:
            for _ in range(2 * SESSIONS):
                group.create_task(unanswered(campus))
            await asyncio.sleep(1)
            assert len(campus.opened[0].commands) == SESSIONS
            for command in campus.opened[0].commands:
                command.exit_status_received(0)
                command.connection_lost(None)
            await asyncio.sleep(1)
            assert len(campus.opened[0].commands) == 2 * SESSIONS

    async def unanswered(campus: Campus) -> None:
        with contextlib.suppress(UnansweredError):
            await campus.shell.run(["squeue"], within=10)

    virtually(main())


def test_a_line_is_read_back_as_the_same_words_and_has_an_end_of_its_own() -> None:
    assert quoted(["echo", "a b", "$(id)"], 9.5) == "timeout -k 5 13 echo 'a b' '$(id)'"
    with pytest.raises(ProviderError, match="zero byte"):
        quoted(["echo", "\0"], 1)
