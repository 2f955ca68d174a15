"""The one shape of everything that goes wrong over HTTP, and the status that goes with it."""

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from relaymd.bus.bus import BusError, NoAnswerError, NoResponderError, RefusedError
from relaymd.bus.messages import Refusal, RefusalCode
from relaymd.core.ids import JobId
from relaymd.core.job import JobState

log = structlog.get_logger()


STATUS = {
    RefusalCode.INVALID: 400,
    RefusalCode.UNKNOWN_JOB: 404,
    RefusalCode.UNKNOWN_WORKER: 404,
    RefusalCode.UNKNOWN_CLUSTER: 404,
    RefusalCode.CONFLICT: 409,
    RefusalCode.INCOMPATIBLE: 409,
    RefusalCode.UNAVAILABLE: 503,
    RefusalCode.DENIED: 403,
}

NAMES = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    415: "unsupported_media_type",
    503: "unavailable",
}


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields of `Refusal`, open for the errors that only HTTP knows."""

    error: str
    message: str
    job_id: JobId | None = None
    current_status: JobState | None = None
    requested_status: JobState | None = None


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(problem.message)
        self.status = status
        self.problem = problem


def invalid(message: str) -> ProblemError:
    """What the client sent cannot be used."""
    return ProblemError(400, Problem(error=NAMES[400], message=message))


def respond(status: int, body: object) -> web.Response:
    return web.Response(
        status=status, body=msgspec.json.encode(body) + b"\n", content_type="application/json"
    )


@web.middleware
async def in_one_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a problem. A mistake of ours is logged, and says nothing more."""
    try:
        return await handler(request)
    except ProblemError as exc:
        return respond(exc.status, exc.problem)
    except RefusedError as exc:
        return respond(STATUS[exc.refusal.error], _of(exc.refusal))
    except BusError as exc:
        return respond(503, Problem(error=NAMES[503], message=_away(exc)))
    except web.HTTPException as exc:
        if exc.status < 400:
            raise
        return _of_http(exc)
    except ConnectionResetError:
        raise  # the client is gone; there is nobody to tell
    except Exception:  # the edge of the process: one request must not take others along
        log.exception("bridge.request_failed", method=request.method, path=request.path)
        return respond(500, Problem(error="internal_error", message="the bridge made a mistake"))


def _of(refusal: Refusal) -> Problem:
    return Problem(
        error=str(refusal.error),
        message=refusal.message,
        job_id=refusal.job_id,
        current_status=refusal.current_status,
        requested_status=refusal.requested_status,
    )


def _of_http(exc: web.HTTPException) -> web.Response:
    name = NAMES.get(exc.status, "http_error")
    response = respond(exc.status, Problem(error=name, message=exc.reason))
    if "Allow" in exc.headers:
        response.headers["Allow"] = exc.headers["Allow"]
    return response


def _away(exc: BusError) -> str:
    match exc:
        case NoResponderError():
            return "the orchestrator is not there"
        case NoAnswerError():
            return "no answer in time; it may have been done"
        case _:
            return "the bus cannot be reached"
