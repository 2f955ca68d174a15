"""Whether a job fits a seat, and why not: the whole truth table."""

from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaymd.core.ids import WorkerId
from relaymd.core.resources import Gpu, ProviderKind, Requirements, Seat, misfit, surplus

A100 = Gpu(model="NVIDIA A100-SXM4-40GB", vram_gb=42.0)
T4 = Gpu(model="Tesla T4", vram_gb=15.8)
SEAT = Seat(
    worker=WorkerId("w"),
    cluster="north",
    image="relaymd:2",
    platforms=("CUDA", "CPU"),
    gpus=(A100, T4),
)

FITTING = {
    "gpus": 1,
    "vram_gb": 16.0,
    "gpu_models": ("a100",),
    "platforms": ("CUDA",),
    "clusters": ("north",),
    "worker_image": "relaymd:2",
}
WRONG = {
    "gpus": (3, "it has 2 of the 3 GPUs asked for"),
    "vram_gb": (80.0, "0 of its GPUs have the model and memory asked for, 1 must"),
    "gpu_models": (("H100",), "0 of its GPUs have the model and memory asked for, 1 must"),
    "platforms": (("HIP",), "it has none of the platforms HIP"),
    "clusters": (("south", "west"), "cluster north is not one of south, west"),
    "worker_image": ("relaymd:3", "it runs the image relaymd:2, not relaymd:3"),
}


def test_no_wishes_fit_everywhere() -> None:
    assert misfit(Requirements(), SEAT) is None
    assert misfit(Requirements(), Seat(worker=WorkerId("bare"))) is None


@pytest.mark.parametrize("wrong", [*product([False, True], repeat=len(FITTING))])
def test_a_job_fits_exactly_where_every_one_of_its_needs_is_met(wrong: tuple[bool, ...]) -> None:
    need = {
        key: WRONG[key][0] if bad else FITTING[key] for key, bad in zip(FITTING, wrong, strict=True)
    }
    said = misfit(msgspec.convert(need, Requirements), SEAT)

    assert (said is None) == (not any(wrong))


@pytest.mark.parametrize("key", WRONG)
def test_the_one_need_that_is_not_met_is_named(key: str) -> None:
    value, sentence = WRONG[key]

    assert misfit(msgspec.convert({**FITTING, key: value}, Requirements), SEAT) == sentence


def test_a_seat_without_an_image_says_so() -> None:
    bare = Seat(worker=WorkerId("w"))

    assert misfit(Requirements(worker_image="i"), bare) == "it runs the image (none), not i"


@pytest.mark.parametrize("model", ["A100", "a100", "nvidia a100-sxm4", "Tesla"])
def test_a_model_matches_as_a_part_of_the_name_whatever_its_case(model: str) -> None:
    assert misfit(Requirements(gpus=1, gpu_models=(model,)), SEAT) is None


def test_model_and_memory_must_be_met_by_the_same_device() -> None:
    need = Requirements(gpus=1, gpu_models=("T4",), vram_gb=40.0)

    assert misfit(need, SEAT) is not None


def test_memory_and_models_do_not_matter_to_a_job_without_gpus() -> None:
    assert misfit(Requirements(vram_gb=80.0, gpu_models=("H100",)), SEAT) is None


def test_any_of_several_platforms_is_enough() -> None:
    assert misfit(Requirements(platforms=("HIP", "CPU")), SEAT) is None


def test_the_tighter_seat_has_the_smaller_surplus() -> None:
    need = Requirements(gpus=1, vram_gb=10.0)
    small = msgspec.structs.replace(SEAT, gpus=(T4,))
    large = msgspec.structs.replace(SEAT, gpus=(A100,))

    assert surplus(need, small) < surplus(need, large) < surplus(need, SEAT)


def test_hpc_comes_before_salad_and_salad_before_this_machine() -> None:
    ranked = sorted(ProviderKind, key=lambda kind: kind.rank)

    assert ranked == [ProviderKind.SLURM, ProviderKind.SALAD, ProviderKind.LOCAL]


@given(
    st.builds(
        Requirements,
        gpus=st.integers(0, 4),
        vram_gb=st.floats(0, 100),
        gpu_models=st.lists(st.sampled_from(["A100", "T4", "H100"]), max_size=2).map(tuple),
    ),
    st.lists(st.sampled_from([A100, T4]), max_size=4),
)
def test_a_job_that_fits_leaves_no_less_than_nothing(need: Requirements, gpus: list[Gpu]) -> None:
    seat = msgspec.structs.replace(SEAT, gpus=tuple(gpus))
    if misfit(need, seat) is None:
        assert all(part >= 0 for part in surplus(need, seat))


@given(st.integers(0, 3), st.lists(st.sampled_from([A100, T4]), max_size=4))
def test_one_more_gpu_never_makes_a_seat_unfit(count: int, gpus: list[Gpu]) -> None:
    need = Requirements(gpus=count, gpu_models=("T4",))
    before = msgspec.structs.replace(SEAT, gpus=tuple(gpus))
    after = msgspec.structs.replace(SEAT, gpus=(*gpus, T4))

    assert misfit(need, before) is not None or misfit(need, after) is None
