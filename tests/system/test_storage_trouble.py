"""A store in trouble: named, retried, and never a generation lost."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.verify import problems
from tests.storage.s3_server import SECRET
from tests.system.bundles import LONG, LongRun
from tests.system.s3_stack import S3Stack, s3_stack
from tests.system.stack import Stack, command_line, descendants
from tests.system.trouble import Mood

pytestmark = pytest.mark.system


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncGenerator[S3Stack, None]:
    async with s3_stack(tmp_path) as stack:
        yield stack


async def generations(stack: Stack, job: str) -> list[int]:
    events = await stack.events(job)
    return [e["checkpoint"]["generation"] for e in events if e["type"] == "checkpointed"]


async def missed(stack: Stack, job: str) -> list[str]:
    return [e["reason"] for e in await stack.events(job) if e["type"] == "checkpoint-missed"]


async def one_more_generation(stack: Stack, job: str) -> None:
    before = len(await generations(stack, job))
    await stack.until_event(job, "checkpointed", count=before + 1)


async def test_each_trouble_of_the_store_is_named_and_healed_and_no_generation_is_lost(
    s3: S3Stack, tmp_path: Path
) -> None:
    stack, run = s3.stack, LongRun(tmp_path / "b")
    job = await stack.submit(run.bundle, "--title", "trouble")
    await stack.until_event(job, "checkpointed", count=2)
    for mood, named in (
        (Mood.DENIED, "403"),
        (Mood.BROKEN, "500"),
        (Mood.SLOW_DOWN, "503"),
    ):
        s3.proxy.mood = mood

        async def told(named: str = named) -> bool:
            return any(named in reason for reason in await missed(stack, job))

        await stack.until(told, within=40, what=f"{mood} is named in the job's events")
        s3.proxy.mood = Mood.WELL
        await one_more_generation(stack, job)
    for mood in (Mood.CUT, Mood.HANG):
        s3.proxy.mood, seen = mood, s3.proxy.met[mood]

        async def met(mood: Mood = mood, seen: int = seen) -> bool:
            return s3.proxy.met[mood] > seen

        await stack.until(met, what=f"a request meets {mood}")
        s3.proxy.mood = Mood.WELL
        await one_more_generation(stack, job)

    run.let_go()
    await stack.until_state(job, "completed", within=90)
    numbers = await generations(stack, job)
    assert numbers == [*range(1, len(numbers) + 1)], "a generation was lost or taken twice"
    assert len((await stack.show(job))["segments"]) == 1, "trouble of the store ends no segment"
    await stack.cli("jobs", "fetch", job, "--to", tmp_path / "out")
    assert problems(tmp_path / "out" / "ledger.txt", LONG) == []


async def test_a_store_that_denies_the_checkpoint_never_leads_to_a_start_from_zero(
    s3: S3Stack, tmp_path: Path
) -> None:
    stack, run = s3.stack, LongRun(tmp_path / "b")
    job = await stack.submit(run.bundle, "--title", "denied")
    await stack.until_event(job, "checkpointed", count=2)
    committed = (await generations(stack, job))[-1]
    s3.proxy.mood = Mood.DENIED
    os.kill((await stack.worker_of(job))["pid"], signal.SIGKILL)
    ends = await _ends(stack, job, "storage_unavailable", count=3)
    assert all("403" in end["reason"] for end in ends)
    assert not [e for e in (await stack.events(job)) if e["type"] == "failed"]
    s3.proxy.mood = Mood.WELL
    run.let_go()
    await stack.until_state(job, "completed", within=90)
    launched = [e for e in await stack.events(job) if e["type"] == "launched"]
    assert len(launched) == 2
    assert launched[1]["restored"] >= committed > 0
    await stack.cli("jobs", "fetch", job, "--to", tmp_path / "out")
    assert problems(tmp_path / "out" / "ledger.txt", LONG) == []


async def _ends(stack: Stack, job: str, outcome: str, *, count: int) -> list[Any]:
    async def look() -> list[Any]:
        ends = [e["end"] for e in await stack.events(job) if e["type"] == "interrupted"]
        found = [end for end in ends if end["outcome"] == outcome]
        return found if len(found) >= count else []

    return await stack.until(look, within=60, what=f"{count} times {outcome}")


async def test_a_damaged_newest_generation_falls_back_to_its_elder_and_says_so(
    s3: S3Stack, tmp_path: Path
) -> None:
    stack, run = s3.stack, LongRun(tmp_path / "b")
    job = await stack.submit(run.bundle, "--title", "damaged")
    await stack.until_event(job, "checkpointed", count=3)
    worker = await stack.worker_of(job)
    os.kill(worker["pid"], signal.SIGSTOP)  # no further generation
    try:
        newest = (await stack.show(job))["view"]["job"]["checkpoints"][-1]
        manifest = s3.objects / newest["manifest"]
        whole = manifest.read_bytes()
        manifest.write_bytes(whole[: len(whole) // 2])
    finally:
        os.kill(worker["pid"], signal.SIGKILL)
    second = await stack.until_event(job, "launched", count=2)
    assert second["restored"] == newest["generation"] - 1
    assert f"generation {newest['generation']} is damaged" in second["note"]
    run.let_go()
    await stack.until_state(job, "completed", within=90)
    await stack.cli("jobs", "fetch", job, "--to", tmp_path / "out")
    assert problems(tmp_path / "out" / "ledger.txt", LONG) == []


async def test_no_secret_of_the_store_is_written_down_shown_or_handed_to_an_engine(
    s3: S3Stack, tmp_path: Path
) -> None:
    stack = s3.stack
    job = await stack.submit(LongRun(tmp_path / "b").bundle, "--title", "secrets")
    await stack.until_event(job, "checkpointed")
    s3.proxy.mood = Mood.DENIED  # errors tell of requests, and must not tell how they were signed
    await stack.until_event(job, "checkpoint-missed")
    s3.proxy.mood = Mood.WELL
    assert stack.process is not None
    processes = [stack.process.pid, *descendants(stack.process.pid)]
    worker = await stack.worker_of(job)
    processes += [worker["pid"], *descendants(worker["pid"])]
    engines = [pid for pid in processes if "fake_engine" in command_line(pid)]
    assert engines
    assert not [pid for pid in processes if SECRET in command_line(pid)]
    seen = b"".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in engines)
    assert SECRET.encode() not in seen
    await stack.cli("jobs", "cancel", job)
    await stack.until_state(job, "cancelled", within=60)
    assert await asyncio.to_thread(_holding, stack.state, SECRET.encode()) == []
    assert SECRET not in stack.log
    for words in (["jobs", "show", job], ["events"], ["config", "explain"]):
        assert SECRET not in await stack.cli(*words)


def _holding(folder: Path, text: bytes) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and text in file.read_bytes()]
