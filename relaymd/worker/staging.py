"""Before the engine: fetch the bundle, unpack it, restore the newest checkpoint that is whole."""

from dataclasses import dataclass

import structlog

from relaymd.bus.messages import Assignment
from relaymd.core.ids import Generation
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.specification import Specification
from relaymd.storage.bundles import InvalidBundleError, fetch, read_specification
from relaymd.storage.manifest import Manifest
from relaymd.storage.patience import Patience, retrying
from relaymd.storage.restore import Restored, restore_newest
from relaymd.storage.store import StorageError, StorageUnreachableError
from relaymd.storage.unpacking import unpack
from relaymd.worker import files
from relaymd.worker.place import Place
from relaymd.worker.tools import Tools

log = structlog.get_logger()


class StagingError(Exception):
    """The engine cannot be started here and now; nothing in the store was touched."""

    def __init__(self, outcome: Outcome, reason: str, evidence: str = "") -> None:
        super().__init__(reason)
        self.end = AttemptEnd(outcome=outcome, reason=reason, evidence=evidence)


@dataclass(frozen=True)
class Staged:
    spec: Specification
    restored: Manifest | None
    generation: Generation
    """The newest committed; restored may be an elder one."""

    note: str = ""


async def stage(tools: Tools, assignment: Assignment, place: Place) -> Staged:
    """Make the folder ready for the engine. Raises StagingError.

    What cannot be read is never taken for absent: a job with a committed checkpoint does not
    start from its bundle alone.
    """
    try:
        await tools.offload(files.make_folders, place.folder)
        await _fetch(tools, assignment, place)
        await tools.offload(unpack, place.bundle, place.work)
        spec = await tools.offload(read_specification, place.work)
        restored = await _restore(tools, assignment, place)
    except InvalidBundleError as exc:
        raise StagingError(Outcome.BUNDLE_INVALID, str(exc)) from exc
    except StorageError as exc:
        reason = f"input or checkpoint cannot be read: {exc}"
        raise StagingError(Outcome.STORAGE_UNAVAILABLE, reason) from exc
    except OSError as exc:
        reason = f"this node cannot hold the job's files: {exc.strerror or exc}"
        raise StagingError(Outcome.NODE_UNFIT, reason) from exc
    newest = assignment.checkpoints[-1].generation if assignment.checkpoints else Generation(0)
    if restored is None:
        return Staged(spec, None, newest)
    return Staged(spec, restored.manifest, newest, note="; ".join(restored.notes))


async def _fetch(tools: Tools, assignment: Assignment, place: Place) -> None:
    async def attempt() -> None:
        await fetch(tools.store, assignment.bundle, place.bundle, tools.offload)

    await retrying(attempt, _patience(tools), heard=_warn)


async def _restore(tools: Tools, assignment: Assignment, place: Place) -> Restored | None:
    if not assignment.checkpoints:
        return None
    return await restore_newest(
        tools.store,
        assignment.job,
        assignment.checkpoints,
        place.work,
        patience=_patience(tools),
        memory=tools.room.memory,
        offload=tools.offload,
        heard=_warn,
    )


def _patience(tools: Tools) -> Patience:
    pace = tools.pace
    return Patience(
        within=pace.storage_longest,
        jitter=tools.rng.random,
        first=pace.retry_first,
        longest=max(pace.retry_longest, pace.retry_first),
    )


def _warn(error: StorageUnreachableError) -> None:
    log.warning("storage.unreachable", key=error.key, reason=error.reason)
