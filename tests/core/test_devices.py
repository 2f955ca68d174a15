import pytest

from relaymd.core.devices import Card, deal, platforms, slots_of, visible
from relaymd.core.resources import Gpu


def gpu(uuid: str) -> Gpu:
    return Gpu(model="NVIDIA H100", vram_gb=80.0, uuid=uuid)


A, B, C = gpu("GPU-aaaa"), gpu("GPU-abbb"), gpu("GPU-cccc")
M0, M1 = gpu("MIG-0000"), gpu("MIG-0111")
CARDS = (
    Card(uuid="GPU-aaaa", gpus=(A,)),
    Card(uuid="GPU-abbb", gpus=(B,)),
    Card(uuid="GPU-dddd", gpus=(M0, M1)),
)


@pytest.mark.parametrize(
    ("inherited", "left"),
    [
        (None, (A, B, M0, M1)),
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("0", (A,)),
        ("1,0", (B, A)),
        (" 0 , 1 ", (A, B)),
        ("0,0", (A,)),
        ("0,-1,1", (A,)),
        ("0,9,1", (A,)),
        ("2", (M0, M1)),
        ("GPU-abbb", (B,)),
        ("GPU-ab", (B,)),
        ("GPU-a", ()),
        ("GPU-dddd", (M0, M1)),
        ("MIG-0111", (M1,)),
        ("MIG-0111,GPU-aaaa", (M1, A)),
        ("MIG-0", ()),
        ("²", ()),
    ],
)
def test_of_the_devices_those_are_ours_that_the_allocation_leaves(
    inherited: str | None, left: tuple[Gpu, ...]
) -> None:
    assert visible(CARDS, inherited) == left


@pytest.mark.parametrize(
    ("gpus", "configured", "slots"),
    [((), None, 1), ((A,), None, 1), ((A, B, C), None, 3), ((A, B), 1, 1), ((), 4, 4)],
)
def test_a_worker_runs_one_job_a_gpu_unless_it_is_configured(
    gpus: tuple[Gpu, ...], configured: int | None, slots: int
) -> None:
    assert slots_of(gpus, configured) == slots


@pytest.mark.parametrize(
    ("slots", "hands"),
    [
        (1, [(A, B, C)]),
        (2, [(A, B), (C,)]),
        (3, [(A,), (B,), (C,)]),
        (5, [(A,), (B,), (C,), (), ()]),
    ],
)
def test_every_device_is_dealt_to_exactly_one_slot(
    slots: int, hands: list[tuple[Gpu, ...]]
) -> None:
    assert deal((A, B, C), slots) == hands


def test_platforms_are_what_the_owner_declares_or_else_what_the_devices_promise() -> None:
    assert platforms((), ()) == ("CPU", "Reference")
    assert platforms((A,), ()) == ("CUDA", "OpenCL", "CPU", "Reference")
    assert platforms((A,), ["CPU"]) == ("CPU",)
