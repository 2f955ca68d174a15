"""Times, sizes and facts in the words of a person. Pure."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from relaymd.bus.facts import JobChanged, ProviderChanged, WorkerChanged
from relaymd.bus.operating import ClusterView
from relaymd.core.checkpoint import Progress
from relaymd.core.devices import Load
from relaymd.core.events import (
    Assigned,
    Cancelled,
    CancelRequested,
    Checkpointed,
    CheckpointMissed,
    Completed,
    Draining,
    Failed,
    HandedOff,
    Interrupted,
    JobEvent,
    Launched,
    Requeued,
    Started,
    Submitted,
)
from relaymd.core.ids import UnixTime
from relaymd.core.outcome import Outcome
from relaymd.core.rate import Rate
from relaymd.core.resources import Gpu, ProviderKind
from relaymd.core.worker import (
    WorkerDraining,
    WorkerEvent,
    WorkerLeft,
    WorkerLost,
    WorkerQuarantined,
    WorkerRegistered,
    WorkerReleased,
)

Fact = JobChanged | WorkerChanged | ProviderChanged


def ago(at: UnixTime | None, now: UnixTime) -> str:
    """`3 min ago`, or `-` for what has not happened."""
    if at is None:
        return "-"
    seconds = now - at
    return "just now" if -5 < seconds < 1 else f"{duration(abs(seconds))} {_side(seconds)}"


def _side(seconds: float) -> str:
    return "ago" if seconds >= 0 else "from now"


def duration(seconds: float | None) -> str:
    """The one unit that says most: `4.2 s`, `3 min`, `5 h`, `12 d`."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def size(count: int) -> str:
    """Bytes with a decimal prefix."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return (
                f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
            )
        amount /= 1000
    return f"{amount:.1f} TB"


def number(count: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def clock(at: UnixTime) -> str:
    """The time of day here, for lines of a feed."""
    try:
        return datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M:%S")
    except (ValueError, OverflowError, OSError):  # of no year that there is
        return "--:--:--"


def date(at: UnixTime) -> str:
    """The day and the time of day, in UTC."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "a time that never was"


def progress(progress: Progress | None) -> str:
    """`37 % (3,700 of 10,000 steps)`, as far as it is known."""
    if progress is None:
        return "-"
    parts: list[str] = []
    if progress.fraction is not None:
        parts.append(f"{progress.fraction * 100:.0f} %")
    if progress.step is not None:
        total = f" of {progress.total_steps:,}" if progress.total_steps is not None else ""
        steps = f"{progress.step:,}{total} steps"
        parts.append(f"({steps})" if parts else steps)
    return " ".join(parts) or "-"


def far(progress: Progress | None) -> str:
    """The one figure that says most: `37 %`, or `3,700 steps`."""
    match progress:
        case Progress(fraction=float(fraction)):
            return f"{fraction * 100:.0f} %"
        case Progress(step=int(step)):
            return f"{step:,} steps"
        case _:
            return "-"


def pace(rate: Rate | None) -> str:
    """`120 steps/s`, `2.1 %/h`: in the longest unit that needs no zero before the point."""
    if rate is None:
        return "-"
    value, what = (rate.steps, " steps") if rate.steps is not None else (rate.fraction, " %")
    if value is None:
        return "-"
    value = value if rate.steps is not None else 100 * value
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600), ("d", 86400)):
        if value * seconds >= 1 or unit == "d":
            break
    amount = value * seconds
    return f"{amount:,.0f}{what}/{unit}" if amount >= 10 else f"{amount:.1f}{what}/{unit}"


def age(at: UnixTime, now: UnixTime) -> str:
    """How old something is, where the head of a column says the rest."""
    return duration(max(now - at, 0.0))


def models(gpus: Iterable[Gpu]) -> str:
    """`4 × NVIDIA A100, 1 × NVIDIA T4`; one alone is not counted."""
    counts = Counter(gpu.model for gpu in gpus)
    return ", ".join(f"{n} × {model}" if n > 1 else model for model, n in counts.items()) or "-"


def load(load: Load | None) -> str:
    """`cpu 12 %, gpu 97 %`: the processors, and the GPUs that say it, in the mean."""
    if load is None:
        return "-"
    busy = [gpu.busy for gpu in load.gpus if gpu.busy is not None]
    figures = {"cpu": load.cpu, "gpu": sum(busy) / len(busy) if busy else None}
    told = [f"{name} {share * 100:.0f} %" for name, share in figures.items() if share is not None]
    return ", ".join(told) or "-"


