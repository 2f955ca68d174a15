"""What must hold after every step, checked as the facts land on the disk."""

import msgspec

from relaymd.actors.disk import Batch, EventRow
from relaymd.bus.messages import JobChanged
from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import JobId
from relaymd.core.job import Checkpointed, Job
from relaymd.storage import keys
from relaymd.storage.manifest import Manifest, digest
from tests.simulation.disk import ModelDisk
from tests.simulation.store import ModelStore

_decode = msgspec.json.Decoder(JobChanged).decode


class ViolationError(Exception):
    """An invariant does not hold. Ends the run at once."""


class Invariants:
    """Sees every batch before it lands."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self.broken: str = ""
        """The first violation; the loop may be running in a context that swallows errors."""

    def watch(self, disk: ModelDisk, batch: Batch) -> None:
        try:
            self._check_events(disk, batch)
            for job in batch.jobs.values():
                self._check_job(disk.jobs.get(job.id), job)
        except ViolationError as exc:
            self.broken = self.broken or str(exc)

    def _check_events(self, disk: ModelDisk, batch: Batch) -> None:
        expected = disk.events[-1].seq + 1 if disk.events else 1
        states: dict[JobId, str] = {}
        for row in batch.events:
            if row.seq != expected:
                raise ViolationError(f"event {row.seq} is recorded where {expected} was due")
            expected += 1
            if row.job is not None:
                states[row.job] = self._check_fact(row)
        for id, job in batch.jobs.items():
            if states.get(id) != job.state:
                raise ViolationError(f"{id} is {job.state}, its last event says {states.get(id)}")

    def _check_fact(self, row: EventRow) -> str:
        fact = _decode(row.body)
        if isinstance(fact.event, Checkpointed):
            self._check_restorable(fact.job, fact.event.checkpoint)
        return fact.state

    def _check_job(self, before: Job | None, after: Job) -> None:
        if before is None:
            return
        if after.epoch < before.epoch:
            raise ViolationError(f"{after.id}: epoch {before.epoch} became {after.epoch}")
        if after.generation < before.generation:
            raise ViolationError(
                f"{after.id}: generation {before.generation} became {after.generation}"
            )
        if before.lease and after.lease and before.lease != after.lease:
            if after.lease.epoch <= before.lease.epoch:
                raise ViolationError(f"{after.id}: two leases with epoch {after.lease.epoch}")

    def _check_restorable(self, job: JobId, checkpoint: Checkpoint) -> None:
        """A committed generation is whole in the store at the moment it is committed."""
        objects = self._store.objects
        body = objects.get(checkpoint.manifest)
        if body is None or digest(body) != checkpoint.digest:
            raise ViolationError(f"{job}: generation {checkpoint.generation} has no manifest")
        for entry in msgspec.json.decode(body, type=Manifest).files:
            for chunk in entry.chunks:
                stored = objects.get(keys.chunk(job, chunk.digest))
                if stored is None or digest(stored) != chunk.digest:
                    raise ViolationError(
                        f"{job}: generation {checkpoint.generation} lacks a piece of {entry.path}"
                    )
