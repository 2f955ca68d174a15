"""Turns the errors of ledger and core into what a peer is told."""

import asyncio
from collections.abc import Callable
from typing import TypeVar, cast

from relaymd.actors.archive import AmbiguousJobError, UnknownJobError
from relaymd.actors.commits import LedgerUnavailableError
from relaymd.actors.disk import DiskError
from relaymd.actors.ledger import DuplicateJobError
from relaymd.bus.bus import RefusedError
from relaymd.bus.messages import Refusal, RefusalCode
from relaymd.core.job import IllegalTransitionError

T = TypeVar("T")
S = TypeVar("S")
M = TypeVar("M")

TELLABLE = (
    RefusedError,
    LedgerUnavailableError,
    DiskError,
    UnknownJobError,
    AmbiguousJobError,
    DuplicateJobError,
    IllegalTransitionError,
)
"""Errors that are a peer's business. All others are ours, and end the actor."""


def refusal(error: BaseException) -> BaseException:
    """The refusal to send for an error; errors that are ours stay what they are."""
    match error:
        case LedgerUnavailableError() | DiskError():
            return RefusedError.because(RefusalCode.UNAVAILABLE, f"the ledger is away: {error}")
        case UnknownJobError():
            return RefusedError.because(RefusalCode.UNKNOWN_JOB, str(error))
        case AmbiguousJobError():
            return RefusedError.because(RefusalCode.INVALID, str(error))
        case DuplicateJobError():
            return RefusedError.because(RefusalCode.CONFLICT, str(error))
        case IllegalTransitionError(job=job, requested=requested):
            told = Refusal(
                error=RefusalCode.CONFLICT,
                message=str(error),
                job_id=job.id,
                current_status=job.state,
                requested_status=requested,
            )
            return RefusedError(told)
        case _:
            return error


def refusing(
    handler: Callable[[M], T | asyncio.Future[T]],
) -> Callable[[M], T | asyncio.Future[T]]:
    """The handler, with refusals in place of the errors that are a peer's business."""

    def guarded(message: M) -> T | asyncio.Future[T]:
        try:
            answer = handler(message)
        except TELLABLE as exc:
            raise refusal(exc) from exc
        if isinstance(answer, asyncio.Future):
            return then(cast("asyncio.Future[T]", answer), lambda value: value)
        return answer

    return guarded


def then(source: asyncio.Future[S], build: Callable[[S], T]) -> asyncio.Future[T]:
    """What is built of the future's result once it is there, or the refusal of its error."""
    target: asyncio.Future[T] = source.get_loop().create_future()

    def settle(done: asyncio.Future[S]) -> None:
        if target.done():
            return
        if done.cancelled():
            target.cancel()
        elif (error := done.exception()) is not None:
            target.set_exception(refusal(error))
        else:
            target.set_result(build(done.result()))

    source.add_done_callback(settle)
    return target
