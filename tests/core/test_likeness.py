"""What no place can tell apart is one need, and nothing else is."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relaymd.core.ids import WorkerId
from relaymd.core.likeness import Likeness
from relaymd.core.resources import Gpu, Requirements, Seat, misfit, surplus
from relaymd.core.wide import width

A100 = Gpu(model="A100-SXM", vram_gb=40.0)
BIG = Gpu(model="A100-80", vram_gb=80.0)
W = WorkerId("w")
PLACES = [
    Seat(worker=W, cluster="a", gpus=(A100, A100), platforms=("CUDA", "CPU"), image="gmx"),
    Seat(worker=W, cluster="b", gpus=(BIG,), platforms=("CUDA",)),
    Seat(worker=W, cluster="c", platforms=("CPU",)),
]


def of(**said: Any) -> Requirements:
    return Likeness(PLACES).of(Requirements(**said))


def test_memory_counts_by_the_devices_it_rules_out() -> None:
    assert of(gpus=1, vram_gb=3.0) == of(gpus=1, vram_gb=40.0)
    assert of(gpus=1, vram_gb=40.5) != of(gpus=1, vram_gb=40.0)
    assert of(gpus=1, vram_gb=81.0) == of(gpus=1, vram_gb=500.0)


def test_what_is_said_of_devices_means_nothing_where_none_is_needed() -> None:
    assert of(vram_gb=30.0, gpu_models=("h100",)) == of()


def test_names_count_by_what_they_match() -> None:
    assert of(gpus=1, gpu_models=("a100",)) == of(gpus=1, gpu_models=("A100-", "a1"))
    assert of(gpus=1, gpu_models=("a100",)) != of(gpus=1, gpu_models=("sxm",))
    assert of(clusters=("b", "a")) == of(clusters=("a", "b", "elsewhere"))
    assert of(clusters=("a",)) != of()


def test_names_of_nothing_stay_so_that_people_are_told() -> None:
    assert of(clusters=("elsewhere",)).clusters == ("elsewhere",)
    assert of(platforms=("HIP",)).platforms == ("HIP",)
    assert of(gpus=1, gpu_models=("h100",)).gpu_models == ("h100",)


gpus = st.builds(
    Gpu, model=st.sampled_from(["A100", "A100-80", "H100"]), vram_gb=st.sampled_from([0, 40, 80])
)
places = st.lists(
    st.builds(
        Seat,
        worker=st.just(W),
        cluster=st.sampled_from("abc"),
        image=st.sampled_from([None, "gmx"]),
        platforms=st.sets(st.sampled_from(["CUDA", "CPU"])).map(tuple),
        gpus=st.lists(gpus, max_size=3).map(tuple),
    ),
    max_size=4,
)
needs = st.builds(
    Requirements,
    gpus=st.integers(0, 4),
    vram_gb=st.sampled_from([0.0, 10.0, 40.0, 60.0, 90.0]),
    gpu_models=st.lists(st.sampled_from(["a100", "100", "80", "h", "x"]), max_size=2).map(tuple),
    platforms=st.lists(st.sampled_from(["CUDA", "CPU", "HIP"]), max_size=2).map(tuple),
    clusters=st.lists(st.sampled_from("abcd"), max_size=3).map(tuple),
    worker_image=st.sampled_from([None, "gmx", "other"]),
)


def liked(need: Requirements, seats: list[Seat]) -> list[Seat]:
    return sorted(seats, key=lambda seat: surplus(need, seat))


@given(places, needs, st.integers(1, 3))
def test_a_need_fits_where_it_did(there: list[Seat], need: Requirements, slots: int) -> None:
    alike = Likeness(there).of(need)
    for seat in there:
        assert (misfit(alike, seat) is None) == (misfit(need, seat) is None)
        assert width(alike, seat, slots) == width(need, seat, slots)
    fitting = [seat for seat in there if misfit(need, seat) is None]
    assert liked(alike, fitting) == liked(need, fitting)
    assert Likeness(there).of(alike) == alike
