"""Sentences about facts: singular and plural, and whose fault an end was."""

from relaymd.bus.facts import ProviderChanged
from relaymd.bus.operating import AllocationView, ClusterView
from relaymd.cli.words import (
    age,
    far,
    left_behind,
    load,
    models,
    number,
    of_fact,
    of_job,
    of_worker,
    pace,
    progress,
    size,
)
from relaymd.core.allocation import Allocation
from relaymd.core.checkpoint import Progress
from relaymd.core.devices import GpuLoad, Load
from relaymd.core.events import Interrupted
from relaymd.core.ids import AllocationId, Epoch, UnixTime, WorkerId
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.provisioning import Offer
from relaymd.core.rate import Rate
from relaymd.core.resources import Gpu, ProviderKind, Seat
from relaymd.core.worker import WorkerRegistered


def test_one_is_not_spoken_of_as_many() -> None:
    assert number(1, "file") == "1 file"
    assert number(0, "file") == "0 files"
    assert number(12_000, "file") == "12,000 files"
    said = of_worker(WorkerRegistered(host="vm", cluster="local", slots=1, gpus=2))
    assert said == "registered from vm: 1 slot, 2 GPUs"


def test_the_end_of_an_attempt_says_its_class_in_plain_words() -> None:
    end = AttemptEnd(outcome=Outcome.ENGINE_FAILED, reason="the engine exited with code 3")
    said = of_job(Interrupted(epoch=Epoch(1), end=end))
    assert said == "interrupted (engine failed): the engine exited with code 3"
    lost = AttemptEnd(outcome=Outcome.INTERRUPTED, reason="its process is gone")
    assert of_job(Interrupted(epoch=Epoch(1), end=lost)) == "interrupted: its process is gone"


def provider(kind: str, reason: str = "", allocation: str = "") -> str:
    fact = ProviderChanged(
        seq=1,
        at=UnixTime(0.0),
        cluster="north",
        kind=kind,
        allocation=AllocationId(allocation),
        reason=reason,
    )
    return of_fact(fact).partition("  ")[2]


def test_what_is_said_of_a_cluster_speaks_of_no_allocation() -> None:
    assert provider("ended", "TIMEOUT", "a1") == "north  allocation a1 ended: TIMEOUT"
    assert provider("started", "", "a1") == "north  allocation a1 started"
    assert provider("unreachable", "no route") == "north  cannot be reached: no route"
    assert provider("reachable") == "north  can be reached again"
    assert provider("disabled", "ada") == "north  disabled by ada"
    assert provider("enabled") == "north  enabled"
    assert provider("of-a-newer-release", "x") == "north  of-a-newer-release: x"


def cluster_view(kind: ProviderKind, *, outlives: bool, allocations: int) -> ClusterView:
    template = Seat(worker=WorkerId("w"), cluster="far", provider=kind)
    offer = Offer(
        cluster="far", provider=kind, template=template, limit=9, outlives_worker=outlives
    )
    one = Allocation(id=AllocationId("a"), cluster="far", requested_at=UnixTime(0.0))
    held = (AllocationView(allocation=one),) * allocations
    return ClusterView(cluster="far", offers=(offer,), allocations=held)


def test_what_is_billed_while_no_stack_runs_is_told_with_what_to_do() -> None:
    salad, slurm = ProviderKind.SALAD, ProviderKind.SLURM
    assert left_behind(cluster_view(salad, outlives=True, allocations=2)) == (
        "far keeps 2 allocations, and what runs there is billed: stop the container group in "
        "Salad's portal, or run `relaymd up` until `relaymd clusters show far` lists none"
    )
    assert left_behind(cluster_view(salad, outlives=True, allocations=0)) == ""
    assert left_behind(cluster_view(slurm, outlives=False, allocations=2)) == ""


def test_progress_is_told_as_far_as_it_is_known() -> None:
    assert progress(None) == "-"
    assert progress(Progress(fraction=0.371)) == "37 %"
    assert progress(Progress(step=5)) == "5 steps"
    known = Progress(fraction=0.5, step=5_000, total_steps=10_000)
    assert progress(known) == "50 % (5,000 of 10,000 steps)"


def test_a_table_has_room_for_the_figure_that_says_most() -> None:
    assert far(None) == far(Progress()) == "-"
    assert far(Progress(fraction=0.5, step=5_000, total_steps=10_000)) == "50 %"
    assert far(Progress(step=5_000)) == "5,000 steps"
    assert age(UnixTime(10.0), UnixTime(70.0)) == "60 s"
    assert age(UnixTime(10.0), UnixTime(9.0)) == "0.0 s"  # a clock elsewhere is ahead


def test_sizes_have_the_unit_that_says_most() -> None:
    assert [size(count) for count in (3, 1_500, 250_000, 4_000_000_000_000)] == [
        "3 B",
        "1.5 kB",
        "250 kB",
        "4.0 TB",
    ]


def test_what_a_machine_has_and_is_busy_with_fits_into_a_column() -> None:
    a100, t4 = Gpu(model="A100"), Gpu(model="T4")
    assert [models(gpus) for gpus in ((), (t4,), (a100, t4, a100))] == ["-", "T4", "2 × A100, T4"]
    assert load(None) == load(Load()) == "-"
    half, whole, silent = (GpuLoad(uuid="u", busy=busy) for busy in (0.5, 1.0, None))
    assert load(Load(cpu=0.123, gpus=(half, whole, silent))) == "cpu 12 %, gpu 75 %"


def test_a_rate_is_told_in_a_unit_that_needs_no_zero_before_the_point() -> None:
    assert pace(None) == pace(Rate()) == "-"
    assert pace(Rate(steps=1234.5)) == "1,234 steps/s"
    assert pace(Rate(steps=3.25, fraction=0.5)) == "3.2 steps/s"
    assert pace(Rate(steps=0.5)) == "30 steps/min"
    assert pace(Rate(fraction=0.01 / 3600 * 2)) == "2.0 %/h"
    assert pace(Rate(steps=1e-9)) == "0.0 steps/d"
