"""`relaymd submit`: checked first, then packed, uploaded, and registered under an id of ours."""

import asyncio
import secrets
import tempfile
from pathlib import Path
from typing import Any

import asyncclick as click
import msgspec

from relaymd.bus import contract
from relaymd.bus.bus import NoAnswerError, NoResponderError, RefusedError
from relaymd.bus.operating import JobView, Submit
from relaymd.cli.draft import Words, check_folder, specification
from relaymd.cli.failures import UNREACHABLE, USAGE, CommandError
from relaymd.cli.session import Session, session, whoami
from relaymd.cli.shown import document, line
from relaymd.cli.store import opened
from relaymd.cli.watch import watch
from relaymd.core.ids import JobId, token
from relaymd.core.job import Bundle
from relaymd.core.specification import Specification
from relaymd.storage import bundles, keys

REGISTER_WITHIN = 30.0
"""Seconds to go on asking an orchestrator that is just being restarted."""

ASK_AGAIN = 0.5
"""Seconds between two of these requests."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--title", required=True, help="How people will know it.")
@click.option("--command", help="What to run, by /bin/sh, in a copy of the folder.")
@click.option("--checkpoint", multiple=True, metavar="GLOB", help="Files that make it resumable.")
@click.option("--marker", metavar="FILE", help="Must exist for the checkpoint to be valid.")
@click.option("--interval", type=float, metavar="SECONDS", help="Between two checkpoints.")
@click.option("--progress-file", metavar="FILE", help="Where the engine writes how far it is.")
@click.option("--preserve", multiple=True, metavar="GLOB", help="Files the next segment needs too.")
@click.option("--output", multiple=True, metavar="GLOB", help="Files to keep as results.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="For the engine.")
@click.option("--max-runtime", type=float, metavar="SECONDS", help="Of one segment.")
@click.option("--priority", type=int, help="Higher goes first.")
@click.option("--gpus", type=click.IntRange(min=0), help="How many it needs.")
@click.option("--vram-gb", type=float, help="Memory of each GPU.")
@click.option("--gpu-model", multiple=True, help="Any of these.")
@click.option("--platform", multiple=True, help="Any of these: CUDA, HIP, OpenCL, CPU.")
@click.option("--cluster", multiple=True, help="Any of these.")
@click.option("--image", help="The worker image it needs.")
@click.option("--watch", "watching", is_flag=True, help="Follow it to its end.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def submit(folder: Path, title: str, watching: bool, as_json: bool, **words: Any) -> int:
    """Pack DIR, upload it, and queue it as a job. Options count above the folder's own file."""
    if not title.strip():
        raise CommandError("--title: it is empty", USAGE)
    said = msgspec.convert(words, Words)
    check_folder(folder)
    spec = specification(folder, said)
    async with session() as stack:
        view = await _send(stack, folder, title.strip(), spec, replaced=bool(said.above()))
        if as_json:
            document(view)
        else:
            line(view.job.id)
        if watching:
            return await watch(stack, view.job.id, after=0, as_json=as_json)
    return 0


async def _send(
    stack: Session, folder: Path, title: str, spec: Specification, *, replaced: bool
) -> JobView:
    """Upload first, then register: what is registered is there."""
    job = JobId(token("j", secrets.token_bytes(8)))
    with tempfile.TemporaryDirectory(prefix="relaymd-") as scratch:
        given = spec if replaced else None
        packed = await asyncio.to_thread(
            bundles.pack, folder, Path(scratch) / "bundle.tar.gz", given
        )
        async with opened(stack.config) as store:
            key = keys.bundle(job)
            await store.put_file(key, packed.path)
            wanted = Submit(
                job=job,
                title=title,
                bundle=Bundle(key=key, digest=packed.digest, size=packed.size),
                command=spec.command_line(),
                requirements=spec.resources.requirements(),
                priority=spec.resources.priority,
                by=whoami(),
            )
            try:
                return await _register(stack, wanted)
            except RefusedError:
                await store.delete([key])
                raise


async def _register(stack: Session, wanted: Submit) -> JobView:
    """Ask until there is an answer. The id is ours, so twice is once."""
    clock = asyncio.get_running_loop().time
    end = clock() + REGISTER_WITHIN
    while True:
        try:
            return await stack.bus.ask(contract.SUBMIT, wanted)
        except (NoAnswerError, NoResponderError):
            if clock() >= end:
                raise CommandError(
                    f"the orchestrator does not answer; whether the job was queued, will say "
                    f"`relaymd jobs show {wanted.job}`",
                    UNREACHABLE,
                ) from None
        await asyncio.sleep(ASK_AGAIN)
