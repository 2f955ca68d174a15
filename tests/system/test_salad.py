"""A whole stack on Salad, simulated over real HTTP, with real workers as containers.

The one thing that is not real is Salad. No worker runs but those that it starts.
"""

import os
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from relaymd import connection
from relaymd.connection import Role
from tests.engines.verify import problems
from tests.salad_server import GROUP, KEY, ORGANIZATION, PROJECT, Container, SaladServer
from tests.system.bundles import LONG, LongRun, fake_bundle
from tests.system.stack import QUICK, RELAYMD, Stack, running

pytestmark = pytest.mark.system

SCRIPT = Path(__file__).parents[2] / "deploy" / "salad" / "worker.sh"
STAYS = "5"
"""Seconds for which a container stays after its worker."""


class Cloud:
    """A stack, and the Salad it uses."""

    def __init__(self, stack: Stack, salad: SaladServer) -> None:
        self.stack = stack
        self.salad = salad

    @property
    def highest(self) -> int:
        """The most replicas that were ever asked for."""
        bodies = [
            body for method, path, body in self.salad.requests if (method, path) == ("PATCH", "")
        ]
        return max((int(body.partition(":")[2].strip("}")) for body in bodies), default=0)

    async def allocations(self) -> list[Any]:
        return list((await self.stack.status()).get("allocations", []))

    async def until_empty(self) -> None:
        """No replica, no instance, no allocation is left."""

        async def look() -> bool:
            left = self.salad.replicas or self.salad.instances or await self.allocations()
            return not left

        await self.stack.until(look, within=90, what="all replicas are gone")

    def instance_of(self, worker: Any) -> Any:
        (found,) = [one for one in self.salad.running if one.machine == worker["external"]]
        return found

    async def submit(self, folder: Path, *, steps: int) -> str:
        return await self.begin(fake_bundle(folder, steps=steps))

    async def begin(self, bundle: Path) -> str:
        return await self.stack.submit(bundle, "--title", bundle.name)

    async def launches(self, job: str) -> int:
        return sum(event["type"] == "launched" for event in await self.stack.events(job))

    async def fetched(self, job: str, folder: Path) -> Path:
        await self.stack.cli("jobs", "fetch", job, "--to", folder)
        return folder / "ledger.txt"


@asynccontextmanager
async def cloud(tmp_path: Path, *, most: int = 2, **settings: str) -> AsyncGenerator[Cloud]:
    async with SaladServer(Container(folder=tmp_path / "machines")).serving() as salad:
        stack_settings = {
            **QUICK,
            "RELAYMD_LOCAL_WORKERS": "0",
            "RELAYMD_OVERFLOW_AFTER_SECONDS": "0.1",
            "RELAYMD_SALAD_ORGANIZATION": ORGANIZATION,
            "RELAYMD_SALAD_PROJECT": PROJECT,
            "RELAYMD_SALAD_CONTAINER_GROUP": GROUP,
            "RELAYMD_SALAD_API_KEY": KEY,
            "RELAYMD_SALAD_API_URL": salad.url,
            "RELAYMD_SALAD_MAX_REPLICAS": str(most),
            "RELAYMD_SALAD_REQUEST_SECONDS": "5",
            **settings,
        }
        async with running(tmp_path / "state", stack_settings) as stack:
            salad.container.command = [str(SCRIPT), STAYS]
            salad.container.environment = inside(stack)
            yield Cloud(stack, salad)
            salad.status = "stopped"


def inside(stack: Stack) -> Mapping[str, str]:
    """What the container group tells each container."""
    state = stack.state
    password = connection.read_credentials(state).passwords[Role.WORKER]
    return {
        "PATH": f"{RELAYMD.parent}:{os.environ['PATH']}",
        **{name: value for name, value in QUICK.items() if name.startswith("RELAYMD_WORKER_")},
        "RELAYMD_WORKER_IDLE_POLL_MAX_SECONDS": "3",
        "RELAYMD_WORKER_PROVIDER": "salad",
        "RELAYMD_WORKER_CLUSTER": "salad",
        "RELAYMD_NATS_URL": connection.read_connection(state).nats_url,
        "RELAYMD_NATS_PASSWORD": password,
        "RELAYMD_STORAGE_PATH": str(state / "storage"),
    }


async def test_replicas_follow_the_jobs_up_and_down_to_none(tmp_path: Path) -> None:
    async with cloud(tmp_path) as one:
        jobs = [await one.submit(tmp_path / f"b{n}", steps=40) for n in range(4)]
        for job in jobs:
            await one.stack.until_state(job, "completed", within=90)
        assert one.highest == 2, "as many as may be, and no more"
        for job in jobs:
            assert problems(await one.fetched(job, tmp_path / job), 40) == []
        await one.until_empty()
        asked = len(one.salad.requests)
        assert asked < 240, f"{asked} requests"


