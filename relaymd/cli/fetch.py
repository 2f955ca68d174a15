"""`relaymd jobs fetch`: a job's results, or its newest checkpoint, as files here."""

import asyncio
from pathlib import Path

import asyncclick as click

from relaymd.cli.failures import CommandError
from relaymd.cli.session import session
from relaymd.cli.shown import document, line
from relaymd.cli.store import opened
from relaymd.cli.words import size
from relaymd.core.job import Job, JobState
from relaymd.storage.restore import fetch_checkpoint
from relaymd.storage.store import MissingObjectError, Store
from relaymd.storage.trees import fetch_outputs


@click.command()
@click.argument("id")
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), help="Default: ./ID.")
@click.option("--checkpoint", is_flag=True, help="The newest checkpoint instead of the results.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def fetch(id: str, to: Path | None, checkpoint: bool, as_json: bool) -> None:
    """Download a job's results. Files that are there and right are kept."""
    async with session() as stack:
        job = (await stack.job(id)).view.job
        target = to or Path(job.id)
        async with opened(stack.config) as store:
            found = await (_checkpoint if checkpoint else _outputs)(store, job, target)
    if as_json:
        document({"job": job.id, "folder": str(target.resolve()), "files": found})
        return
    for path, count in found.items():
        line(f"{target / path}  {size(count)}")
    if not found:
        line(f"{job.id} has no results: its specification names no outputs")


async def _checkpoint(store: Store, job: Job, target: Path) -> dict[str, int]:
    if not job.checkpoints:
        raise CommandError(f"{job.id} has no checkpoint yet")
    await asyncio.to_thread(target.mkdir, parents=True, exist_ok=True)
    manifest = await fetch_checkpoint(store, job.id, job.checkpoints[-1], target)
    return {file.path: file.size for file in manifest.files}


async def _outputs(store: Store, job: Job, target: Path) -> dict[str, int]:
    if job.state is not JobState.COMPLETED:
        raise CommandError(
            f"{job.id} is {job.state}; it has results once it is completed, until then "
            "--checkpoint fetches what it has"
        )
    try:
        index = await fetch_outputs(store, job.id, job.epoch, target)
    except MissingObjectError:
        return {}
    return {file.path: file.size for file in index.files}
