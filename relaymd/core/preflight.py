"""Whether a node can run a job at all, judged before the engine starts rather than by its ruins."""

from collections.abc import Collection, Sequence

from relaymd.core.devices import without_devices
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.resources import Gpu
from relaymd.core.specification import Resources


def room(needed: float, free: float | None, what: str) -> AttemptEnd | None:
    """needed, free: bytes; None: nobody can tell, which proves nothing. what: needs it."""
    if free is None or free >= needed:
        return None
    return _unfit(f"{what} needs {_size(needed)} of disk, {_size(free)} are free")


def platform(need: Resources, offered: Collection[str]) -> AttemptEnd | None:
    """offered: as the slot has them."""
    if not need.platforms or {*need.platforms} & {*offered}:
        return None
    wanted, has = ", ".join(need.platforms), ", ".join(offered)
    return _unfit(f"it has none of the platforms {wanted}", f"it offers {has or 'none'}")


def needs_devices(need: Resources) -> bool:
    """Whether the job cannot run without the devices of its slot."""
    return need.gpus > 0 or bool(need.platforms and not without_devices(need.platforms))


def devices(need: Resources, gpus: Sequence[Gpu], answering: Collection[str]) -> AttemptEnd | None:
    """gpus: of the slot. answering: UUIDs of those that the driver knows just now."""
    if len(gpus) < need.gpus:
        return _unfit(f"the slot has {len(gpus)} of {need.gpus} GPUs")
    lost = [gpu for gpu in gpus if gpu.uuid not in answering]
    if not lost:
        return None
    names = "\n".join(f"{gpu.model} {gpu.uuid}" for gpu in lost)
    return _unfit(f"the driver no longer answers for {len(lost)} of {len(gpus)} GPUs", names)


def silent(reason: str) -> AttemptEnd:
    """The driver itself does not answer."""
    return _unfit("its GPUs cannot be looked at", reason)


def refused(code: int | None, output: str, seconds: float) -> AttemptEnd | None:
    """What the bundle's own preflight command means. code: None where it did not end in time."""
    if code == 0:
        return None
    how = f"did not end within {seconds:g} s" if code is None else f"exited with code {code}"
    return _unfit(f"the preflight command {how}", output)


def _unfit(reason: str, evidence: str = "") -> AttemptEnd:
    return AttemptEnd(
        outcome=Outcome.NODE_UNFIT,
        reason=f"this node cannot run the job: {reason}",
        evidence=evidence,
    )


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
