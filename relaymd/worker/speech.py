"""Saying something about a lease until it is answered, and heeding what the answer says."""

from typing import TypeVar

import msgspec
import structlog

from relaymd.bus.bus import BusError, RefusedError
from relaymd.bus.messages import LeaseAnswer, RefusalCode, Standing
from relaymd.bus.subjects import Request
from relaymd.worker.backoff import Backoff
from relaymd.worker.held import Held
from relaymd.worker.tools import Tools

log = structlog.get_logger()

PASSING = frozenset({RefusalCode.UNAVAILABLE, RefusalCode.DENIED})
"""Refusals that say nothing of the lease: a disk is full, credentials were changed."""

Req = TypeVar("Req", bound=msgspec.Struct)


async def say(tools: Tools, request: Request[Req, LeaseAnswer], message: Req) -> Standing:
    """Send until somebody answers; every report is idempotent, so twice is once.

    Raises RefusedError where the answer is a refusal that time does not change.
    """
    backoff = Backoff(tools.rng, tools.pace.retry_first, tools.pace.retry_longest)
    waiting = False
    while True:
        try:
            return (await tools.bus.ask(request, message)).standing
        except RefusedError as exc:
            if exc.refusal.error not in PASSING:
                raise
        except BusError as exc:
            if not waiting:
                log.warning("report.waits", subject=request.template, reason=repr(exc))
        waiting = True
        await backoff.pause()


async def tell(tools: Tools, held: Held, request: Request[Req, LeaseAnswer], message: Req) -> bool:
    """Say it and heed the answer; whether it was accepted. A refusal is the lease's end.

    Who refuses a report knows nothing of the lease, or knows better.
    """
    try:
        return held.heed(await say(tools, request, message))
    except RefusedError as exc:
        log.error("report.refused", subject=request.template, reason=exc.refusal.message)
        held.drop()
        return False
