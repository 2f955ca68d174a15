"""What a person reads of a job that changes hands: output and events, stored and as it comes."""

import asyncio
import os
import re
import signal
from asyncio.subprocess import Process
from pathlib import Path

import pytest

from tests.system.bundles import LONG, LongRun, fake_bundle
from tests.system.stack import RELAYMD, Stack

pytestmark = pytest.mark.system


async def test_the_output_of_three_segments_is_complete_and_in_order_stored_and_live(
    stack: Stack, tmp_path: Path
) -> None:
    run = LongRun(tmp_path / "b")
    job = await stack.submit(run.bundle, "--title", "logs")
    follower = await following(stack, "jobs", "logs", job, "-f")
    await stack.until_event(job, "checkpointed", count=2)
    os.kill((await stack.worker_of(job))["pid"], signal.SIGKILL)
    await stack.until_event(job, "launched", count=2)
    seen = len([e for e in await stack.events(job) if e["type"] == "checkpointed"])
    await stack.until_event(job, "checkpointed", count=seen + 1)
    os.kill((await stack.worker_of(job))["pid"], signal.SIGTERM)
    await stack.until_event(job, "handed-off")
    run.let_go()
    await stack.until_state(job, "completed", within=90)

    async with asyncio.timeout(20):
        live, errors = await follower.communicate()
    assert follower.returncode == 0, errors
    check(live.decode(), "live")
    stored = await stack.cli("jobs", "logs", job)
    check(stored, "stored")
    # Of the killed segment the store may lack the last seconds; of the others nothing.
    assert segments(stored)[1:] == segments(live.decode())[1:]
    by_segment = [await stack.cli("jobs", "logs", job, "--segment", str(n)) for n in (1, 2, 3)]
    assert "".join(by_segment) == stored
    assert "finished" in await stack.cli("jobs", "logs", job, "--stderr")


def segments(text: str) -> list[list[str]]:
    """The lines of each segment; each begins by saying from where it goes on."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if re.match(r"(starts|resumes) at step ", line):
            found.append([])
        found[-1].append(line)
    return found


def check(text: str, which: str) -> None:
    """Three segments, each without gap or repetition, from its first step to its last."""
    found = segments(text)
    assert len(found) == 3, f"{which}: {[(lines[0], lines[-1], len(lines)) for lines in found]}"
    reached = 0
    for lines in found:
        begin = int(lines[0].split()[-1])
        assert begin <= reached or which == "stored", f"{which}: {begin} after {reached}"
        numbers = [int(line.split()[1]) for line in lines if line.startswith("step ")]
        assert numbers == [*range(begin + 1, begin + 1 + len(numbers))], which
        reached = begin + len(numbers)
    assert reached == LONG


async def following(stack: Stack, *words: str) -> Process:
    return await asyncio.create_subprocess_exec(
        RELAYMD,
        *words,
        env=stack.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_events_are_followed_as_they_happen(stack: Stack, tmp_path: Path) -> None:
    old = await stack.submit(fake_bundle(tmp_path / "a", steps=3), "--title", "old")
    await stack.until_state(old, "completed")
    follower = await following(stack, "events", "-f")
    assert follower.stdout is not None
    try:
        async with asyncio.timeout(30):
            while b"completed" not in (line := await follower.stdout.readline()):
                assert line, "it ended"
            new = await stack.submit(fake_bundle(tmp_path / "b", steps=3), "--title", "new")
            said: list[str] = []
            while not said or "completed" not in said[-1]:
                line = await follower.stdout.readline()
                assert line, "it ended"
                said += [line.decode()] if new.encode() in line else []
    finally:
        follower.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            await follower.communicate()
    assert follower.returncode == 130
    assert "submitted" in said[0]
    assert len([line for line in said if "completed" in line]) == 1


async def test_a_watched_submit_ends_as_its_job_does(stack: Stack, tmp_path: Path) -> None:
    good = fake_bundle(tmp_path / "good", steps=5)
    code, out, _ = await stack.run("submit", good, "--title", "good", "--watch")
    assert code == 0
    assert "completed" in out.splitlines()[-1]
    long = LongRun(tmp_path / "long").bundle
    watcher = await following(stack, "submit", str(long), "--title", "long", "--watch")
    assert watcher.stdout is not None
    async with asyncio.timeout(30):
        job = (await watcher.stdout.readline()).decode().strip()
        await stack.cli("jobs", "cancel", job)
        rest, _ = await watcher.communicate()
    assert watcher.returncode == 1
    assert "cancelled" in rest.decode().splitlines()[-1]


async def test_results_come_only_of_a_completed_job_and_a_checkpoint_of_any(
    stack: Stack, tmp_path: Path
) -> None:
    job = await stack.submit(LongRun(tmp_path / "b").bundle, "--title", "fetched")
    await stack.until_event(job, "checkpointed")
    code, _, errors = await stack.run("jobs", "fetch", job, "--to", tmp_path / "early")
    assert code == 1
    assert "--checkpoint" in errors
    await stack.cli("jobs", "fetch", job, "--checkpoint", "--to", tmp_path / "now")
    assert (tmp_path / "now" / "state.json").exists()
    await stack.cli("jobs", "cancel", job)
    await stack.until_state(job, "cancelled")
