"""The story in figures: one row a segment, and what else must hold about the hand-overs."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from examples.demo.plot import Span
from examples.demo.scenario import Blow, Story
from examples.demo.verify import Check, Handover
from relaymd.core.checkpoint import Progress
from relaymd.core.job import JobState
from relaymd.core.segments import Segment

ENDED = {"SIGKILL": "killed (SIGKILL)", "SIGTERM": "drained (SIGTERM)"}


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One segment, as the table shows it."""

    number: int
    worker: str
    begin: int
    end: int
    """The last step that counts: of its last committed checkpoint."""

    ended: str
    idle: float | None
    """Seconds without an engine before it: from the signal on; None for the first."""

    lost_steps: int
    """Done by this segment's engine, and done once more by the next."""

    lost_seconds: float


def legs(story: Story) -> list[Leg]:
    found = story.details.segments
    blows = {blow.epoch: blow for blow in story.blows}
    idle = [None, *(_idle(a, b, blows.get(a.epoch)) for a, b in pairwise(found))]
    return [
        _leg(number, segment, blows.get(segment.epoch), waited)
        for number, (segment, waited) in enumerate(zip(found, idle, strict=True), start=1)
    ]


def _leg(number: int, segment: Segment, blow: Blow | None, idle: float | None) -> Leg:
    end = _step(segment.end)
    killed = blow is not None and segment.how not in ("completed", "handed over")
    lost = max(blow.furthest - end, 0) if blow and killed else 0
    return Leg(
        number=number,
        worker=segment.worker,
        begin=_step(segment.begin),
        end=end,
        ended=ENDED[blow.signal] if blow else segment.how,
        idle=idle,
        lost_steps=lost,
        lost_seconds=lost / _pace(segment) if lost else 0.0,
    )


def _pace(segment: Segment) -> float:
    """Steps a second, up to its last checkpoint."""
    if segment.launched_at is None or segment.last_checkpoint_at is None:
        return float("inf")
    seconds = segment.last_checkpoint_at - segment.launched_at
    return max(_step(segment.end) - _step(segment.begin), 1) / max(seconds, 0.001)


def _idle(before: Segment, after: Segment, blow: Blow | None) -> float | None:
    stopped = blow.at if blow else before.ended_at
    if stopped is None or after.launched_at is None:
        return None
    return after.launched_at - stopped


def _step(progress: Progress | None) -> int:
    return (progress.step or 0) if progress else 0


def total_steps(story: Story) -> int:
    last = story.details.segments[-1].end
    return (last.total_steps or 0) if last else 0


def spans(rows: Sequence[Leg]) -> list[Span]:
    return [Span(begin=r.begin, end=r.end, worker=r.worker, ended=r.ended) for r in rows]


def checks(story: Story) -> list[Check]:
    """What the ledger says of it."""
    rows = legs(story)
    done = story.details.view.job.state is JobState.COMPLETED
    seamless = all(a.end == b.begin for a, b in pairwise(rows))
    workers = {row.worker for row in rows}
    drained = [row for row in rows if "SIGTERM" in row.ended]
    return [
        Check(says="the job completed under the id it was submitted with", holds=done),
        Check(says="each segment begins where the one before ended", holds=seamless),
        Check(
            says=f"{len(rows)} segments on {len(workers)} workers: killed, drained, finished",
            holds=len(rows) == len(workers) == 3 and rows[-1].ended == "completed",
        ),
        Check(
            says="the drain lost nothing: it ended as a hand-over",
            holds=bool(drained) and _handed_over(story),
        ),
    ]


def check_begins(rows: Sequence[Leg], handovers: Sequence[Handover]) -> Check:
    """The ledger's word on where a segment began against that of the engine itself."""
    ledger = [row.begin for row in rows[1:]]
    return Check(
        says=f"the engines took over at steps {ledger}, as the ledger says",
        holds=ledger == [one.step for one in handovers],
    )


def _handed_over(story: Story) -> bool:
    drained = {blow.epoch for blow in story.blows if blow.signal == "SIGTERM"}
    return all(s.how == "handed over" for s in story.details.segments if s.epoch in drained)
