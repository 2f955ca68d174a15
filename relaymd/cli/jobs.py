"""`relaymd jobs`: what there is, and what an operator may do with one."""

import asyncclick as click

from relaymd.bus import contract
from relaymd.bus.operating import CancelJob, JobPage, JobView, ListJobs, RequeueJob
from relaymd.cli.lazy import Entry, ListingGroup
from relaymd.cli.session import now, session, whoami
from relaymd.cli.shown import document, line, table
from relaymd.cli.words import age, duration, far
from relaymd.core.ids import UnixTime
from relaymd.core.job import JobState

ELSEWHERE = {
    "show": Entry("relaymd.cli.show:show", "One job: progress, segments, what happened."),
    "logs": Entry("relaymd.cli.logs:logs", "What its engine wrote; -f: what it writes."),
    "fetch": Entry("relaymd.cli.fetch:fetch", "Download its results, or its newest checkpoint."),
    "watch": Entry("relaymd.cli.show:watch_", "Follow it to its end."),
}

STATES = [str(state) for state in JobState]
"""As people write them; of an enumeration click would take the names, in capitals."""


@click.group(cls=ListingGroup, entries=ELSEWHERE)
def jobs() -> None:
    """List jobs; show, cancel, requeue one; its logs, its files. Alone it lists."""


@jobs.command("list")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only these.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most."
)
@click.option("--after", help="Where the page before ended.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def list_(states: tuple[str, ...], limit: int, after: str | None, as_json: bool) -> None:
    """Jobs, the newest first, with the ages of the last checkpoint and of the submit."""
    wanted = ListJobs(states=tuple(map(JobState, states)), limit=limit, after=after)
    async with session() as stack:
        page = await stack.bus.ask(contract.JOBS, wanted)
    if as_json:
        document(page)
    else:
        _show(page)


@jobs.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def cancel(id: str, as_json: bool) -> None:
    """Stop a job for good; what it has stored stays."""
    async with session() as stack:
        job = await stack.full_id(id)
        view = await stack.bus.ask(contract.CANCEL, CancelJob(job=job, by=whoami()))
    _changed(view, as_json)


@jobs.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def requeue(id: str, as_json: bool) -> None:
    """Let a failed or cancelled job go on: the same id, from its newest checkpoint."""
    async with session() as stack:
        job = await stack.full_id(id)
        view = await stack.bus.ask(contract.REQUEUE, RequeueJob(job=job, by=whoami()))
    _changed(view, as_json)


def _changed(view: JobView, as_json: bool) -> None:
    if as_json:
        document(view)
    else:
        line(f"{view.job.id} is {view.job.state}")


def _show(page: JobPage) -> None:
    at = now()
    columns = ("job", "title", "state", "done", "left", "saved", "where", "age")
    rows = [_row(view, at) for view in page.jobs]
    table(columns, rows, elastic=("title", "where"), empty="No jobs.")
    if page.next is not None:
        line(f"There are more: relaymd jobs --after {page.next}")


def _row(view: JobView, at: UnixTime) -> list[str]:
    job = view.job
    newest = job.checkpoints[-1] if job.checkpoints else None
    return [
        job.id,
        job.title,
        job.state,
        far(view.progress or (newest.progress if newest else None)),
        duration(view.seconds_left),
        age(newest.at, at) if newest else "-",
        job.lease.worker if job.lease else view.why_waiting or "-",
        age(job.submitted_at, at),
    ]
