"""When each worker was last heard, and what it said of itself; in memory, for it is soon old."""

from collections.abc import Callable, Iterable

import msgspec

from relaymd.bus.messages import HeldLease
from relaymd.core.checkpoint import Progress
from relaymd.core.devices import Load
from relaymd.core.ids import Epoch, JobId, Monotonic, WorkerId
from relaymd.core.rate import Rate, Track, heard, rate_of, seconds_left
from relaymd.core.reaping import Evidence, Vital

MOST_GPUS = 64
"""Whose load is kept of one worker, whatever it says."""


class Roll(msgspec.Struct, frozen=True):
    """What a worker listed as held in its latest heartbeat."""

    at: Monotonic
    leases: frozenset[tuple[JobId, Epoch]]


class Presence:
    """clock: the running loop's time, so that a simulation can turn it."""

    def __init__(self, clock: Callable[[], Monotonic]) -> None:
        self.clock = clock
        self._since = clock()
        self._heard: dict[WorkerId, Monotonic] = {}
        self._disconnected: dict[WorkerId, Monotonic] = {}
        self._hung_up: set[WorkerId] = set()
        self._missed: dict[WorkerId, Monotonic] = {}
        self._rolls: dict[WorkerId, Roll] = {}
        self._progress: dict[JobId, Track] = {}
        self._loads: dict[WorkerId, Load] = {}

    def reset(self) -> None:
        """Give every worker the benefit of the doubt: the silence was on our side."""
        self._since = self.clock()
        self._heard.clear()
        self._disconnected.clear()
        self._hung_up.clear()
        self._missed.clear()

    def hear(self, worker: WorkerId) -> None:
        """It said something, whatever it was."""
        self._heard[worker] = self.clock()
        self._disconnected.pop(worker, None)
        self._hung_up.discard(worker)
        self._missed.pop(worker, None)

    def disconnect(self, worker: WorkerId, *, hung_up: bool = False) -> None:
        """Its connection closed: a reason to look. hung_up: by its own end."""
        self._disconnected.setdefault(worker, self.clock())
        if hung_up:
            self._hung_up.add(worker)

    def miss(self, worker: WorkerId, asked: Monotonic) -> None:
        """Nobody answers in its name to what was asked then: its connection is closed."""
        self._disconnected.setdefault(worker, self.clock())
        self._missed[worker] = asked

    def is_disconnected(self, worker: WorkerId) -> bool:
        return worker in self._disconnected

    def heard(self, worker: WorkerId) -> Monotonic:
        return self._heard.get(worker, self._since)

    def vital(self, worker: WorkerId, evidence: Evidence = Evidence.UNKNOWN) -> Vital:
        return Vital(
            worker=worker,
            heard=self.heard(worker),
            disconnected=self._disconnected.get(worker),
            hung_up=worker in self._hung_up,
            missed=self._missed.get(worker),
            evidence=evidence,
        )

    def list(self, worker: WorkerId, leases: Iterable[HeldLease]) -> None:
        held = frozenset((lease.job, lease.epoch) for lease in leases)
        self._rolls[worker] = Roll(self.clock(), held)

    def has_lost(self, worker: WorkerId, job: JobId, epoch: Epoch, *, since: Monotonic) -> bool:
        """Whether a heartbeat after that time says that the lease is in nobody's hands."""
        roll = self._rolls.get(worker)
        return roll is not None and roll.at > since and (job, epoch) not in roll.leases

    def measure(self, worker: WorkerId, load: Load | None) -> None:
        """None: it was not measured, which changes nothing."""
        if load is not None:
            self._loads[worker] = msgspec.structs.replace(load, gpus=load.gpus[:MOST_GPUS])

    def load(self, worker: WorkerId) -> Load | None:
        return self._loads.get(worker)

    def note(self, job: JobId, epoch: Epoch, progress: Progress | None) -> None:
        """None: nothing is known, which changes nothing."""
        if progress is not None:
            self._progress[job] = heard(self._progress.get(job), epoch, progress, self.clock())

    def progress(self, job: JobId, epoch: Epoch) -> Progress | None:
        """The latest of this very lease."""
        track = self._progress.get(job)
        return track.points[-1].progress if track and track.epoch == epoch else None

    def rate(self, job: JobId, epoch: Epoch) -> tuple[Rate | None, float | None]:
        """How fast this very lease's engine goes, and the seconds it still needs at that."""
        track = self._progress.get(job)
        if track is None or track.epoch != epoch:
            return None, None
        latest, rate = track.points[-1], rate_of(track)
        left = seconds_left(latest.progress, rate)
        return rate, None if left is None else max(left - (self.clock() - latest.at), 0.0)

    def forget(self, worker: WorkerId) -> None:
        for kept in (self._heard, self._disconnected, self._missed, self._rolls, self._loads):
            kept.pop(worker, None)
        self._hung_up.discard(worker)

    def retain(self, jobs: Iterable[JobId]) -> None:
        """Drop the progress of all other jobs: their leases are over."""
        self._progress = {id: self._progress[id] for id in jobs if id in self._progress}
