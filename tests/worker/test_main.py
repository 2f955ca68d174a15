"""Worker processes as they are started in earnest, against a real server."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from relaymd.config import Config
from relaymd.connection import Role
from relaymd.core.clusters import IdleStrategy
from relaymd.core.ids import InstanceId, JobId, WorkerId
from relaymd.core.resources import ProviderKind
from relaymd.worker.main import Stop, pace
from relaymd.worker.tools import Identity
from relaymd.worker.worker import Worker
from tests.engines.verify import problems
from tests.nvml.driver import FIRST, SECOND, Driver
from tests.servers import NatsServer
from tests.worker.processes import engine_in, is_alive, until
from tests.worker.shop import Shop, opened

CANARY = "canary-5ee1b0"

NOT_FOR_WORKERS = ("aiosqlite", "aiohttp", "asyncclick", "sortedcontainers", "rich", "openmm")


@pytest.fixture
async def shop(tmp_path: Path, own_server: NatsServer) -> AsyncGenerator[Shop]:
    async with (
        own_server.connect(Role.ORCHESTRATOR, "desk") as bus,
        opened(tmp_path / "shop", bus) as shop,
    ):
        yield shop


def environment(shop: Shop, server: NatsServer, name: str, **more: str) -> Mapping[str, str]:
    inherited = {key: value for key, value in os.environ.items() if "RELAYMD" not in key}
    return {
        **inherited,
        "RELAYMD_STATE_DIR": str(shop.root / "state"),
        "RELAYMD_WORKER_DIR": str(shop.root / "workers"),
        "RELAYMD_NATS_URL": server.url,
        "RELAYMD_NATS_USER": "worker",
        "RELAYMD_NATS_PASSWORD": server.password(Role.WORKER),
        "RELAYMD_STORAGE_PATH": str(shop.root / "store"),
        "RELAYMD_STORAGE_SECRET_ACCESS_KEY": CANARY,
        "AWS_SECRET_ACCESS_KEY": CANARY,
        "MY_API_TOKEN": CANARY,
        "RELAYMD_WORKER_CHECKPOINT_POLL_INTERVAL_SECONDS": "0.3",
        "RELAYMD_WORKER_ID": name,
        **more,
    }


@asynccontextmanager
async def process(
    environment: Mapping[str, str], log: Path
) -> AsyncGenerator[asyncio.subprocess.Process]:
    with log.open("ab") as stderr:
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "relaymd.worker"),
            cwd=log.parent,
            env=environment,
            stderr=stderr,
        )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def test_a_job_is_relayed_from_a_killed_worker_over_a_drained_one_to_the_end(
    shop: Shop, own_server: NatsServer, tmp_path: Path
) -> None:
    job = await shop.submit("--steps", "150", "--pace", "0.03")
    log = tmp_path / "log"
    async with process(environment(shop, own_server, "w-1"), log) as first:
        await shop.desk.until(lambda: shop.desk.committed.get(job))
        engine = engine_in(shop.root / "workers/w-1/j-1-1/work")
        first.kill()
        await first.wait()
        await until(lambda: not is_alive(engine), within=2)
    shop.desk.revoke(job)
    shop.resubmit(job)
    async with process(environment(shop, own_server, "w-2"), log) as second:
        known = len(shop.desk.committed[job])
        await shop.desk.until(lambda: len(shop.desk.committed[job]) > known)
        second.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(second.wait(), 20) == 0
    assert shop.desk.said("Handoff")[0].reason == "the worker got SIGTERM"
    shop.resubmit(job)
    async with process(environment(shop, own_server, "w-3"), log):
        await shop.desk.until_said("Complete")
    assert problems(await shop.restored(job) / "ledger.txt", 150) == []
    assert CANARY not in log.read_text()


async def test_the_worker_dies_while_the_orchestrator_is_away_and_the_next_one_says_its_last_word(
    shop: Shop, own_server: NatsServer, tmp_path: Path
) -> None:
    await shop.submit("--steps", "20", "--pace", "0.03")
    async with process(environment(shop, own_server, "w-1"), tmp_path / "log") as first:
        await shop.desk.until_said("LaunchReport")
        shop.desk.away = True
        outbox = shop.root / "workers/w-1/outbox"
        await until(lambda: list(outbox.glob("*.json")))
        first.kill()
        await first.wait()
    shop.desk.away = False
    async with process(environment(shop, own_server, "w-2"), tmp_path / "log"):
        complete = await shop.desk.until_said("Complete")
    assert complete.worker == "w-1"
    assert not list(outbox.glob("*.json"))


async def test_no_secret_of_ours_reaches_the_engine(
    shop: Shop, own_server: NatsServer, tmp_path: Path
) -> None:
    spec = {"checkpoint_watch_paths": "seen", "environment": {"OWN": "1"}}
    job = await shop.submit_command(
        "env > seen; tr '\\0' '\\n' < /proc/$PPID/environ >> seen", spec=spec
    )
    async with process(environment(shop, own_server, "w-1"), tmp_path / "log"):
        await shop.desk.until_said("Complete")
    seen = (await shop.restored(job) / "seen").read_text()
    assert "OWN=1" in seen
    assert f"RELAYMD_JOB_ID={job}" in seen
    assert "RELAYMD_EPOCH=1" in seen
    assert CANARY not in seen
    assert own_server.password(Role.WORKER) not in seen


async def test_each_engine_sees_a_gpu_of_its_own_of_those_that_its_worker_may_use(
    shop: Shop, own_server: NatsServer, tmp_path: Path
) -> None:
    driver = Driver(tmp_path)
    driver.has("gpus=3")
    spec = {"checkpoint_watch_paths": "seen"}
    for job in ("j-1", "j-2"):
        await shop.submit_command("echo $CUDA_VISIBLE_DEVICES > seen; sleep 1", job=job, spec=spec)
    given = {**driver.environment, "CUDA_VISIBLE_DEVICES": f"1,{FIRST[:12]}"}
    async with process(environment(shop, own_server, "w-1", **given), tmp_path / "log"):
        await shop.desk.until_said("Complete", 2)
        registered = shop.desk.said("Register")[0]
        beat = await shop.desk.until(
            lambda: next((one for one in shop.desk.said("Heartbeat") if one.load), None)
        )
    assert [gpu.uuid for gpu in registered.gpus] == [SECOND, FIRST]
    assert registered.slots == 2
    assert registered.platforms == ("CUDA", "OpenCL", "CPU", "Reference")
    assert registered.cpus >= 1
    seen = [(await shop.restored(job) / "seen").read_text() for job in shop.desk.committed]
    assert sorted(seen) == [f"{FIRST}\n", f"{SECOND}\n"]
    assert [gpu.uuid for gpu in beat.load.gpus] == [SECOND, FIRST]


async def test_a_driver_that_begins_to_hang_starves_no_heartbeat_and_holds_up_no_end(
    shop: Shop, own_server: NatsServer, tmp_path: Path
) -> None:
    driver = Driver(tmp_path)
    driver.has("gpus=1")
    await shop.submit("--steps", "400", "--pace", "0.03")
    given = {**driver.environment, "RELAYMD_WORKER_HEARTBEAT_INTERVAL_SECONDS": "0.1"}
    log = tmp_path / "log"
    async with process(environment(shop, own_server, "w-1", **given), log) as worker:
        await shop.desk.until_said("LaunchReport")
        driver.has("gpus=1 hang=1")
        await shop.desk.until(lambda: "gpu.silent" in log.read_text())
        await shop.desk.until_said("Heartbeat", len(shop.desk.said("Heartbeat")) + 5)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 20) == 0
    assert shop.desk.said("Handoff")


async def test_a_second_signal_hurries(shop: Shop, own_server: NatsServer, tmp_path: Path) -> None:
    await shop.submit("--steps", "1000", "--pace", "0.03", "--term-seconds", "60")
    given = environment(shop, own_server, "w-1", RELAYMD_WORKER_DRAIN_SECONDS="100")
    async with process(given, tmp_path / "log") as worker:
        await shop.desk.until(lambda: shop.desk.committed.get(JobId("j-1")))
        worker.send_signal(signal.SIGTERM)
        await shop.desk.until_said("DrainReport")
        worker.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(worker.wait(), 15) == 0
    assert shop.desk.said("Handoff")[0].reason.startswith("the worker got SIGTERM")


async def test_a_worker_without_work_leaves_when_it_is_told_to_leave_at_once(
    shop: Shop, own_server: NatsServer, tmp_path: Path
) -> None:
    given = environment(shop, own_server, "w-1", RELAYMD_WORKER_PROVIDER="slurm")
    async with process(given, tmp_path / "log") as worker:
        assert await asyncio.wait_for(worker.wait(), 20) == 0
    assert shop.desk.said("Leave")[0].reason == "there is no work for it"


async def test_a_second_process_on_the_same_folder_is_refused_in_one_sentence(
    shop: Shop, own_server: NatsServer, tmp_path: Path
) -> None:
    given = environment(shop, own_server, "w-1")
    async with process(given, tmp_path / "log"):
        await shop.desk.until_said("Register")
        async with process(given, tmp_path / "other") as second:
            assert await asyncio.wait_for(second.wait(), 20) == 73
    assert "another worker process holds" in (tmp_path / "other").read_text()


async def test_without_a_server_it_says_so_within_seconds(tmp_path: Path) -> None:
    given = {
        **os.environ,
        "RELAYMD_STATE_DIR": str(tmp_path / "state"),
        "RELAYMD_NATS_URL": "nats://127.0.0.1:9",
        "RELAYMD_NATS_PASSWORD": "x",
    }
    async with process(given, tmp_path / "log") as worker:
        assert await asyncio.wait_for(worker.wait(), 8) == 69
    assert "cannot reach NATS at" in (tmp_path / "log").read_text()


async def test_without_a_stack_it_says_so(tmp_path: Path) -> None:
    given = {**os.environ, "RELAYMD_STATE_DIR": str(tmp_path / "state")}
    async with process(given, tmp_path / "log") as worker:
        assert await asyncio.wait_for(worker.wait(), 8) == 69
    assert "there is no connection.json" in (tmp_path / "log").read_text()


async def test_sigterm_while_it_looks_for_the_server_ends_it_cleanly(
    tmp_path: Path, own_server: NatsServer
) -> None:
    own_server.freeze()
    given = {
        **os.environ,
        "RELAYMD_STATE_DIR": str(tmp_path / "state"),
        "RELAYMD_NATS_URL": own_server.url,
        "RELAYMD_NATS_PASSWORD": "x",
        "RELAYMD_WORKER_ID": "w-1",
        "RELAYMD_WORKER_ALLOCATION": "a-1",
    }
    async with process(given, tmp_path / "log") as worker:
        await until((tmp_path / "state/workers/w-1/lock").exists)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 8) == 0
    own_server.thaw()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RELAYMD_WORKER_DEADLINE", "tomorrow"),
        ("RELAYMD_WORKER_PROVIDER", "abacus"),
        ("RELAYMD_WORKER_ID", "a b"),
    ],
)
async def test_an_environment_that_makes_no_sense_is_named(
    tmp_path: Path, name: str, value: str
) -> None:
    given = {**os.environ, "RELAYMD_STATE_DIR": str(tmp_path / "state"), name: value}
    async with process(given, tmp_path / "log") as worker:
        assert await asyncio.wait_for(worker.wait(), 8) == 78
    assert f"{name} is {value!r}" in (tmp_path / "log").read_text()


def test_a_worker_imports_without_what_only_others_need() -> None:
    """As on a node where only the extra `worker` is installed."""
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({NOT_FOR_WORKERS}))\n"
        "import relaymd.worker.main, relaymd.worker.__main__"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("provider", "strategy", "seconds"),
    [
        (ProviderKind.SLURM, None, 2.0),
        (ProviderKind.LOCAL, None, 300.0),
        (ProviderKind.LOCAL, IdleStrategy.IMMEDIATE_EXIT, 2.0),
        (ProviderKind.SLURM, IdleStrategy.POLL_THEN_EXIT, 300.0),
    ],
)
def test_the_idle_strategy_follows_the_provider_unless_it_is_configured(
    provider: ProviderKind, strategy: IdleStrategy | None, seconds: float
) -> None:
    me = Identity(worker=WorkerId("w"), instance=InstanceId("i"), provider=provider)
    assert pace(Config(worker_idle_strategy=strategy), me).idle_longest == seconds


async def test_a_signal_that_slurm_and_a_container_both_send_is_heard_once() -> None:
    class Hearer:
        def __init__(self) -> None:
            self.heard = 0

            self.drains = 0

        def hurry(self, reason: str) -> None:
            self.heard += 1

        def drain(self, reason: str) -> None:
            self.drains += 1

    now = 100.0
    stop, worker = Stop(lambda: now), Hearer()
    stop.worker = cast(Worker, worker)
    for moment in (100.0, 100.01, 100.9):
        now = moment
        stop.hear(signal.SIGTERM)
    assert worker.heard == 1
    now = 101.5
    stop.hear(signal.SIGTERM)
    assert worker.heard == 2, "a second one, later, is meant"
    stop.hear(signal.SIGINT)
    stop.hear(signal.SIGINT)
    assert worker.heard == 4, "a person is heard each time"
    now = 110.0
    stop.hear(signal.SIGUSR1)
    assert (worker.heard, worker.drains) == (4, 1), "an end that is near is no reason to hurry"


def test_who_asks_for_help_gets_help_and_no_worker(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "relaymd.worker", "--help"],
        env={**os.environ, "RELAYMD_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Be a worker on this machine" in done.stdout
    assert [*tmp_path.iterdir()] == []
