"""What stands between an assignment and its engine."""

import dataclasses
import errno
import gzip
import io
import os
import tarfile
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import msgspec
import pytest

from relaymd.core.ids import JobId
from relaymd.core.job import Bundle
from relaymd.core.outcome import Outcome
from relaymd.storage import keys
from relaymd.storage.manifest import digest
from relaymd.storage.unpacking import unpack
from relaymd.worker.tools import Tools
from tests.engines.verify import problems
from tests.worker.shop import Shop

P = ParamSpec("P")
T = TypeVar("T")

JOB = JobId("j-1")


async def put(shop: Shop, data: bytes) -> Bundle:
    await shop.store.put(keys.bundle(JOB), data)
    return Bundle(key=keys.bundle(JOB), digest=digest(data), size=len(data))


def archive(name: str, content: bytes = b"x") -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


async def relayed_once(shop: Shop, steps: int = 200) -> JobId:
    """A job with a committed checkpoint, given back."""
    job = await shop.submit("--steps", str(steps), "--pace", "0.03")
    async with shop.worker() as first:
        await shop.desk.until(lambda: len(shop.desk.committed.get(job, ())) >= 2)
        first.worker.drain("a test")
        await first.left()
    return job


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no archive", "archive"),
        (archive("../escape"), "leaves the bundle"),
        (archive("/etc/escape"), "leaves the bundle"),
        (archive("relaymd-worker.json", b"{}"), "command"),
        (archive("relaymd-worker.json", b'{"command": "x", "chekpoint": 1}'), "chekpoint"),
        (archive("readme", b"x"), "no specification"),
    ],
    ids=["rubbish", "dots", "absolute", "empty", "misspelt", "unspecified"],
)
async def test_an_invalid_bundle_ends_as_bundle_invalid(
    shop: Shop, data: bytes, words: str
) -> None:
    shop.desk.submit(JOB, await put(shop, data))
    async with shop.worker():
        fail = await shop.desk.until_said("Fail")
        await shop.desk.until_said("AskForWork", 2)
    assert fail.end.outcome is Outcome.BUNDLE_INVALID
    assert words in fail.end.reason


async def test_a_bundle_that_is_not_what_was_submitted_is_not_run(shop: Shop) -> None:
    bundle = await put(shop, archive("relaymd-worker.json", b'{"command": "true"}'))
    shop.desk.submit(JOB, msgspec.structs.replace(bundle, digest="0" * 64))
    async with shop.worker():
        fail = await shop.desk.until_said("Fail")
    assert fail.end.outcome is Outcome.STORAGE_UNAVAILABLE
    assert not shop.desk.said("LaunchReport")


async def test_an_unreadable_checkpoint_is_never_taken_for_none(shop: Shop) -> None:
    """Once, any error there restarted the run from zero and overwrote the good checkpoint."""
    job = await relayed_once(shop)
    before = shop.desk.committed[job][:]
    for checkpoint in before:
        (shop.root / "store" / checkpoint.manifest).unlink()
    shop.resubmit(job)
    async with shop.worker(shop.tools("w-2")):
        fail = await shop.desk.until_said("Fail")
    assert fail.end.outcome is Outcome.STORAGE_UNAVAILABLE
    assert len(shop.desk.said("LaunchReport")) == 1
    assert shop.desk.committed[job] == before


async def test_a_store_out_of_reach_gives_the_lease_back_after_a_while(shop: Shop) -> None:
    job = await relayed_once(shop)
    (shop.root / "store").rename(shop.root / "gone")
    shop.resubmit(job)
    async with shop.worker(shop.tools("w-2")):
        fail = await shop.desk.until_said("Fail")
    assert fail.end.outcome is Outcome.STORAGE_UNAVAILABLE


async def test_a_store_that_comes_back_in_time_costs_nothing(shop: Shop) -> None:
    job = await relayed_once(shop, steps=100)
    (shop.root / "store").rename(shop.root / "gone")
    shop.resubmit(job)
    async with shop.worker(shop.tools("w-2")):
        await shop.desk.until_said("Start", 2)
        (shop.root / "gone").rename(shop.root / "store")
        await shop.desk.until_said("Complete")
    assert problems(await shop.restored(job) / "ledger.txt", 100) == []


async def test_a_damaged_generation_falls_back_to_its_elder_and_says_so(shop: Shop) -> None:
    job = await relayed_once(shop, steps=100)
    newest = shop.desk.committed[job][-1]
    (shop.root / "store" / newest.manifest).write_bytes(b"rubbish")
    shop.resubmit(job)
    async with shop.worker(shop.tools("w-2")):
        launch = await shop.desk.until_said("LaunchReport", 2)
        await shop.desk.until_said("Complete")
    assert launch.restored == newest.generation - 1
    assert f"generation {newest.generation} is damaged" in launch.note
    assert problems(await shop.restored(job) / "ledger.txt", 100) == []


class FullDisk:
    """An offload on a machine whose disk has no room to unpack a bundle."""

    def __init__(self, tools: Tools) -> None:
        self._offload = tools.offload

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if work is unpack:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return await self._offload(work, *args, **kwargs)


async def test_a_full_disk_makes_the_node_unfit_and_not_the_job_failed(shop: Shop) -> None:
    await shop.submit("--steps", "5")
    tools = shop.tools()
    async with shop.worker(dataclasses.replace(tools, offload=FullDisk(tools))):
        fail = await shop.desk.until_said("Fail")
    assert fail.end.outcome is Outcome.NODE_UNFIT
    assert "No space left" in fail.end.reason


async def test_a_command_that_is_not_there_fails_the_attempt_in_words(shop: Shop) -> None:
    await shop.submit_command(["/nonexistent/engine"], spec={})
    async with shop.worker():
        fail = await shop.desk.until_said("Fail")
    assert fail.end.outcome is Outcome.ENGINE_FAILED
    assert "No such file" in fail.end.reason


async def test_a_drain_before_the_engine_was_started_gives_the_lease_back(shop: Shop) -> None:
    (shop.root / "store").rename(shop.root / "gone")
    (shop.root / "gone" / "x").mkdir()
    shop.desk.submit(JOB, Bundle(key=keys.bundle(JOB), digest="0" * 64, size=1))
    async with shop.worker() as running:
        await shop.desk.until_said("Start")
        running.worker.drain("a test")
        assert await running.left()
    assert shop.desk.said("Handoff")[0].reason == "a test, before the engine was started"


async def test_an_assignment_that_is_over_before_it_began_is_left_alone(shop: Shop) -> None:
    job = await shop.submit("--steps", "5")
    shop.desk.over.add((job, shop.desk.next_epoch(job)))
    async with shop.worker():
        await shop.desk.until_said("AskForWork", 2)
    assert not shop.desk.said("LaunchReport")
    assert not shop.desk.said("Fail")
