"""`relaymd up`: one a folder, everything kept up, nothing left behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession

from relaymd.bus.operating import AllocationView, ClusterView
from relaymd.connection import (
    Role,
    credentials_file,
    read_connection,
    read_credentials,
    write_private,
)
from relaymd.core.allocation import Allocation
from relaymd.core.ids import AllocationId, UnixTime, WorkerId
from relaymd.core.provisioning import Offer
from relaymd.core.resources import ProviderKind, Seat
from relaymd.process import alive
from tests.cli.conftest import Shell
from tests.servers import NatsServer

ROOT = Path(__file__).parents[2]
WITHIN = 20.0


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN):
        while not true():  # noqa: ASYNC110  processes of others push nothing
            await asyncio.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def child(pid: int, word: str) -> int | None:
    """The child whose command line holds the word."""
    for one in children(pid):
        if word.encode() in Path(f"/proc/{one}/cmdline").read_bytes():
            return one
    return None


class Up:
    def __init__(self, process: asyncio.subprocess.Process, state: Path) -> None:
        self.process = process
        self.state = state

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(WITHIN):
            return (await self.process.stdout.readline()).decode().rstrip()

    async def ready(self) -> None:
        assert (await self.line()).startswith("RelayMD")

    async def end(self, how: signal.Signals = signal.SIGINT) -> int:
        if self.process.returncode is None:
            self.process.send_signal(how)
        async with asyncio.timeout(WITHIN):
            return await self.process.wait()


@asynccontextmanager
async def up(state: Path, **environ: str) -> AsyncGenerator[Up]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.cli.fake_up"),
        cwd=ROOT,
        env={
            **os.environ,
            "RELAYMD_STATE_DIR": str(state),
            "RELAYMD_BRIDGE_PORT": "0",
            "PYTHONPATH": str(ROOT),
            **environ,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Up(process, state)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_all_of_it_and_nothing_stays(
    tmp_path: Path, how: signal.Signals
) -> None:
    state = tmp_path / "state"
    async with up(state) as running:
        await running.ready()
        pids = children(running.process.pid)
        assert len(pids) == 3
        assert (state / "connection.json").stat().st_mode & 0o777 == 0o600
        assert await running.end(how) == 0
    assert not any(map(alive, pids))
    assert not (state / "connection.json").exists()
    assert (state / "order").read_text() == "orchestrator\n"  # it was not killed


async def test_what_stays_and_costs_without_it_is_told_at_the_end(tmp_path: Path) -> None:
    salad = Offer(
        cluster="salad",
        provider=ProviderKind.SALAD,
        template=Seat(worker=WorkerId("w"), cluster="salad", provider=ProviderKind.SALAD),
        limit=2,
        outlives_worker=True,
    )
    one = Allocation(id=AllocationId("a-1"), cluster="salad", requested_at=UnixTime(0.0))
    view = ClusterView(
        cluster="salad", offers=(salad,), allocations=(AllocationView(allocation=one),)
    )
    there = msgspec.json.encode([view]).decode()
    async with up(tmp_path / "state", FAKE_CLUSTERS=there) as running:
        await running.ready()
        assert await running.end() == 0
        assert running.process.stderr is not None
        said = (await running.process.stderr.read()).decode()
        assert "salad keeps 1 allocation, and what runs there is billed" in said


async def test_killed_at_once_it_takes_its_children_along(tmp_path: Path) -> None:
    async with up(tmp_path / "state") as running:
        await running.ready()
        pids = children(running.process.pid)
        await running.end(signal.SIGKILL)
        await until(lambda: not any(map(alive, pids)))


async def test_a_second_stack_on_the_folder_is_told_who_holds_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with up(state) as first:
        await first.ready()
        async with up(state) as second:
            _, err = await second.process.communicate()
            assert second.process.returncode == 4
            assert f"process {first.process.pid} on {os.uname().nodename}, since" in err.decode()
        assert read_connection(state).pid == first.process.pid
        assert await first.end() == 0


async def test_a_bridge_that_dies_comes_back_at_the_same_address(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with up(state) as running:
        await running.ready()
        before = child(running.process.pid, "relaymd.web")
        assert before is not None
        os.kill(before, signal.SIGKILL)
        await until(lambda: child(running.process.pid, "relaymd.web") not in (None, before))
        token = read_credentials(state).bridge_token
        url = f"{read_connection(state).bridge_url}/api/v1/status"
        headers = {"Authorization": f"Bearer {token}"}
        async with ClientSession(headers=headers) as client, client.get(url) as answer:
            assert (answer.status, (await answer.json())["version"]) == (200, "test")
        assert await running.end() == 0


@pytest.mark.system
async def test_a_part_that_never_stays_up_ends_the_stack_with_its_reason(tmp_path: Path) -> None:
    async with up(tmp_path / "state", FAKE_DIES="1") as running:
        async with asyncio.timeout(60):
            _, err = await running.process.communicate()
    last = err.decode().splitlines()[-1]
    assert running.process.returncode == 1
    assert "orchestrator ended with status 7, 6 times within 60 s" in last
    assert "orchestrator.log" in last


async def test_no_secret_is_printed_where_nobody_looks_at_a_terminal(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with up(state) as running:
        await running.ready()
        banner = [await running.line() for _ in range(4)]
        await running.end()
    credentials = read_credentials(state)
    secrets = [*credentials.passwords.values(), credentials.bridge_token]
    logged = "".join(file.read_text() for file in (state / "logs").iterdir())
    for secret in secrets:
        assert secret not in logged + "".join(banner)


async def test_a_site_with_its_own_server_has_no_second_one(
    tmp_path: Path, own_server: NatsServer
) -> None:
    state = tmp_path / "state"
    write_private(credentials_file(state), own_server.credentials)
    async with up(state, RELAYMD_NATS_URL=own_server.url) as running:
        await running.ready()
        assert child(running.process.pid, "nats-server") is None
        assert read_connection(state).nats_url == own_server.url
        assert await running.end() == 0
    async with own_server.connect(Role.OBSERVER, "still-there"):
        pass


async def test_status_waits_until_the_stack_answers(tmp_path: Path, shell: Shell) -> None:
    waiting = await shell.start("status", "--wait", "15", "--json")
    async with up(shell.state) as running:
        out, err = await waiting.communicate()
        assert (waiting.returncode, err) == (0, b"")
        assert b'"version":"test"' in out
        link = await shell("status", "--link")
        assert link.out.startswith("http://127.0.0.1:")
        assert read_credentials(shell.state).bridge_token in link.out
        await running.end()
