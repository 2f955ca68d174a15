"""`relaymd workers`: who is there, what they do; sending one home."""

import asyncclick as click

from relaymd.bus import contract
from relaymd.bus.operating import DrainWorker, ListWorkers, WorkerList, WorkerView
from relaymd.cli.failures import REFUSED, USAGE, CommandError
from relaymd.cli.lazy import ListingGroup
from relaymd.cli.session import now, session, whoami
from relaymd.cli.shown import document, line, table
from relaymd.cli.words import ago
from relaymd.core.ids import TOKEN, UnixTime, WorkerId


@click.group(cls=ListingGroup)
def workers() -> None:
    """List workers; drain one."""


@workers.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def list_(as_json: bool) -> None:
    """All registered workers."""
    async with session() as stack:
        found = await stack.bus.ask(contract.WORKERS, ListWorkers())
    if as_json:
        document(found)
        return
    at = now()
    columns = ("worker", "state", "cluster", "host", "gpus", "slots", "jobs", "heard", "since")
    empty = "No worker is registered; one starts when a job waits."
    rows = [_row(view, at) for view in found.workers]
    table(columns, rows, elastic=("cluster", "host", "gpus", "jobs"), empty=empty)


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


def _row(view: WorkerView, at: UnixTime) -> list[str]:
    worker = view.worker
    return [
        worker.id,
        "draining" if worker.leaving else view.verdict,
        worker.cluster,
        worker.host,
        ", ".join(gpu.model for gpu in worker.gpus) or "-",
        str(worker.slots),
        ", ".join(view.jobs) or "idle",
        ago(UnixTime(at - view.silent_for), at),
        ago(worker.registered_at, at),
    ]
