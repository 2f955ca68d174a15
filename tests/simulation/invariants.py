"""What must hold after every step, checked as facts land on the disk and words are spoken.

Every event is applied once more, by the table of the core, to a copy of our own: what the ledger
stores must be what its events tell. Every report that was recorded must have been said by the
holder of its lease.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from relaymd.actors.disk import Batch, EventRow
from relaymd.bus.broker import Kind, Parcel
from relaymd.bus.facts import JobChanged, ProviderChanged
from relaymd.core import events as e
from relaymd.core import job as j
from relaymd.core.allocation import AllocationState
from relaymd.core.ids import AllocationId, Epoch, JobId, UnixTime
from tests.simulation.generations import ViolationError, check_committed, check_restored
from tests.simulation.letters import LAST_WORDS

if TYPE_CHECKING:
    from tests.simulation.disk import ModelDisk
    from tests.simulation.world import World

_read_job = msgspec.json.Decoder(JobChanged).decode
_read_provider = msgspec.json.Decoder(ProviderChanged).decode

SAID: dict[type[Any], str] = {
    e.Checkpointed: "checkpoint",
    e.Completed: "complete",
    e.HandedOff: "handoff",
    e.Cancelled: "cancelled",
    e.Launched: "launched",
    e.Draining: "draining",
    e.CheckpointMissed: "missed",
}
"""What the holder of a lease must have said for the event to be recorded."""

RECENT = 15.0
"""Seconds: an allocation may answer a demand that was there this long ago, as `submit` awaits."""


GONE = ("left", "lost")
"""What is told of a worker that is struck off the register."""

COMING = (AllocationState.REQUESTED, AllocationState.SUBMITTED)


class _Within(msgspec.Struct):
    epoch: Epoch


class _Word(msgspec.Struct):
    """What all reports have; checkpoints have their epoch within."""

    job: JobId
    epoch: Epoch = Epoch(0)
    checkpoint: _Within | None = None


_read_word = msgspec.json.Decoder(_Word).decode


class Invariants:
    """Sees every batch before it lands, and every request that is sent."""

    def __init__(self, world: "World") -> None:
        self.broken = ""
        """The first violation; what finds it may run where errors are swallowed."""

        self._world = world
        self._shadows: dict[JobId, j.Job] = {}
        self._said: set[tuple[str, JobId, Epoch, str]] = set()
        self._heard: dict[str, float] = {}
        """When a worker's heartbeat was last answered as one of a worker that is known."""

        self._cancelled: set[JobId] = set()
        self._requeues: Counter[JobId] = Counter()
        self._allocations: dict[AllocationId, str] = {}
        self._queued: list[tuple[float, int]] = [(0.0, 0)]

    def fail(self, text: str) -> None:
        """Ends the run; what the world did wrong first is what counts."""
        self.broken = self.broken or text
        self._world.loop.halted = True

    # -- words --------------------------------------------------------------------------------

    def hear(self, parcel: Parcel) -> None:
        """Remember who said what under which lease; a liar's words count for nobody."""
        words = parcel.subject.split(".")
        if parcel.kind is Kind.ANSWER:
            if (
                words[-1] == "heartbeat"
                and b'"known":false' not in parcel.body
                and b"error" not in parcel.body
            ):
                self._heard[words[2]] = self._world.loop.time()
            return
        if words[1] != "worker" or words[-1] not in SAID.values() or parcel.sender == "stranger":
            return
        word = _read_word(parcel.body)
        epoch = word.checkpoint.epoch if word.checkpoint else word.epoch
        self._said.add((words[-1], word.job, epoch, words[2]))
        if words[-1] in LAST_WORDS:
            self._world.letters.said(parcel, word.job, epoch)

    def submit_acknowledged(self, job: JobId) -> None:
        if job not in self._world.disk.jobs:
            self.fail(f"the submit of {job} was acknowledged and is not on disk")

    def cancel_acknowledged(self, job: JobId) -> None:
        if job not in self._cancelled:
            self.fail(f"the cancelling of {job} was acknowledged and is not on disk")

    def was_cancelled(self, job: JobId) -> bool:
        return job in self._cancelled

    def drain_acknowledged(self, worker: str) -> None:
        now = self._world.wall()
        for known in self._world.disk.workers.values():
            # A process that registered anew since is another one.
            if known.id == worker and not known.leaving and known.registered_at + 5.0 < now:
                self.fail(f"the draining of {worker} was acknowledged and is not on disk")

    def requeues(self, job: JobId) -> int:
        """How often it was requeued; where it waits or runs, less: it need not be once more."""
        stored = self._world.disk.jobs.get(job)
        return self._requeues[job] - (stored is None or not stored.state.is_final)

    def requeue_acknowledged(self, job: JobId, before: int) -> None:
        """before: what `requeues` said when it was asked for."""
        if self._requeues[job] <= before:
            self.fail(f"the requeue of {job} was acknowledged and is not on disk")

    # -- facts --------------------------------------------------------------------------------

    def watch_stream(self, place: int, body: bytes) -> None:
        """An event is published: the next of those that are on disk, as it stands there."""
        events = self._world.disk.events
        if place >= len(events) or events[place].body != body:
            self.fail(
                f"the stream of events differs from the ledger at event {place + 1}: {body!r}"
            )

    def watch(self, disk: "ModelDisk", batch: Batch) -> None:
        try:
            self._check_order(disk, batch)
            for row in batch.events:
                self._check_row(row, batch)
            for id, job in batch.jobs.items():
                if self._shadows.get(id) != job:
                    raise ViolationError(f"{id} is stored as {job}, but {self._shadows.get(id)}")
            self._check_allocations(disk, batch)
            self._check_workers(batch)
        except ViolationError as exc:
            self.fail(str(exc))
        except (j.StaleLeaseError, j.IllegalTransitionError) as exc:
            self.fail(f"an event was recorded that may not be: {exc}")

    def _check_order(self, disk: "ModelDisk", batch: Batch) -> None:
        due = disk.events[-1].seq + 1 if disk.events else 1
        for number, row in enumerate(batch.events, due):
            if row.seq != number:
                raise ViolationError(f"event {row.seq} is recorded where {number} was due")

    def _check_row(self, row: EventRow, batch: Batch) -> None:
        if row.job is not None:
            self._check_fact(_read_job(row.body), batch)
        elif ".event.provider." in row.subject:
            fact = _read_provider(row.body)
            if fact.kind == AllocationState.REQUESTED:
                self._check_demand(fact)
            if fact.kind == AllocationState.ENDED and self._world.staff.of(fact.allocation):
                raise ViolationError(
                    f"{fact.allocation} is said to have ended, and its worker lives"
                )
            if fact.kind not in ("started", "moved"):
                self._allocations[fact.allocation] = fact.kind

    def _check_fact(self, fact: JobChanged, batch: Batch) -> None:
        before = self._shadows.get(fact.job)
        if before is None or isinstance(fact.event, e.Submitted):
            if before is not None:
                raise ViolationError(f"{fact.job} was submitted twice")
            self._shadows[fact.job] = _as_submitted(batch.jobs[fact.job])
        else:
            self._check_author(before, fact)
            self._check_death(before, fact)
            if isinstance(fact.event, e.Launched):
                if before.lease and before.lease.launched:
                    raise ViolationError(f"{fact.job} was told to be launched twice")
                check_restored(self._world.store, before, fact.event.restored)
            after = j.apply(before, fact.event, at=fact.at)
            self._check_change(before, after)
            self._shadows[fact.job] = after
        if isinstance(fact.event, e.CancelRequested):
            self._cancelled.add(fact.job)
        if isinstance(fact.event, e.Requeued):
            self._requeues[fact.job] += 1
        if isinstance(fact.event, e.Checkpointed):
            check_committed(self._world.store, before, fact.event.checkpoint)
        self._world.letters.landed(fact.job, fact.event)
        waiting = sum(job.state is j.JobState.QUEUED for job in self._shadows.values())
        self._queued.append((self._world.loop.time(), waiting))

    def _check_author(self, job: j.Job, fact: JobChanged) -> None:
        """A report is recorded only if the live lease's holder said it."""
        kind, lease = SAID.get(type(fact.event)), job.lease
        if kind is None or lease is None:
            return
        epoch = getattr(fact.event, "epoch", lease.epoch)
        if (kind, job.id, epoch, lease.worker) not in self._said:
            raise ViolationError(
                f"{job.id}: {fact.kind} under lease {epoch}, but {lease.worker} never said so"
            )

    def _check_death(self, job: j.Job, fact: JobChanged) -> None:
        """Nobody is lost whose heartbeat was just answered, whatever was seen before that."""
        if not isinstance(fact.event, e.Interrupted | e.Failed) or job.lease is None:
            return
        silence = self._world.loop.time() - self._heard.get(job.lease.worker, -1e9)
        reason, policy = fact.event.end.reason, self._world.policy
        least = policy.time_to_live if "lost: silent" in reason else 0.0
        least = policy.disconnect_grace if "lost: its connection" in reason else least
        least = policy.hang_up_grace if "lost: it hung up" in reason else least
        if silence < least:
            raise ViolationError(f"{job.id}: {reason}, but it was heard {silence:.2f} s ago")

    def _check_change(self, before: j.Job, after: j.Job) -> None:
        if after.epoch < before.epoch or after.generation < before.generation:
            raise ViolationError(f"{after.id} went back: {before} became {after}")
        if before.lease and after.lease and before.lease.epoch != after.lease.epoch:
            raise ViolationError(f"{after.id} has a second lease while the first lives")

    def _check_demand(self, fact: ProviderChanged) -> None:
        """Never more allocations on their way than jobs that lately waited."""
        now = self._world.loop.time()
        coming = sum(kind in COMING for kind in self._allocations.values())
        while len(self._queued) > 1 and self._queued[1][0] < now - RECENT:
            self._queued.pop(0)
        most = max(count for _, count in self._queued)
        if coming + 1 > most:
            raise ViolationError(f"{fact.allocation} was asked for; at most {most} jobs waited")

    def _check_workers(self, batch: Batch) -> None:
        """What becomes of a worker is told in the same transaction."""
        if not batch.workers:
            return
        told: dict[str, str] = {}
        for row in batch.events:
            if row.subject.startswith("relaymd.event.worker."):
                told[row.subject.split(".")[3]] = row.kind
        for id, worker in batch.workers.items():
            if (told.get(id, "") in GONE) != (worker is None) or id not in told:
                raise ViolationError(f"{id} is stored as {worker}, but told as {told.get(id)}")

    def _check_allocations(self, disk: "ModelDisk", batch: Batch) -> None:
        if not batch.allocations:
            return
        all_of_them = {**disk.allocations, **batch.allocations}
        live = [one for one in all_of_them.values() if one.state is not AllocationState.ENDED]
        for one in batch.allocations.values():
            if self._allocations.get(one.id) != one.state:
                told = self._allocations.get(one.id)
                raise ViolationError(f"{one.id} is stored as {one.state}, but told as {told}")
        if len(live) > self._world.shape.workers:
            raise ViolationError(f"{len(live)} allocations live, {self._world.shape.workers} may")


def _as_submitted(job: j.Job) -> j.Job:
    return msgspec.structs.replace(
        job,
        queued_at=job.submitted_at,
        not_before=UnixTime(0.0),
        state=j.JobState.QUEUED,
        epoch=Epoch(0),
        lease=None,
        checkpoints=(),
        charges={},
        end=None,
    )
