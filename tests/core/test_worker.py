"""A worker's slots, and what each of them has."""

import msgspec
import pytest

from relaymd.core.ids import InstanceId, UnixTime, WorkerId
from relaymd.core.resources import Gpu, ProviderKind, Seat
from relaymd.core.worker import (
    Worker,
    WorkerDraining,
    WorkerEvent,
    WorkerLeft,
    WorkerLost,
    WorkerRegistered,
    seats,
)


def worker(*, gpus: int, slots: int) -> Worker:
    return Worker(
        id=WorkerId("w-1"),
        instance=InstanceId("i-1"),
        provider=ProviderKind.SLURM,
        cluster="north",
        image="img",
        platforms=("CUDA",),
        gpus=tuple(Gpu(model=f"gpu{n}") for n in range(gpus)),
        slots=slots,
        registered_at=UnixTime(0.0),
        deadline=UnixTime(99.0),
    )


@pytest.mark.parametrize(
    ("gpus", "slots", "dealt"),
    [
        (0, 1, [0]),
        (4, 1, [4]),
        (4, 2, [2, 2]),
        (4, 4, [1, 1, 1, 1]),
        (1, 2, [1, 0]),
        (5, 2, [3, 2]),
    ],
)
def test_gpus_are_dealt_evenly_among_the_slots(gpus: int, slots: int, dealt: list[int]) -> None:
    assert [len(seat.gpus) for seat in seats(worker(gpus=gpus, slots=slots))] == dealt


@pytest.mark.parametrize(("gpus", "slots"), [(4, 2), (8, 3), (3, 8)])
def test_no_device_belongs_to_two_slots(gpus: int, slots: int) -> None:
    found = [gpu.model for seat in seats(worker(gpus=gpus, slots=slots)) for gpu in seat.gpus]

    assert len({*found}) == len(found)


def test_a_seat_says_of_its_worker_all_that_a_job_may_ask_for() -> None:
    first, second = seats(worker(gpus=2, slots=2))

    assert second == Seat(
        worker=WorkerId("w-1"),
        slot=1,
        provider=ProviderKind.SLURM,
        cluster="north",
        node="north/w-1",
        image="img",
        platforms=("CUDA",),
        gpus=(Gpu(model="gpu1"),),
        deadline=UnixTime(99.0),
    )
    assert first.slot == 0


def test_a_slot_without_a_device_has_no_platform_that_needs_one() -> None:
    mixed = msgspec.structs.replace(worker(gpus=1, slots=2), platforms=("CUDA", "CPU"))
    assert [seat.platforms for seat in seats(mixed)] == [("CUDA", "CPU"), ("CPU",)]


def test_a_worker_whose_devices_nobody_counts_has_what_its_owner_declares() -> None:
    declared = msgspec.structs.replace(worker(gpus=0, slots=2), platforms=("HIP", "CPU"))
    assert [seat.platforms for seat in seats(declared)] == [("HIP", "CPU"), ("HIP", "CPU")]


@pytest.mark.parametrize(
    "event",
    [
        WorkerRegistered(host="h", cluster="c", gpus=1, slots=1),
        WorkerDraining(reason="r"),
        WorkerLeft(reason="r"),
        WorkerLost(reason="r"),
    ],
)
def test_an_event_says_what_it_is_and_survives_the_wire(event: WorkerEvent) -> None:
    assert msgspec.json.decode(msgspec.json.encode(event), type=WorkerEvent) == event
