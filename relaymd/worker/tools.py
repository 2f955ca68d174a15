"""What every part of a worker works with, given once by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import msgspec

from relaymd.bus.bus import Bus
from relaymd.core.ids import AllocationId, InstanceId, UnixTime, WorkerId
from relaymd.core.resources import Gpu, ProviderKind
from relaymd.process import Offload
from relaymd.storage.sending import MEMORY
from relaymd.storage.store import Store
from relaymd.worker.engine import Launch
from relaymd.worker.gauge import UNMEASURED, Machine
from relaymd.worker.notices import Listen, nobody


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who this worker is, as whoever started it said."""

    worker: WorkerId
    instance: InstanceId
    allocation: AllocationId | None = None
    provider: ProviderKind = ProviderKind.LOCAL
    cluster: str = "local"
    image: str | None = None
    deadline: UnixTime | None = None
    notice: float | None = None
    """Seconds between the signal that takes the allocation away and the one that cannot be heard;
    None: not known."""

    host: str = ""
    pid: int = 0
    platforms: tuple[str, ...] = ("CPU", "Reference")
    gpus: tuple[Gpu, ...] = ()
    slots: int = 1
    version: str = ""
    external: str = ""
    cpus: int = 0
    memory_gb: float = 0.0


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Every interval and bound of a worker, in seconds."""

    checkpoint_every: float = 300.0
    """Between two cycles, where the bundle does not say."""

    drain_longest: float = 120.0
    alone_longest: float = 900.0
    """Without any answer of the control plane, until the engines are stopped."""

    idle_longest: float = 300.0
    """Without work in any slot, until the worker leaves."""

    ask_wait: float = 30.0
    """How long one question for work waits on the server's side."""

    retry_first: float = 0.2
    retry_longest: float = 5.0
    storage_longest: float = 120.0
    """How long a store may be unreadable before the lease is given back."""

    settle: float = 1.0
    """How long a checkpoint's files must be unchanged before they count as written."""

    measure_every: float = 5.0
    """Between two looks at how busy the machine is."""

    look: float = 0.2
    """Between two looks at files that are waited for."""

    void_tries: int = 20
    """How often a copy that a checkpoint interrupted is tried again."""

    publish_every: float = 0.2
    piece_every: float = 5.0
    """Between two uploads of the engine's output."""

    term_grace: float = 10.0
    """Between SIGTERM and SIGKILL where nothing needs to be stored."""

    leave_within: float = 10.0
    """For what is left to say when a worker leaves."""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What the transfers of one lease may take, in bytes."""

    memory: int = MEMORY
    staging: int = 8 * 1024**3
    """On the disk of the worker's folder, for what waits to be sent."""


@dataclass(frozen=True)
class Tools:
    me: Identity
    bus: Bus
    store: Store
    folder: Path
    """This worker's own; one folder a lease in it, and the outbox."""

    launch: Launch
    offload: Offload
    wall: Callable[[], UnixTime]
    rng: Random
    pace: Pace
    room: Room = field(default_factory=Room)
    environment: dict[str, str] = field(default_factory=dict[str, str])
    """What an engine inherits, before secrets are taken out."""

    listen: Listen = nobody
    """How an engine can say that a checkpoint lies there."""

    machine: Machine = UNMEASURED
    """What is seen of the devices and the processors."""
