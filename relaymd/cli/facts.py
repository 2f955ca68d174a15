"""The stream of events, read: which facts, from where on, and when to stop."""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from relaymd.bus import contract
from relaymd.bus.bus import Journal
from relaymd.bus.facts import JobChanged, ProviderChanged, WorkerChanged
from relaymd.cli.words import Fact
from relaymd.core.ids import JobId
from relaymd.core.job import JobState
from relaymd.core.strict import decode_json

KINDS: tuple[tuple[str, type[Fact]], ...] = (
    (contract.JOB_CHANGED.template, JobChanged),
    (contract.WORKER_CHANGED.template, WorkerChanged),
    (contract.PROVIDER_CHANGED.template, ProviderChanged),
)


def decode(subject: str, body: bytes) -> Fact | None:
    """The fact, or None for one that a newer release wrote and this one cannot read."""
    for template, kind in KINDS:
        if subject.startswith(template.partition("{")[0]):
            try:
                return decode_json(body, kind)
            except msgspec.DecodeError:
                return None
    return None


def subject_of(job: JobId | None) -> str:
    """What to listen to for one job's facts, or for all."""
    return contract.JOB_CHANGED.at(job=job) if job else contract.EVENTS


async def stored(journal: Journal, *, job: JobId | None, after: int, last: int) -> list[Fact]:
    """The last of the facts that are there now, oldest first."""
    found: deque[Fact] = deque(maxlen=last)
    follow = journal.follow(subject=subject_of(job), after=after, live=False)
    async with aclosing(follow) as bodies:
        async for subject, body in bodies:
            if (fact := decode(subject, body)) is not None:
                found.append(fact)
    return [*found]


async def coming(journal: Journal, *, job: JobId | None, after: int) -> AsyncGenerator[Fact]:
    """Facts after `after`, those that are there and then those that come, without end."""
    async with aclosing(journal.follow(subject=subject_of(job), after=after)) as bodies:
        async for subject, body in bodies:
            if (fact := decode(subject, body)) is not None:
                yield fact


async def until_final(journal: Journal, job: JobId, *, after: int) -> AsyncGenerator[JobChanged]:
    """One job's facts until it needs nothing more."""
    async with aclosing(coming(journal, job=job, after=after)) as facts:
        async for fact in facts:
            if isinstance(fact, JobChanged):
                yield fact
                if fact.state.is_final:
                    return


def exit_code(state: JobState | None) -> int:
    """What a script that watched a job wants to know."""
    return 0 if state is JobState.COMPLETED else 1
