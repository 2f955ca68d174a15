"""Archives put into the store behind the command's back: refused by the worker, at once."""

import asyncio
from pathlib import Path

import pytest
from blake3 import blake3

from relaymd.bus import contract
from relaymd.bus.operating import Submit
from relaymd.core.ids import JobId
from relaymd.core.job import Bundle
from relaymd.storage import keys
from relaymd.storage.folder import FolderStore
from tests.system.archives import hostile
from tests.system.stack import Stack, operator

pytestmark = pytest.mark.system


async def test_hostile_archives_end_their_jobs_as_bundle_invalid_at_the_first_attempt(
    stack: Stack, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    wanted = [await put(stack, JobId(f"j-{name}"), data) for name, data in hostile(victim).items()]
    async with operator(stack.state) as bus:
        for submit in wanted:
            await bus.ask(contract.SUBMIT, submit)
    for submit in wanted:
        await stack.until_state(submit.job, "failed", within=40)
        (failed,) = [e for e in await stack.events(submit.job) if e["type"] == "failed"]
        assert failed["end"]["outcome"] == "bundle_invalid", (submit.job, failed)
        assert failed["epoch"] == 1, "a second attempt could not have done better"
        assert failed["end"]["reason"]
    assert not victim.exists()


async def put(stack: Stack, job: JobId, data: bytes) -> Submit:
    store = FolderStore(stack.state / "storage", asyncio.to_thread)
    await store.put(keys.bundle(job), data)
    bundle = Bundle(key=keys.bundle(job), digest=blake3(data).hexdigest(), size=len(data))
    return Submit(job=job, title=job, bundle=bundle)