def of_job(event: JobEvent) -> str:
    """What happened to a job, after `<job> `."""
    match event:
        case Submitted(title=title):
            return f"submitted: {title}"
        case Assigned(lease=lease):
            return f"assigned to {lease.worker} on {lease.cluster} (lease {lease.epoch})"
        case Started():
            return "confirmed by its worker"
        case Launched(restored=restored, note=note):
            source = f"from checkpoint {restored}" if restored else "from its input"
            return f"engine started {source}" + (f"; {note}" if note else "")
        case Checkpointed(checkpoint=kept):
            far = f", {progress(kept.progress)}" if kept.progress else ""
            files = number(kept.files, "file")
            return f"checkpoint {kept.generation}: {files}, {size(kept.size)}{far}"
        case CheckpointMissed(reason=reason):
            return f"checkpoint failed: {reason}"
        case Draining(reason=reason):
            return f"is being drained: {reason}"
        case HandedOff(reason=reason):
            return f"handed over: {reason}"
        case Interrupted(end=end):
            return f"interrupted{_whose(end.outcome)}: {end.reason}"
        case Completed():
            return "completed"
        case Failed(end=end):
            return f"failed{_whose(end.outcome)}: {end.reason}"
        case CancelRequested(by=by):
            return "cancel requested" + (f" by {by}" if by else "")
        case Cancelled():
            return "cancelled"
        case Requeued(by=by):
            return "queued again" + (f" by {by}" if by else "")


def _whose(outcome: Outcome) -> str:
    """The class of an end, where it says more than that there was one."""
    plain = outcome.replace("_", " ")
    return "" if outcome is Outcome.INTERRUPTED else f" ({plain})"


def of_worker(event: WorkerEvent) -> str:
    """What happened to a worker, after `<worker> `."""
    match event:
        case WorkerRegistered(host=host, gpus=gpus, slots=slots):
            place = host or "an unnamed host"
            return f"registered from {place}: {number(slots, 'slot')}, {number(gpus, 'GPU')}"
        case WorkerDraining(reason=reason):
            return f"drains: {reason}"
        case WorkerLeft(reason=reason):
            return f"left: {reason}"
        case WorkerLost(reason=reason):
            return f"lost: {reason}"
        case WorkerQuarantined(until=until, reason=reason):
            return f"gets no work until {clock(until)}: {reason}"
        case WorkerReleased(by=by):
            return "gets work again" + (f", says {by}" if by else "")


def of_cluster(fact: ProviderChanged) -> str:
    """What happened to a cluster, or to an allocation of it, after `<cluster> `."""
    reason = f": {fact.reason}" if fact.reason else ""
    if fact.allocation:
        return f"allocation {fact.allocation} {fact.kind}{reason}"
    match fact.kind:
        case "enabled" | "disabled":
            return fact.kind + (f" by {fact.reason}" if fact.reason else "")
        case "unreachable":
            return f"cannot be reached{reason}"
        case "reachable":
            return "can be reached again"
        case unknown:
            return f"{unknown}{reason}"


def left_behind(view: ClusterView) -> str:
    """What costs in a cluster while no stack runs that would take it back; empty: nothing."""
    there = len(view.allocations)
    if not there or not any(offer.outlives_worker for offer in view.offers):
        return ""
    salad = any(offer.provider is ProviderKind.SALAD for offer in view.offers)
    stop = "stop the container group in Salad's portal" if salad else "stop it there"
    return (
        f"{view.cluster} keeps {number(there, 'allocation')}, and what runs there is billed: "
        f"{stop}, or run `relaymd up` until `relaymd clusters show {view.cluster}` lists none"
    )


def of_fact(fact: Fact) -> str:
    """One line for a feed."""
    match fact:
        case JobChanged():
            return f"{clock(fact.at)}  {fact.job}  {of_job(fact.event)}"
        case WorkerChanged():
            return f"{clock(fact.at)}  {fact.worker}  {of_worker(fact.event)}"
        case ProviderChanged():
            return f"{clock(fact.at)}  {fact.cluster}  {of_cluster(fact)}"
