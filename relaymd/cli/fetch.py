"""`relaymd jobs fetch`: a job's results, its newest checkpoint, or what a failure left."""

from pathlib import Path

import asyncclick as click
import msgspec

from relaymd.cli.failures import USAGE, CommandError
from relaymd.cli.session import session
from relaymd.cli.shown import aside, document, line
from relaymd.cli.store import opened
from relaymd.cli.words import size
from relaymd.core.job import Job, JobState
from relaymd.storage import keys
from relaymd.storage.restore import fetch_checkpoint
from relaymd.storage.store import MissingObjectError, Store
from relaymd.storage.trees import Index, fetch_tree, has_files, last_failure, load_index


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
        raise CommandError("--checkpoint goes with neither --failure nor --list", USAGE)
    async with session() as stack:
        job = (await stack.job(id)).view.job
        target = to or Path(job.id)
        async with opened(stack.config) as store:
            if checkpoint:
                found = await _checkpoint(store, job, target)
            else:
                index = await _tree(store, job, failure, None if only_list else target)
                if only_list:
                    return _listed(job, index, as_json)
                found = {file.path: file.size for file in index.files}
    if as_json:
        document({"job": job.id, "folder": str(target.resolve()), "files": found})
        return
    for path, count in found.items():
        line(f"{target / path}  {size(count)}")


def _listed(job: Job, index: Index, as_json: bool) -> None:
    if as_json:
        document({"job": job.id, "files": [msgspec.to_builtins(file) for file in index.files]})
        return
    for file in index.files:
        line(f"{file.digest}  {size(file.size):>9}  {file.path}")


async def _checkpoint(store: Store, job: Job, target: Path) -> dict[str, int]:
    if not job.checkpoints:
        raise CommandError(f"{job.id} has no checkpoint yet")
    found = await fetch_checkpoint(store, job.id, job.checkpoints, target)
    for note in found.notes:
        aside(note)
    return {file.path: file.size for file in found.manifest.files}


async def _tree(store: Store, job: Job, failure: bool, target: Path | None) -> Index:
    """What there is of results or of a failure, downloaded where there is a target."""
    tree = await _place(store, job, failure)
    if tree is None:
        aside(f"{job.id} has no failed attempt that left anything")
        return Index(files=())
    try:
        index = await (fetch_tree(store, tree, target) if target else load_index(store, tree))
    except MissingObjectError:
        if await has_files(store, tree):
            raise
        aside(f"{job.id} has no results: its specification names no outputs")
        return Index(files=())
    if not index.files:
        aside(f"{job.id} has no results: no file was there that its outputs name")
    return index


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
