"""This machine as a provider, with real processes."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from relaymd import process
from relaymd.actors.providers import processes
from relaymd.actors.providers.local import LocalProvider
from relaymd.actors.providers.provider import ProviderError
from relaymd.core.allocation import Allocation, Whereabouts
from relaymd.core.ids import AllocationId, UnixTime
from relaymd.core.resources import Gpu
from tests.actors.office import until

SLEEPS = ("/bin/sh", "-c", "echo ready; sleep 60")
A1 = AllocationId("a-1")


def allocation(id: AllocationId = A1) -> Allocation:
    return Allocation(id=id, cluster="local", requested_at=UnixTime(0.0))


def provider(state: Path, *command: str) -> LocalProvider:
    environment = {"PATH": os.environ["PATH"], "MARK": "canary"}
    return LocalProvider(state, environment, limit=2, slots=3, command=command or SLEEPS)


@asynccontextmanager
async def local(state: Path, *command: str) -> AsyncGenerator[LocalProvider]:
    """Whatever was started is ended and collected."""
    made = provider(state, *command)
    try:
        yield made
    finally:
        await end_all(made, state)


async def end_all(made: LocalProvider, state: Path) -> None:
    ours = [allocation(AllocationId(folder.name)) for folder in (state / "allocations").glob("*")]
    deadline = asyncio.get_running_loop().time() + 10
    while any(sight.where is Whereabouts.RUNNING for sight in (await made.observe(ours)).values()):
        assert asyncio.get_running_loop().time() < deadline
        for pid in processes.local_workers(state):
            os.killpg(pid, signal.SIGKILL)


async def where(made: LocalProvider, id: AllocationId = A1) -> Whereabouts:
    return (await made.observe([allocation(id)]))[id].where


async def until_seen(made: LocalProvider, wanted: Whereabouts) -> None:
    deadline = asyncio.get_running_loop().time() + 10
    while await where(made) is not wanted:
        assert asyncio.get_running_loop().time() < deadline, f"it never was {wanted}"


def recorded(state: Path, id: AllocationId = A1) -> Callable[[], bool]:
    return lambda: processes.find(state, id) is not None


async def test_a_worker_runs_in_a_session_of_its_own_and_knows_who_it_is(tmp_path: Path) -> None:
    async with local(tmp_path) as made:
        pid = int(await made.submit(allocation()))
        log = processes.home(tmp_path, A1) / "worker.log"
        await until(lambda: log.read_text() == "ready\n")
        assert processes.find(tmp_path, A1) == pid == os.getsid(pid)
        environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert {
            b"MARK=canary",
            b"RELAYMD_WORKER_ALLOCATION=a-1",
            b"RELAYMD_WORKER_ID=w-1",
            b"RELAYMD_WORKER_PROVIDER=local",
            b"RELAYMD_WORKER_CLUSTER=local",
        } <= {*environ}


async def test_it_is_alive_from_the_submit_until_it_ends(tmp_path: Path) -> None:
    async with local(tmp_path) as made:
        pid = int(await made.submit(allocation()))
        assert await where(made) is Whereabouts.RUNNING
        await until(recorded(tmp_path))
        os.killpg(pid, signal.SIGKILL)
        await until_seen(made, Whereabouts.GONE)


async def test_the_last_line_of_its_log_says_why_it_ended(tmp_path: Path) -> None:
    async with local(tmp_path, "/bin/sh", "-c", "echo starting; echo no GPU here >&2") as made:
        await made.submit(allocation())
        await until_seen(made, Whereabouts.GONE)

        sighting = (await made.observe([allocation()]))[A1]
        assert sighting.reason == "its process ended; its last line: no GPU here"


async def test_a_last_line_of_our_own_log_is_told_by_its_event_and_its_reason(
    tmp_path: Path,
) -> None:
    line = '{"event": "worker.not_adopted", "level": "warning", "reason": "no room"}'
    async with local(tmp_path, "/bin/echo", line) as made:
        await made.submit(allocation())
        await until_seen(made, Whereabouts.GONE)
        assert processes.last_words(tmp_path, A1) == "worker.not_adopted (no room)"


async def test_another_orchestrator_finds_the_workers_of_the_one_before(tmp_path: Path) -> None:
    async with local(tmp_path, "sleep", "60") as made:
        pid = int(await made.submit(allocation()))
        await until(recorded(tmp_path))
        successor = provider(tmp_path)

        assert await where(successor) is Whereabouts.RUNNING
        assert processes.local_workers(tmp_path) == [pid]
        await successor.cancel(allocation())
        await until_seen(made, Whereabouts.GONE)
        assert await where(successor) is Whereabouts.GONE


async def test_a_worker_taken_back_before_it_left_its_record_does_not_start(
    tmp_path: Path,
) -> None:
    async with local(tmp_path) as made:
        await made.submit(allocation())
        await made.cancel(allocation())
        await until_seen(made, Whereabouts.GONE)


async def test_taken_back_twice_is_once(tmp_path: Path) -> None:
    async with local(tmp_path) as made:
        await made.submit(allocation())
        await made.cancel(allocation())
        await until_seen(made, Whereabouts.GONE)
        await made.cancel(allocation())


async def test_what_was_never_started_is_unknown_before_it_is_gone(tmp_path: Path) -> None:
    assert await where(provider(tmp_path)) is Whereabouts.UNKNOWN


async def test_a_record_that_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    home = processes.home(tmp_path, A1)
    home.mkdir(parents=True)
    (home / "pid").write_text("")

    assert await where(provider(tmp_path)) is Whereabouts.UNKNOWN


async def test_a_process_with_the_number_of_another_is_not_ours(tmp_path: Path) -> None:
    home = processes.home(tmp_path, A1)
    home.mkdir(parents=True)
    (home / "pid").write_text(str(os.getpid()))

    assert await where(provider(tmp_path)) is Whereabouts.GONE
    assert process.alive(os.getpid())


async def test_a_machine_that_starts_nothing_is_an_error_of_the_provider(tmp_path: Path) -> None:
    (tmp_path / "allocations").write_text("in the way")

    with pytest.raises(ProviderError, match="a worker cannot be started here"):
        await provider(tmp_path).submit(allocation())


async def test_a_command_that_is_not_there_is_a_worker_that_ended(tmp_path: Path) -> None:
    async with local(tmp_path, "/no/such/program") as made:
        await made.submit(allocation())
        await until_seen(made, Whereabouts.GONE)
        sighting = (await made.observe([allocation()]))[A1]
        assert "not found" in sighting.reason or "No such file" in sighting.reason


def test_the_offer_says_what_one_worker_has(tmp_path: Path) -> None:
    (offer,) = provider(tmp_path).offers()

    assert (offer.cluster, offer.limit, offer.slots) == ("local", 2, 3)
    assert offer.template.platforms == ("CPU", "Reference")


def test_what_is_offered_is_a_slot_as_the_worker_will_register_it(tmp_path: Path) -> None:
    gpus = [Gpu(model="NVIDIA A100", uuid=f"GPU-{n}") for n in range(2)]
    (offer,) = LocalProvider(tmp_path, {}, limit=1, gpus=gpus).offers()
    assert (offer.slots, offer.template.gpus) == (2, (gpus[0],))
    assert offer.template.platforms == ("CUDA", "OpenCL", "CPU", "Reference")
    (plain,) = LocalProvider(tmp_path, {}, limit=1).offers()
    assert (plain.slots, plain.template.platforms) == (1, ("CPU", "Reference"))
