"""What a worker sees of its machine, in processes that load the driver's library as ever."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from relaymd.machine import Aside, HungError, Machine
from tests.nvml.driver import FIRST, INSTANCES, SECOND, Driver

SEES = """
import asyncio, msgspec, sys
from relaymd import logs
from relaymd.machine import Machine

logs.set_up("a test", level="debug", environ={})

async def main():
    machine = Machine()
    cards = await machine.cards()
    load = await machine.load([gpu for card in cards for gpu in card.gpus])
    sys.stdout.buffer.write(msgspec.json.encode([cards, load]))

asyncio.run(main())
"""


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path)


def seen(driver: Driver | None) -> tuple[Any, Any, str]:
    """The cards, how busy they are, and what was logged."""
    environment = {**os.environ, **(driver.environment if driver else {})}
    words = [sys.executable, "-c", SEES]
    done = subprocess.run(words, env=environment, capture_output=True, check=True, timeout=60)
    cards, load = json.loads(done.stdout)
    return cards, load, done.stderr.decode()


def test_each_gpu_is_seen_with_model_memory_and_uuid(driver: Driver) -> None:
    driver.has("gpus=2")
    cards, _, _ = seen(driver)
    assert [gpu["uuid"] for card in cards for gpu in card["gpus"]] == [FIRST, SECOND]
    assert cards[0]["gpus"][0] == {
        "model": "NVIDIA H100 80GB HBM3",
        "vram_gb": 80.0,
        "uuid": FIRST,
    }


def test_a_divided_gpu_is_seen_as_its_instances(driver: Driver) -> None:
    driver.has("gpus=2 mig=1")
    (divided, whole), load, _ = seen(driver)
    assert [gpu["uuid"] for gpu in divided["gpus"]] == [*INSTANCES]
    assert divided["gpus"][0]["vram_gb"] == 10.0
    assert divided["uuid"] == FIRST
    assert [gpu["uuid"] for gpu in whole["gpus"]] == [SECOND]
    assert load["gpus"] == [
        *({"uuid": uuid, "used_gb": 1.0} for uuid in INSTANCES),
        {"uuid": SECOND, "busy": 0.51, "used_gb": 2.0},
    ]


def test_load_is_measured_of_each_gpu_and_of_the_host(driver: Driver) -> None:
    driver.has("gpus=2")
    _, load, _ = seen(driver)
    assert load["gpus"] == [
        {"uuid": FIRST, "busy": 0.5, "used_gb": 1.0},
        {"uuid": SECOND, "busy": 0.51, "used_gb": 2.0},
    ]
    assert 0 <= load["cpu"] <= 1
    assert load["used_gb"] > 0


def test_a_gpu_that_fell_off_the_bus_is_passed_over_and_named(driver: Driver) -> None:
    driver.has("gpus=2 lost=0")
    cards, _, log = seen(driver)
    assert [card["uuid"] for card in cards] == [SECOND]
    assert "GPU is lost" in log


@pytest.mark.parametrize("answer", [9, 18, 999])
def test_a_driver_that_does_not_work_is_no_gpu_and_no_crash(driver: Driver, answer: int) -> None:
    driver.has(f"gpus=2 init={answer}")
    cards, load, _ = seen(driver)
    assert cards == []
    assert "gpus" not in load


def test_without_the_drivers_library_there_is_no_gpu_and_no_crash() -> None:
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has NVIDIA's driver")
    cards, load, _ = seen(None)
    assert cards == []
    assert load["cpu"] is not None


def test_the_host_says_how_many_processors_and_how_much_memory_it_has() -> None:
    host = Machine.host()
    assert 1 <= host.cpus <= (os.cpu_count() or 1)
    assert host.memory_gb > 0.1


# -- a driver that hangs ------------------------------------------------------------------------


async def test_a_call_that_hangs_is_given_up_and_no_second_one_is_begun() -> None:
    aside, let = Aside(), threading.Event()
    with pytest.raises(HungError, match=r"within 0\.05 s"):
        await aside.call(let.wait, 0.05)
    with pytest.raises(HungError, match="earlier"):
        await aside.call(lambda: True, 5.0)
    let.set()
    async with asyncio.timeout(5):
        while True:
            try:
                assert await aside.call(lambda: 7, 5.0) == 7
                return
            except HungError:
                await asyncio.sleep(0.01)


async def test_a_call_may_follow_the_one_before_at_once() -> None:
    aside = Aside()
    assert [await aside.call(lambda: 7, 5.0) for _ in range(300)] == [7] * 300


async def test_what_a_call_raises_is_raised_where_it_was_asked_for() -> None:
    with pytest.raises(ZeroDivisionError):
        await Aside().call(lambda: 1 // 0, 5.0)


def test_a_process_ends_although_a_call_never_returns(tmp_path: Path) -> None:
    script = """
import asyncio, threading
from relaymd.machine import Aside, HungError

async def main():
    try:
        await Aside().call(threading.Event().wait, 0.05)
    except HungError:
        print("given up", flush=True)

asyncio.run(main())
"""
    begun = time.monotonic()
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, check=True, timeout=30)
    assert done.stdout == b"given up\n"
    assert time.monotonic() - begun < 20
