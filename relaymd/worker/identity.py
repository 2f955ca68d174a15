"""Who this worker is: what its starter said in the environment, and what it made up itself."""

import os
import re
import socket
from collections.abc import Mapping, Sequence

from relaymd.core.devices import Card, platforms, slots_of, visible
from relaymd.core.ids import TOKEN, AllocationId, InstanceId, UnixTime, WorkerId, token
from relaymd.core.resources import ProviderKind
from relaymd.machine import Host
from relaymd.version import version
from relaymd.worker.tools import Identity

NOWHERE = Host(cpus=0, memory_gb=0.0)

NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?")


class InvalidIdentityError(Exception):
    """A variable of the environment does not say what it must. One sentence."""


def identify(
    environ: Mapping[str, str],
    *,
    cards: Sequence[Card] = (),
    host: Host = NOWHERE,
    slots: int | None = None,
    declared: Sequence[str] = (),
) -> Identity:
    """Read the RELAYMD_WORKER_ variables. Raises InvalidIdentityError.

    cards: what the driver shows; of these the worker has what `CUDA_VISIBLE_DEVICES` leaves.
    slots, declared (platforms): as configured.
    """
    gpus = visible(cards, environ.get("CUDA_VISIBLE_DEVICES"))
    allocation = environ.get("RELAYMD_WORKER_ALLOCATION")
    return Identity(
        worker=WorkerId(_token(environ, "RELAYMD_WORKER_ID") or token("w", os.urandom(8))),
        instance=InstanceId(token("i", os.urandom(8))),
        allocation=AllocationId(allocation) if allocation else None,
        provider=_provider(environ.get("RELAYMD_WORKER_PROVIDER", "")),
        cluster=_token(environ, "RELAYMD_WORKER_CLUSTER") or "local",
        image=environ.get("RELAYMD_WORKER_IMAGE") or None,
        deadline=_deadline(environ.get("RELAYMD_WORKER_DEADLINE", "")),
        notice=_seconds(environ, "RELAYMD_WORKER_NOTICE"),
        host=socket.gethostname(),
        pid=os.getpid(),
        platforms=platforms(gpus, declared),
        gpus=gpus,
        slots=slots_of(gpus, slots),
        cpus=host.cpus,
        memory_gb=host.memory_gb,
        version=version(),
        external=_external(environ),
    )


def _external(environ: Mapping[str, str]) -> str:
    """What the provider calls the place where this runs; Salad tells it under a name of its own."""
    return environ.get("RELAYMD_WORKER_EXTERNAL") or environ.get("SALAD_MACHINE_ID", "")


def _token(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if value and not TOKEN.fullmatch(value):
        raise InvalidIdentityError(
            f"{name} is {value!r}; it may hold 1 to 64 letters, digits, - and _"
        )
    return value


def _provider(value: str) -> ProviderKind:
    try:
        return ProviderKind(value) if value else ProviderKind.LOCAL
    except ValueError:
        known = ", ".join(ProviderKind)
        raise InvalidIdentityError(
            f"RELAYMD_WORKER_PROVIDER is {value!r}; known are {known}"
        ) from None


def _seconds(environ: Mapping[str, str], name: str) -> float | None:
    value = environ.get(name, "")
    if value and not NUMBER.fullmatch(value):
        raise InvalidIdentityError(f"{name} is {value!r}; it must be a number of seconds")
    return float(value) if value else None


def _deadline(value: str) -> UnixTime | None:
    if not value:
        return None
    if not NUMBER.fullmatch(value):
        raise InvalidIdentityError(
            f"RELAYMD_WORKER_DEADLINE is {value!r}; it must be seconds since 1970"
        )
    return UnixTime(float(value))
