"""`relaymd jobs fetch`: a job's results, its newest checkpoint, or what a failure left."""

import asyncio
from pathlib import Path

import asyncclick as click
import msgspec

from relaymd.cli.failures import CommandError
from relaymd.cli.session import session
from relaymd.cli.shown import document, line
from relaymd.cli.store import opened
from relaymd.cli.words import size
from relaymd.core.job import Job, JobState
from relaymd.storage import keys
from relaymd.storage.restore import fetch_checkpoint
from relaymd.storage.store import MissingObjectError, Store
from relaymd.storage.trees import Index, fetch_tree, last_failure, load_index


@click.command()
@click.argument("id")
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), help="Default: ./ID.")
@click.option("--checkpoint", is_flag=True, help="The newest checkpoint instead of the results.")
@click.option("--failure", is_flag=True, help="What the last failed attempt left, instead.")
@click.option("--list", "only_list", is_flag=True, help="Sizes and hashes only; no download.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def fetch(
    id: str, to: Path | None, checkpoint: bool, failure: bool, only_list: bool, as_json: bool
) -> None:
    """Download a job's results. Files that are there and right are kept."""
    if checkpoint and (failure or only_list):
        raise CommandError("--checkpoint goes with neither --failure nor --list")
    async with session() as stack:
        job = (await stack.job(id)).view.job
        target = to or Path(job.id)
        async with opened(stack.config) as store:
            if only_list:
                return _listed(job, await _index(store, job, failure), as_json)
            if checkpoint:
                found = await _checkpoint(store, job, target)
            else:
                found = await _tree(store, job, failure, target)
    if as_json:
        document({"job": job.id, "folder": str(target.resolve()), "files": found})
        return
    for path, count in found.items():
        line(f"{target / path}  {size(count)}")
    if not found:
        line(_nothing(job, failure))


def _listed(job: Job, index: Index | None, as_json: bool) -> None:
    found = index.files if index else ()
    if as_json:
        document({"job": job.id, "files": [msgspec.to_builtins(file) for file in found]})
        return
    for file in found:
        line(f"{file.digest}  {size(file.size):>9}  {file.path}")


def _nothing(job: Job, failure: bool) -> str:
    if failure:
        return f"{job.id} has no failed attempt that left anything"
    return f"{job.id} has no results: its specification names no outputs"


async def _checkpoint(store: Store, job: Job, target: Path) -> dict[str, int]:
    if not job.checkpoints:
        raise CommandError(f"{job.id} has no checkpoint yet")
    await asyncio.to_thread(target.mkdir, parents=True, exist_ok=True)
    manifest = await fetch_checkpoint(store, job.id, job.checkpoints[-1], target)
    return {file.path: file.size for file in manifest.files}


async def _tree(store: Store, job: Job, failure: bool, target: Path) -> dict[str, int]:
    tree = await _place(store, job, failure)
    try:
        index = await fetch_tree(store, tree, target) if tree else None
    except MissingObjectError:
        index = None
    return {file.path: file.size for file in index.files} if index else {}


async def _index(store: Store, job: Job, failure: bool) -> Index | None:
    tree = await _place(store, job, failure)
    try:
        return await load_index(store, tree) if tree else None
    except MissingObjectError:
        return None


async def _place(store: Store, job: Job, failure: bool) -> str | None:
    """The key of the tree; None where no attempt failed that left one."""
    if failure:
        epoch = await last_failure(store, job.id)
        return keys.failures(job.id, epoch) if epoch is not None else None
    if job.state is not JobState.COMPLETED:
        raise CommandError(
            f"{job.id} is {job.state}; it has results once it is completed, until then "
            "--checkpoint fetches what it has"
        )
    return keys.outputs(job.id, job.epoch)
