import pytest

from relaymd.core import preflight
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.resources import Gpu
from relaymd.core.specification import Resources

A, B = Gpu(model="NVIDIA A100", uuid="GPU-a"), Gpu(model="NVIDIA A100", uuid="GPU-b")
CUDA = Resources(platforms=("CUDA", "HIP"))


def why(end: AttemptEnd | None) -> str | None:
    """Nothing but the node is ever to blame here."""
    if end is None:
        return None
    assert end.outcome is Outcome.NODE_UNFIT
    return end.reason.removeprefix("this node cannot run the job: ")


@pytest.mark.parametrize(
    ("needed", "free", "reason"),
    [
        (1e9, 2e9, None),
        (1e9, None, None),
        (1e9, 1e9, None),
        (0, 0, None),
        (2e9, 1e9, "the input needs 2.0 GB of disk, 1.0 GB are free"),
        (2e6, 1e6, "the input needs 2.0 MB of disk, 1.0 MB are free"),
    ],
)
def test_what_has_to_be_restored_must_find_room(
    needed: float, free: float | None, reason: str | None
) -> None:
    assert why(preflight.room(needed, free, "the input")) == reason


@pytest.mark.parametrize(
    ("need", "offered", "reason"),
    [
        (Resources(), (), None),
        (CUDA, ("CUDA", "CPU"), None),
        (CUDA, ("HIP",), None),
        (CUDA, ("CPU", "Reference"), "it has none of the platforms CUDA, HIP"),
    ],
)
def test_a_declared_platform_must_be_there(
    need: Resources, offered: tuple[str, ...], reason: str | None
) -> None:
    assert why(preflight.platform(need, offered)) == reason


@pytest.mark.parametrize(
    ("need", "looked_at"),
    [
        (Resources(), False),
        (Resources(platforms=("CPU",)), False),
        (Resources(platforms=("CUDA", "CPU")), False),
        (Resources(gpus=1), True),
        (CUDA, True),
    ],
)
def test_devices_matter_to_those_that_cannot_do_without(need: Resources, looked_at: bool) -> None:
    assert preflight.needs_devices(need) is looked_at


def test_every_gpu_of_the_slot_must_answer() -> None:
    one = Resources(gpus=1)
    assert preflight.devices(one, (A, B), {"GPU-a", "GPU-b"}) is None
    lost = preflight.devices(one, (A, B), {"GPU-a"})
    assert why(lost) == "the driver no longer answers for 1 of 2 GPUs"
    assert lost is not None
    assert lost.evidence == "NVIDIA A100 GPU-b"
    assert why(preflight.devices(Resources(gpus=2), (A,), {"GPU-a"})) == "the slot has 1 of 2 GPUs"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (0, None),
        (1, "the preflight command exited with code 1"),
        (-9, "the preflight command exited with code -9"),
        (None, "the preflight command did not end within 5 s"),
    ],
)
def test_a_preflight_command_must_end_well(code: int | None, reason: str | None) -> None:
    end = preflight.refused(code, "no CUDA", 5.0)
    assert why(end) == reason
    assert end is None or end.evidence == "no CUDA"
