"""A node is looked at before the engine starts; where it is unfit, nothing was started."""

from collections.abc import Sequence
from typing import Any

import pytest

from relaymd.core.checkpoint import Checkpoint
from relaymd.core.devices import GpuLoad, Load
from relaymd.core.ids import Epoch, Generation, UnixTime
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.resources import Gpu
from relaymd.nvml import DriverError
from tests.worker.shop import Shop

GPU = Gpu(model="NVIDIA A100", vram_gb=40.0, uuid="GPU-1")
SEEN = {"checkpoint_watch_paths": "seen"}


class Card:
    """A machine whose only GPU answers, is lost, or has a driver that hangs."""

    def __init__(self, *answering: str, silent: bool = False) -> None:
        self._answering = answering
        self._silent = silent

    async def load(self, gpus: Sequence[Gpu]) -> Load | None:
        return None

    async def look(self, gpus: Sequence[Gpu]) -> Sequence[GpuLoad]:
        if self._silent:
            raise DriverError("the NVIDIA driver did not answer within 5 s")
        return [GpuLoad(uuid=uuid) for uuid in self._answering]


async def ended(shop: Shop, spec: dict[str, Any], **tools: Any) -> AttemptEnd | None:
    """How the attempt failed; None if the engine ran to its end."""
    await shop.submit_command("touch seen", spec={**SEEN, **spec})
    async with shop.worker(shop.tools(**tools)):
        await shop.desk.until(lambda: shop.desk.said("Fail") or shop.desk.said("Complete"))
    if shop.desk.said("Complete"):
        return None
    assert not shop.desk.said("LaunchReport"), "nothing was started"
    end = shop.desk.said("Fail")[0].end
    assert end.outcome is Outcome.NODE_UNFIT
    assert isinstance(end, AttemptEnd)
    return end


async def test_a_platform_that_the_node_has_not_makes_it_unfit(shop: Shop) -> None:
    end = await ended(shop, {"resources": {"platforms": ["CUDA"]}})
    assert end is not None
    assert "none of the platforms CUDA" in end.reason
    assert "CPU" in end.evidence


async def test_a_gpu_that_fell_off_the_bus_makes_it_unfit(shop: Shop) -> None:
    end = await ended(shop, {"resources": {"gpus": 1}}, gpus=(GPU,), machine=Card())
    assert end is not None
    assert "GPU-1" in end.evidence


async def test_a_driver_that_hangs_makes_it_unfit(shop: Shop) -> None:
    machine = Card(silent=True)
    end = await ended(shop, {"resources": {"gpus": 1}}, gpus=(GPU,), machine=machine)
    assert end is not None
    assert end.evidence == "the NVIDIA driver did not answer within 5 s"


async def test_with_its_gpus_in_order_the_engine_runs(shop: Shop) -> None:
    machine = Card("GPU-1")
    assert await ended(shop, {"resources": {"gpus": 1}}, gpus=(GPU,), machine=machine) is None


async def test_a_job_for_the_processor_runs_on_a_node_whose_gpu_is_lost(shop: Shop) -> None:
    assert await ended(shop, {}, gpus=(GPU,), machine=Card()) is None


async def test_a_disk_that_is_too_small_for_the_job_makes_it_unfit(shop: Shop) -> None:
    end = await ended(shop, {"resources": {"disk_gb": 1e9}})
    assert end is not None
    assert "of disk" in end.reason


async def test_a_checkpoint_that_does_not_fit_on_the_disk_is_not_even_fetched(shop: Shop) -> None:
    size = 10**18
    kept = Checkpoint(
        generation=Generation(1),
        epoch=Epoch(1),
        manifest="nowhere",
        digest="none",
        at=UnixTime(0.0),
        size=size,
    )
    shop.desk.committed[await shop.submit_command("true", spec=SEEN)] = [kept]
    async with shop.worker():
        fail = await shop.desk.until_said("Fail")
    assert fail.end.outcome is Outcome.NODE_UNFIT
    assert "1000000000.0 GB of disk" in fail.end.reason


async def test_the_bundles_own_look_runs_as_the_engine_would(shop: Shop) -> None:
    gpu = {"resources": {"gpus": 1}, "environment": {"OWN": "1"}}
    look = 'test -f relaymd-worker.json && test "$OWN" = 1 && test "$CUDA_VISIBLE_DEVICES" = GPU-1'
    machine = Card("GPU-1")
    spec = {**gpu, "preflight_command": look}
    assert await ended(shop, spec, gpus=(GPU,), machine=machine) is None


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo there is no CUDA; exit 3", "exited with code 3"),
        (["/no/such/program"], "exited with code 127"),
        ("echo there is no CUDA; sleep 60", "did not end within 0.3 s"),
    ],
)
async def test_a_look_that_fails_makes_the_node_unfit_and_its_words_are_the_evidence(
    shop: Shop, command: object, words: str
) -> None:
    spec = {"preflight_command": command, "preflight_timeout_seconds": 0.3}
    end = await ended(shop, spec)
    assert end is not None
    assert words in end.reason
    assert "CUDA" in end.evidence or "/no/such/program" in end.evidence


async def test_a_drain_ends_a_look_that_takes_long(shop: Shop) -> None:
    await shop.submit_command("true", spec={**SEEN, "preflight_command": "sleep 60"})
    async with shop.worker() as running:
        await shop.desk.until_said("Start")
        running.worker.drain("a test")
        assert await running.left()
    assert "before the engine was started" in shop.desk.said("Handoff")[0].reason
