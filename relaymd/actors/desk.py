"""Serves people, and the bridge for them: submit, look, cancel, requeue."""

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import ClassVar

import msgspec

from relaymd.actors.actor import Actor
from relaymd.actors.disk import Place
from relaymd.actors.ledger import Ledger
from relaymd.actors.pushes import stop
from relaymd.actors.texts import short
from relaymd.actors.views import Views
from relaymd.bus import contract, operating
from relaymd.bus import messages as m
from relaymd.bus.bus import Bus, RefusedError
from relaymd.bus.subjects import Binding
from relaymd.core.events import CancelRequested, Requeued
from relaymd.core.ids import TOKEN, JobId, UnixTime
from relaymd.core.job import Job, JobState
from relaymd.version import version

HISTORY = 200
"""Events of a job that are shown."""

LONGEST_PAGE = 1000
LONGEST_TITLE = 200
HIGHEST_PRIORITY = 1_000_000


class Desk(Actor):
    name: ClassVar[str] = "desk"

    def __init__(
        self,
        bus: Bus,
        ledger: Ledger,
        views: Views,
        *,
        started_at: UnixTime,
        health: Callable[[], tuple[operating.ActorStatus, ...]],
    ) -> None:
        super().__init__(bus)
        self._ledger = ledger
        self._views = views
        self._started_at = started_at
        self._health = health

    def bindings(self) -> Iterable[Binding]:
        yield contract.SUBMIT.answered_by(self.submit)
        yield contract.SHOW.answered_by(lambda message: self.answer(self._show(message)))
        yield contract.JOBS.answered_by(lambda message: self.answer(self._list(message)))
        yield contract.CANCEL.answered_by(lambda message: self.answer(self._cancel(message)))
        yield contract.REQUEUE.answered_by(lambda message: self.answer(self._requeue(message)))
        yield contract.STATUS.answered_by(self.status)

    def submit(self, message: operating.Submit) -> asyncio.Future[operating.JobView]:
        if (problem := _problem(message)) is not None:
            raise RefusedError.because(m.RefusalCode.INVALID, problem)
        return self.answer(self._add(message))

    async def _add(self, message: operating.Submit) -> operating.JobView:
        now = self._ledger.wall()
        job = Job(
            id=message.job,
            title=message.title,
            command=message.command,
            bundle=message.bundle,
            requirements=message.requirements,
            priority=message.priority,
            submitted_at=now,
            queued_at=now,
        )
        return self._views.taken(await self._ledger.add(job, by=message.by))

    async def _show(self, message: operating.ShowJob) -> operating.JobDetails:
        job = await self._ledger.archive.fetch(message.job)
        latest = await self._ledger.archive.latest_of(job.id, limit=HISTORY)
        milestones = await self._ledger.archive.milestones_of(job.id)
        return self._views.details(job, latest, milestones)

    async def _list(self, message: operating.ListJobs) -> operating.JobPage:
        limit = min(max(message.limit, 1), LONGEST_PAGE)
        after = _place(message.after) if message.after is not None else None
        states = tuple(dict.fromkeys(message.states))
        found = await self._ledger.archive.page(states, limit=limit + 1, after=after)
        shown = found[:limit]
        more = f"{shown[-1].submitted_at!r}~{shown[-1].id}" if len(found) > limit else None
        return operating.JobPage(jobs=self._views.of_many(shown), next=more)

    async def _cancel(self, message: operating.CancelJob) -> operating.JobView:
        job = await self._ledger.archive.fetch(message.job)
        if job.state in (JobState.CANCELLED, JobState.CANCELLING):
            return self._views.of(await self._ledger.settled(job))
        event = CancelRequested(by=short(message.by))
        job = await self._ledger.record(job.id, event, base=job)
        if job.lease is not None:
            self.later(stop(self.bus, job.id, job.lease, m.Standing.CANCELLED))
        return self._views.of(job)

    async def _requeue(self, message: operating.RequeueJob) -> operating.JobView:
        job = await self._ledger.archive.fetch(message.job)
        if job.state is JobState.QUEUED:
            return self._views.of(await self._ledger.settled(job))
        event = Requeued(by=short(message.by))
        return self._views.of(await self._ledger.record(job.id, event, base=job))

    def status(self, message: operating.AskStatus) -> operating.Status:
        counts = self._ledger.counts
        return operating.Status(
            version=version(),
            started_at=self._started_at,
            jobs={state: counts[state] for state in JobState if counts.get(state)},
            workers=len(self._ledger.workers),
            allocations=tuple(self._ledger.allocations.values()),
            actors=self._health(),
            unpublished_events=self._ledger.unpublished,
            last_event=self._ledger.last_event,
        )


def _problem(message: operating.Submit) -> str | None:
    """Why a submit cannot be taken in, in one sentence."""
    need = message.requirements
    if not TOKEN.fullmatch(message.job):
        return f"{message.job[:80]!r} cannot be the id of a job"
    if not message.title.strip() or len(message.title) > LONGEST_TITLE:
        return f"a title has 1 to {LONGEST_TITLE} characters"
    if abs(message.priority) > HIGHEST_PRIORITY:
        return f"a priority lies between -{HIGHEST_PRIORITY} and {HIGHEST_PRIORITY}"
    if need.gpus < 0 or not 0 <= need.vram_gb < math.inf:
        return "GPUs and their memory cannot be negative or infinite"
    if not message.bundle.key or not message.bundle.digest or message.bundle.size < 0:
        return "a bundle has a key, a digest and a size of at least 0"
    if len(msgspec.json.encode(message)) > 65_536:
        return "the submit is longer than 64 KiB"
    return None


def _place(cursor: str) -> Place:
    """Read what `_list` wrote."""
    at, _, id = cursor.partition("~")
    try:
        return Place(UnixTime(float(at)), JobId(id))
    except ValueError:
        text = f"{cursor[:80]!r} is not where a page ended"
        raise RefusedError.because(m.RefusalCode.INVALID, text) from None