async def test_one_job_takes_one_replica(tmp_path: Path) -> None:
    async with cloud(tmp_path, most=5) as one:
        job = await one.submit(tmp_path / "b", steps=20)
        await one.stack.until_state(job, "completed", within=60)
        await one.until_empty()
        assert one.highest == 1
        assert len(one.salad.started) == 1


async def test_the_job_of_a_lost_machine_goes_on_where_salad_goes_on(tmp_path: Path) -> None:
    async with cloud(tmp_path, most=1) as one:
        run = LongRun(tmp_path / "b")
        job = await one.begin(run.bundle)
        await one.stack.until_event(job, "checkpointed", count=2)
        worker = await one.stack.worker_of(job)
        one.salad.lose(one.instance_of(worker))
        await one.stack.until_event(job, "launched", count=2, within=60)
        after = await one.stack.worker_of(job)
        assert after["external"] not in ("", worker["external"])
        run.let_go()
        await one.stack.until_state(job, "completed", within=90)
        assert problems(await one.fetched(job, tmp_path / "out"), LONG) == []
        await one.until_empty()
        assert one.highest == 1


async def test_an_idle_replica_goes_and_the_one_that_works_is_left_alone(tmp_path: Path) -> None:
    async with cloud(tmp_path) as one:
        run = LongRun(tmp_path / "long")
        long = await one.begin(run.bundle)
        short = await one.submit(tmp_path / "short", steps=20)
        worker = await one.stack.worker_of(long)
        await one.stack.until_state(short, "completed", within=60)

        async def one_left() -> bool:
            return one.salad.replicas == 1 and len(one.salad.instances) == 1

        await one.stack.until(one_left, within=60, what="the idle replica is gone")
        assert one.salad.running[0].machine == worker["external"]
        run.let_go()
        await one.stack.until_state(long, "completed", within=90)
        assert await one.launches(long) == 1
        await one.until_empty()


async def test_a_storm_of_refusals_delays_and_loses_nothing(tmp_path: Path) -> None:
    async with cloud(tmp_path) as one:
        one.salad.storm = 12
        run = LongRun(tmp_path / "b")
        job = await one.begin(run.bundle)
        await one.stack.until_event(job, "checkpointed", within=90)
        one.salad.storm = 12
        run.let_go()
        await one.stack.until_state(job, "completed", within=90)
        assert problems(await one.fetched(job, tmp_path / "out"), LONG) == []
        await one.until_empty()


async def test_while_salad_cannot_be_asked_its_workers_work_on(tmp_path: Path) -> None:
    async with cloud(tmp_path, most=1) as one:
        run = LongRun(tmp_path / "b")
        job = await one.begin(run.bundle)
        await one.stack.until_event(job, "checkpointed", count=2)
        one.salad.down = True
        await one.stack.until_event(job, "checkpointed", count=10)
        run.let_go()
        await one.stack.until_state(job, "completed", within=90)
        assert await one.launches(job) == 1
        one.salad.down = False
        await one.until_empty()


async def test_another_orchestrator_finds_the_replicas_of_the_one_before(tmp_path: Path) -> None:
    async with cloud(tmp_path) as one:
        runs = [LongRun(tmp_path / f"b{n}") for n in range(2)]
        jobs = [await one.begin(run.bundle) for run in runs]
        for job in jobs:
            await one.stack.until_event(job, "checkpointed", count=1)
        (pid,) = one.stack.children("relaymd.actors")
        os.kill(pid, signal.SIGKILL)
        await one.stack.cli("status", "--wait", "30")
        for run in runs:
            run.let_go()
        for job in jobs:
            await one.stack.until_state(job, "completed", within=90)
        await one.until_empty()
        assert len(one.salad.started) == 2
        assert one.highest == 2


async def test_the_key_is_in_no_log_no_event_and_no_answer(tmp_path: Path) -> None:
    async with cloud(tmp_path) as one:
        one.salad.down = True
        job = await one.submit(tmp_path / "b", steps=20)

        async def asked() -> bool:
            return len(one.salad.requests) > 2

        await one.stack.until(asked, what="Salad was asked")
        one.salad.down = False
        await one.stack.until_state(job, "completed", within=90)
        said = [await one.stack.cli("status"), await one.stack.cli("config", "explain")]
        said += [one.stack.log, str(await one.stack.show(job))]
        await one.until_empty()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert not [text for text in said if KEY in text]
