"""`relaymd jobs show` and `watch`: one job, as it is and as it came to be so."""

from collections.abc import Iterable

import asyncclick as click

from relaymd.bus.operating import JobDetails
from relaymd.cli.session import now, session
from relaymd.cli.shown import document, fields, line, table
from relaymd.cli.watch import watch
from relaymd.cli.words import ago, duration, number, of_fact, pace, progress, size
from relaymd.core.checkpoint import Progress
from relaymd.core.segments import Segment

ELASTIC = ("where", "ended")

LATEST = 10
"""Events shown to people; `relaymd events --job` has them all."""


@click.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def show(id: str, as_json: bool) -> None:
    """One job: its progress, why it waits, its segments, what happened last."""
    async with session() as stack:
        details = await stack.job(id)
    if as_json:
        document(details)
        return
    fields(_facts(details))
    if details.segments:
        line("")
        columns = ("lease", "where", "from", "to", "rate", "took", "lost", "ended")
        table(columns, [_row(one) for one in details.segments], elastic=ELASTIC)
    if details.history:
        line("")
        for change in details.history[-LATEST:]:
            line(of_fact(change))


@click.command("watch")
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")
async def watch_(id: str, as_json: bool) -> int:
    """Follow a job to its end; the exit code is 0 only if it completed."""
    async with session() as stack:
        details = await stack.job(id)
        job = details.view.job
        # A job that is over tells its last event once more, so that there is an answer.
        seen = details.history[-1].seq if details.history else 0
        after = seen - 1 if job.state.is_final else seen
        return await watch(stack, job.id, after=max(after, 0), as_json=as_json)


def _facts(details: JobDetails) -> Iterable[tuple[str, str]]:
    at, view, job = now(), details.view, details.view.job
    newest = job.checkpoints[-1] if job.checkpoints else None
    yield "job", job.id
    yield "title", job.title
    yield "state", job.state
    yield "command", job.command
    yield "waits", view.why_waiting or ""
    yield "progress", progress(view.progress or (newest.progress if newest else None))
    if view.rate is not None:
        yield "rate", pace(view.rate)
    if view.seconds_left is not None:
        yield "done in", f"about {duration(view.seconds_left)}, if it goes on like this"
    if newest:
        kept = f"{newest.generation}, {number(newest.files, 'file')}, {size(newest.size)}"
        yield "checkpoint", f"{kept}, {ago(newest.at, at)}"
    if job.lease:
        yield "worker", f"{job.lease.worker} on {job.lease.cluster}, lease {job.lease.epoch}"
    if job.end:
        yield "last end", f"{job.end.outcome}: {job.end.reason}"
        yield "exit code", "" if job.end.exit_code is None else str(job.end.exit_code)
        yield "evidence", job.end.evidence
    yield "priority", str(job.priority or "")
    yield "submitted", ago(job.submitted_at, at)


def _row(segment: Segment) -> list[str]:
    end = segment.ended_at or now()
    return [
        str(segment.epoch),
        f"{segment.worker} {segment.cluster}",
        _far(segment.begin),
        _far(segment.end),
        pace(segment.rate),
        duration(end - segment.launched_at) if segment.launched_at else "-",
        duration(segment.lost_seconds),
        segment.how + (f": {segment.reason}" if segment.reason else ""),
    ]


def _far(reached: Progress | None) -> str:
    if reached is None:
        return "-"
    if reached.step is not None:
        return f"{reached.step:,}"
    return progress(reached)
