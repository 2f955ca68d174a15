"""Turns silence into requeues: finds workers that are dead and leases that nobody holds."""

import asyncio
from collections.abc import Callable, Iterable
from typing import ClassVar

import msgspec
import structlog

from relaymd.actors import pushes
from relaymd.actors.actor import Actor
from relaymd.actors.endings import interrupt, strike
from relaymd.actors.ledger import Ledger
from relaymd.actors.presence import Presence
from relaymd.actors.sightings import Sightings
from relaymd.bus import contract
from relaymd.bus.bus import Bus, BusError, NoResponderError
from relaymd.bus.messages import Ping, Standing
from relaymd.core.ids import Epoch, JobId, Monotonic, WorkerId
from relaymd.core.job import Job, JobState
from relaymd.core.outcome import Outcome
from relaymd.core.reaping import (
    Evidence,
    Forget,
    LivenessPolicy,
    Probe,
    Revoke,
    Verdict,
    Vital,
    judge,
    reap,
)
from relaymd.core.worker import WorkerLost

log = structlog.get_logger(__name__)


class Reaper(Actor):
    """Each sweep judges the whole state as it is in that very turn, and acts in the same turn.

    A sweep that died half-way is completed by the next: leases are ended before their worker
    is forgotten.
    """

    name: ClassVar[str] = "reaper"
    every: ClassVar[float] = 0.5

    def __init__(
        self,
        bus: Bus,
        ledger: Ledger,
        presence: Presence,
        sightings: Sightings,
        *,
        policy: LivenessPolicy,
        jitter: Callable[[], float],
        reachable: Callable[[], bool] = lambda: True,
    ) -> None:
        """reachable: whether anybody's word could reach us just now."""
        super().__init__(bus)
        self._ledger = ledger
        self._presence = presence
        self._sightings = sightings
        self._policy = policy
        self._jitter = jitter
        self._reachable = reachable
        self._probing: set[WorkerId] = set()
        self._assigned: dict[tuple[JobId, Epoch], Monotonic] = {}
        self._looked = 0.0
        """When the last sweep was, by the loop's time."""

    async def start(self) -> None:
        self._looked = asyncio.get_running_loop().time()

    async def tick(self) -> None:
        was_away = self._was_away()
        if self._ledger.broken:
            return
        if was_away or not self._reachable():
            # The silence is on our side, and proves nothing about anybody.
            self._presence.reset()
            self._assigned.clear()
            return
        leased = [*self._ledger.leased()]
        self._note_assigned(leased)
        commands = reap(
            [self._vital(id) for id in self._ledger.workers],
            leased,
            assigned=self._assigned,
            now=self._presence.clock(),
            policy=self._policy,
        )
        for command in commands:
            match command:
                case Probe(worker=worker):
                    self._begin_probe(worker)
                case Revoke():
                    self._revoke(command)
                case Forget(worker=worker, reason=reason):
                    strike(self._ledger, self._presence, worker, WorkerLost(reason=reason))
                    log.warning("worker.lost", worker=worker, reason=reason)
        self._presence.retain(job.id for job in self._ledger.leased())

    def _vital(self, worker: WorkerId) -> Vital:
        """What was heard of it, and what its provider says of its allocation."""
        home = self._ledger.allocation_of(worker)
        vital = self._presence.vital(worker, self._sightings.of(home))
        sighting = self._sightings.latest(home)
        if sighting is None or vital.evidence is not Evidence.GONE:
            return vital
        ended = f"its allocation ended: {sighting.reason}" if sighting.reason else ""
        outcome = sighting.outcome or Outcome.INTERRUPTED
        return msgspec.structs.replace(vital, ended=ended, outcome=outcome)

    def _was_away(self) -> bool:
        """Whether this process stood still since the last sweep: stopped, or out of memory.

        What was said to us meanwhile lies in a socket, and is heard only after this turn.
        """
        now = asyncio.get_running_loop().time()
        away, self._looked = now - self._looked, now
        return away > self._policy.heartbeat_every + 2 * self.every

    def _note_assigned(self, leased: Iterable[Job]) -> None:
        """Keep since when each lease waits for its `start`, by our own clock and from our start on.

        When it was granted says less: that clock may step, and we may have been away since.
        """
        now = self._presence.clock()
        waiting = [(job.id, job.epoch) for job in leased if job.state is JobState.ASSIGNED]
        self._assigned = {key: self._assigned.get(key, now) for key in waiting}

    def _revoke(self, command: Revoke) -> None:
        job = self._ledger.jobs[command.job]
        assert job.lease is not None
        interrupt(
            self._ledger,
            job,
            command.reason,
            jitter=self._jitter,
            charged=command.charged,
            outcome=command.outcome,
        )
        # Whoever still believes in the lease had better hear of it before it asks.
        self.later(pushes.stop(self.bus, job.id, job.lease, Standing.SUPERSEDED))
        log.warning("lease.revoked", job=job.id, epoch=command.epoch, reason=command.reason)

    def _verdict(self, worker: WorkerId) -> Verdict:
        vital = self._presence.vital(worker)
        return judge(vital, now=self._presence.clock(), policy=self._policy)[0]

    def _begin_probe(self, worker: WorkerId) -> None:
        if worker not in self._probing:
            self._probing.add(worker)
            self.later(self._probe(worker))

    async def _probe(self, worker: WorkerId) -> None:
        """Ask a silent worker. An answer is a word like any other; none is no verdict."""
        asked = self._presence.clock()
        try:
            pong = await self.bus.ask(contract.PING, Ping(worker=worker))
        except NoResponderError:
            # It may have come back, or left, while we asked.
            if worker in self._ledger.workers and self._presence.heard(worker) <= asked:
                self._presence.miss(worker, asked)
                if self._verdict(worker) is Verdict.DEAD:
                    self.soon()
        except BusError:
            log.info("worker.silent", worker=worker)
        else:
            known = self._ledger.workers.get(worker)
            if known is not None and known.instance == pong.instance:
                self._presence.hear(worker)
        finally:
            self._probing.discard(worker)
