"""`relaymd workers`: who is there, what they do; sending one home, forgiving its node."""

import asyncclick as click

from relaymd.bus import contract
from relaymd.bus.operating import DrainWorker, ListWorkers, ReleaseWorker, WorkerList, WorkerView
from relaymd.cli.failures import REFUSED, USAGE, CommandError
from relaymd.cli.lazy import ListingGroup
from relaymd.cli.session import session, whoami
from relaymd.cli.shown import document, line, table
from relaymd.cli.words import clock, duration, load, models
from relaymd.core.ids import TOKEN, WorkerId


@click.group(cls=ListingGroup)
def workers() -> None:
    """List workers; drain one; release one from quarantine."""


@workers.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def list_(as_json: bool) -> None:
    """All registered workers."""
    async with session() as stack:
        found = await stack.bus.ask(contract.WORKERS, ListWorkers())
    if as_json:
        document(found)
        return
    columns = ("worker", "state", "where", "gpus", "busy", "jobs")
    empty = "No worker is registered; one starts when a job waits."
    rows = [_row(view) for view in found.workers]
    table(columns, rows, elastic=("where", "gpus", "busy", "jobs"), empty=empty)
    for view in found.workers:
        if view.quarantine is not None:
            until = clock(view.quarantine.until)
            line(f"{view.worker.id} gets no work until {until}: {view.quarantine.reason}")


@workers.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def drain(id: str, as_json: bool) -> None:
    """Let a worker store what it has, give its jobs back, and leave."""
    async with session() as stack:
        worker = _pick(id, await stack.bus.ask(contract.WORKERS, ListWorkers()))
        wanted = DrainWorker(worker=worker, by=whoami())
        done = await stack.bus.ask(contract.DRAIN_WORKER, wanted)
    if as_json:
        document(done)
    else:
        line(f"{worker} drains")


@workers.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def release(id: str, as_json: bool) -> None:
    """End the quarantine of a worker's node: what was against it is forgotten."""
    async with session() as stack:
        worker = _pick(id, await stack.bus.ask(contract.WORKERS, ListWorkers()))
        wanted = ReleaseWorker(worker=worker, by=whoami())
        done = await stack.bus.ask(contract.RELEASE_WORKER, wanted)
    if as_json:
        document(done)
    else:
        line(f"{worker} gets work again")


def _pick(id: str, found: WorkerList) -> WorkerId:
    """The worker with the id, or with the one id that begins so."""
    if not TOKEN.fullmatch(id):
        raise CommandError(f"{id!r} cannot be a worker's id", USAGE)
    ids = [view.worker.id for view in found.workers]
    matching = [one for one in ids if one == id] or [one for one in ids if one.startswith(id)]
    if not matching:
        raise CommandError(f"there is no worker {id}", REFUSED)
    if len(matching) > 1:
        raise CommandError(f"{id} may be any of {', '.join(matching)}", USAGE)
    return matching[0]


def _row(view: WorkerView) -> list[str]:
    worker = view.worker
    return [
        worker.id,
        _state(view),
        f"{worker.cluster} {worker.host}".strip(),
        models(worker.gpus),
        load(view.load),
        _jobs(view),
    ]


def _state(view: WorkerView) -> str:
    if view.worker.leaving:
        return "draining"
    if view.quarantine is not None:
        return "quarantined"
    silent = "" if view.verdict == "alive" else f" {duration(view.silent_for)}"
    return f"{view.verdict}{silent}"


def _jobs(view: WorkerView) -> str:
    ids, slots = " ".join(view.jobs), view.worker.slots
    if slots == 1:
        return ids or "idle"
    return f"{len(view.jobs)} of {slots}" + (f": {ids}" if ids else "")
