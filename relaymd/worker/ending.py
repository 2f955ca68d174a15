"""What is stored when an engine has ended, before the last word is said."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import structlog

from relaymd.bus.messages import Phase
from relaymd.core.ids import Epoch, JobId
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.storage import keys
from relaymd.storage.patterns import UnfitNameError
from relaymd.storage.store import ChangedFileError, StorageError
from relaymd.storage.trees import upload_tree
from relaymd.worker import diagnostics
from relaymd.worker.backoff import Backoff
from relaymd.worker.cycle import CycleError
from relaymd.worker.outbox import Letter
from relaymd.worker.racing import before, within
from relaymd.worker.running import Running

log = structlog.get_logger()


async def complete(running: Running) -> Letter:
    """Store what the engine left, however long that takes: before that it is not complete."""
    running.held.phase = Phase.REPORTING
    backoff = _backoff(running)
    said = ""
    while True:
        try:
            await running.cycle.once(finished=True)
            await _store_tree(running, keys.outputs, running.spec.outputs)
            return running.complete()
        except CycleError as exc:
            if exc.fatal is not None:
                end = AttemptEnd(outcome=exc.fatal, reason=exc.reason, exit_code=0)
                return await fail(running, end)
            if exc.reason != said:
                said = exc.reason
                await running.cycle.missed(f"the engine finished, but {exc.reason}")
        await backoff.pause()


async def complete_in_time(running: Running) -> Letter:
    """As `complete`, in a drain; if time is up, the job is handed on as last committed."""
    held = running.held
    letter = await before(held.past(lambda: held.until), complete(running))
    if letter is not None:
        return letter
    reason = "the engine finished, but its files could not be stored in time"
    return running.handoff(f"{held.reason}; {reason}")


async def fail(running: Running, end: AttemptEnd) -> Letter:
    """Store what may explain it. Nothing of a failed segment becomes a checkpoint."""
    running.held.phase = Phase.REPORTING
    try:
        await within(running.tools.pace.leave_within, _store_failure(running, end))
    except CycleError as exc:
        log.warning("artifacts.not_stored", job=running.held.job, reason=exc.reason)
    return running.failure(end)


async def flush(running: Running) -> None:
    """Bring the rest of the output into the store. Returns when it is there."""
    backoff = _backoff(running)
    await running.output.publish()
    while True:
        try:
            return await running.output.store()
        except StorageError as exc:
            log.warning("output.not_stored", job=running.held.job, reason=str(exc))
        await backoff.pause()


async def _store_failure(running: Running, end: AttemptEnd) -> None:
    """The diagnostics by themselves, where the named files cannot be stored. Raises CycleError."""
    named = running.spec.failure_artifact_paths
    more = await diagnostics.of(running, end)
    try:
        await _store_tree(running, keys.failures, named, more)
    except CycleError:
        await _store_tree(running, keys.failures, (), more)
        raise


async def _store_tree(
    running: Running,
    place: Callable[[JobId, Epoch], str],
    patterns: tuple[str, ...],
    more: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Raises CycleError."""
    if not patterns and not more:
        return
    tools, held = running.tools, running.held
    tree = place(held.job, held.epoch)
    try:
        work, offload = running.place.work, tools.offload
        await upload_tree(tools.store, tree, work, patterns, more=more, offload=offload)
    except (StorageError, ChangedFileError) as exc:
        raise CycleError(f"its files cannot be stored: {exc}") from exc
    except OSError as exc:
        reason = f"its files cannot be read: {exc}"
        raise CycleError(reason, fatal=Outcome.NODE_UNFIT) from exc
    except UnfitNameError as exc:
        raise CycleError(str(exc), fatal=Outcome.ENGINE_FAILED) from exc


def _backoff(running: Running) -> Backoff:
    pace = running.tools.pace
    return Backoff(running.tools.rng, pace.retry_first, pace.retry_longest)
