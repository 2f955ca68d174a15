"""Committed generations: whole in the store, and the work of an engine of theirs."""

import msgspec

from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import JobId
from relaymd.core.job import Job
from relaymd.storage import keys
from relaymd.storage.manifest import Manifest, digest
from relaymd.storage.packing import grown
from tests.simulation.engine import whole_step
from tests.simulation.store import ModelStore


class ViolationError(Exception):
    """An invariant does not hold. Ends the run at once."""


def check_committed(store: ModelStore, before: Job | None, checkpoint: Checkpoint) -> None:
    """At the moment of its commit: whole, written under its own lease, and ahead of the last."""
    assert before is not None, "a checkpoint belongs to a job"
    try:
        step = restorable_step(store, before.id, checkpoint)
    except ViolationError:
        if _has_rotted(store, before.id, checkpoint):
            return
        raise
    newest = before.checkpoints[-1] if before.checkpoints else None
    if newest is None or store.was_damaged:
        return
    last = restorable_step(store, before.id, newest)
    if step < last:
        raise ViolationError(f"{before.id}: step {last} was committed, and now only {step}")


def check_restored(store: ModelStore, job: Job, restored: int) -> None:
    """An engine starts from the newest generation; where that is damaged, never from nothing."""
    # The report may be late, and then the engine's own generations are there already.
    earlier = [one for one in job.checkpoints if one.epoch < job.epoch]
    newest = earlier[-1].generation if earlier else 0
    if newest and not store.was_damaged and restored != newest:
        raise ViolationError(f"{job.id}: generation {restored} of {newest} was restored")
    if restored == 0 and any(_is_whole(store, job.id, one) for one in earlier):
        raise ViolationError(f"{job.id} began anew although a generation is whole")


def _has_rotted(store: ModelStore, job: JobId, checkpoint: Checkpoint) -> bool:
    """Whether a chunk that was stored well went bad since: nobody reads it again at a commit."""
    body = store.objects.get(checkpoint.manifest)
    if body is None or digest(body) != checkpoint.digest:
        return False
    packs = msgspec.json.decode(body, type=Manifest).packs
    return any(keys.pack(job, pack.epoch, pack.round, pack.name) in store.damaged for pack in packs)


def _is_whole(store: ModelStore, job: JobId, checkpoint: Checkpoint) -> bool:
    try:
        restorable_step(store, job, checkpoint)
    except ViolationError:
        return False
    return True


def restorable_step(store: ModelStore, job: JobId, checkpoint: Checkpoint) -> int:
    """The step that the generation stands for; 0 before the first. Raises ViolationError."""
    name = f"{job}: generation {checkpoint.generation}"
    body = store.objects.get(checkpoint.manifest)
    if body is None or digest(body) != checkpoint.digest:
        raise ViolationError(f"{name} has no manifest")
    manifest = msgspec.json.decode(body, type=Manifest)
    if manifest.epoch != checkpoint.epoch:
        raise ViolationError(f"{name} was written under lease {manifest.epoch}")
    chunks = _chunks(store, job, manifest, name)
    files = {
        entry.path: b"".join(chunks[chunk.digest] for chunk in entry.chunks)
        for entry in manifest.files
    }
    if "state.json" not in files:
        return 0
    step = whole_step(files["state.json"], files.get("ledger.txt", b""))
    if step is None:
        raise ViolationError(f"{name} holds files that do not fit each other")
    return step


def _chunks(store: ModelStore, job: JobId, manifest: Manifest, name: str) -> dict[str, bytes]:
    """All chunks of a generation by their digests."""
    found: dict[str, bytes] = {}
    for pack in manifest.packs:
        stored = store.objects.get(keys.pack(job, pack.epoch, pack.round, pack.name), b"")
        for member in pack.members:
            piece, stored = stored[: member.stored], stored[member.stored :]
            try:
                found[member.digest] = grown(piece, member)
            except ValueError:
                found[member.digest] = b""
            if digest(found[member.digest]) != member.digest:
                raise ViolationError(f"{name} lacks a piece of its files")
    return found
