"""`/api/v1`: each route asks the orchestrator one question and hands its answer on as JSON."""

from typing import Any

import msgspec
from aiohttp import web

from relaymd.bus import contract
from relaymd.bus import messages as m
from relaymd.bus.bus import Bus
from relaymd.bus.operating import (
    AskStatus,
    CancelJob,
    ListJobs,
    ListWorkers,
    RequeueJob,
    ShowJob,
    Submit,
)
from relaymd.core.ids import TOKEN, JobId
from relaymd.core.job import JobState
from relaymd.core.strict import InvalidDocumentError, read
from relaymd.web.problems import Problem, ProblemError, invalid, respond

BY = "bridge"
"""Who asked, as the job's events say it."""


class Api:
    """The handlers, around the bus they speak through."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v1/jobs", self.jobs),
            web.post("/api/v1/jobs", self.submit),
            web.get("/api/v1/jobs/{id}", self.show),
            web.post("/api/v1/jobs/{id}/cancel", self.cancel),
            web.post("/api/v1/jobs/{id}/requeue", self.requeue),
            web.get("/api/v1/workers", self.workers),
            web.get("/api/v1/status", self.status),
        ]

    async def jobs(self, request: web.Request) -> web.Response:
        question = ListJobs(
            states=_states(request),
            limit=whole_number(request, "limit", default=100, least=1, most=1000),
            after=request.query.get("after"),
        )
        return respond(200, await self._bus.ask(contract.JOBS, question))

    async def submit(self, request: web.Request) -> web.Response:
        """Register a job whose bundle is uploaded already; sent again, it changes nothing."""
        wanted = _decode(await request.read())
        if not TOKEN.fullmatch(wanted.job):
            raise invalid(f"job: {wanted.job!r} cannot be an identifier")
        return respond(201, await self._bus.ask(contract.SUBMIT, wanted))

    async def show(self, request: web.Request) -> web.Response:
        return respond(200, await self._bus.ask(contract.SHOW, ShowJob(job=_job(request))))

    async def cancel(self, request: web.Request) -> web.Response:
        wanted = CancelJob(job=_job(request), by=BY)
        return respond(200, await self._bus.ask(contract.CANCEL, wanted))

    async def requeue(self, request: web.Request) -> web.Response:
        wanted = RequeueJob(job=_job(request), by=BY)
        return respond(200, await self._bus.ask(contract.REQUEUE, wanted))

    async def workers(self, _: web.Request) -> web.Response:
        return respond(200, await self._bus.ask(contract.WORKERS, ListWorkers()))

    async def status(self, _: web.Request) -> web.Response:
        return respond(200, await self._bus.ask(contract.STATUS, AskStatus()))


def whole_number(
    request: web.Request, name: str, *, default: int, least: int, most: int = 2**53
) -> int:
    """A number of the query. Raises a problem that names it."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20) or not (
        least <= int(text) <= most
    ):
        raise invalid(f"{name}: it must be a whole number from {least} to {most}")
    return int(text)


def _decode(body: bytes) -> Submit:
    try:
        raw: Any = msgspec.json.decode(body)
        return read(raw, Submit)
    except InvalidDocumentError as exc:
        raise invalid(str(exc)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise invalid(f"the body is not JSON that can be read: {exc}") from None


def _job(request: web.Request) -> JobId:
    id = request.match_info["id"]
    if not TOKEN.fullmatch(id):
        raise ProblemError(
            404, Problem(error=str(m.RefusalCode.UNKNOWN_JOB), message="there is no such job")
        )
    return JobId(id)


def _states(request: web.Request) -> tuple[JobState, ...]:
    names = [name for text in request.query.getall("state", []) for name in text.split(",") if name]
    try:
        return tuple(JobState(name) for name in names)
    except ValueError:
        known = ", ".join(JobState)
        raise invalid(f"state: each must be one of {known}") from None
