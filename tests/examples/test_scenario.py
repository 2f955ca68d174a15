"""The demo's plot against a stand-in for the command: real signals to real processes."""

import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from examples.demo.scenario import Blow, Unfinished, play
from examples.demo.stack import CommandFailedError, Stack, running
from relaymd.bus.facts import JobChanged

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncGenerator[Stack, None]:
    command = tmp_path / "relaymd"
    script = Path(__file__).with_name("stand_in.py")
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} {script} "$@"\n')
    command.chmod(0o755)
    folder = tmp_path / "demo"
    async with running(Stack(folder, command), folder) as stack:
        stack.state.mkdir()
        yield stack


class Audience:
    """Hears what is told."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def tell(self, change: JobChanged) -> None:
        self.kinds.append(change.kind)

    def shout(self, how: str, blow: Blow) -> None:
        self.kinds.append(how)


async def test_the_first_worker_is_killed_the_second_drained_and_the_third_finishes(
    stack: Stack, tmp_path: Path
) -> None:
    audience = Audience()
    story = await play(stack, tmp_path, tell=audience.tell, shout=audience.shout)

    assert audience.kinds == [
        *("assigned", "checkpointed", "checkpointed", "SIGKILL", "interrupted"),
        *("assigned", "checkpointed", "checkpointed", "SIGTERM", "handed-off"),
        *("checkpointed", "completed"),
    ]
    assert [(blow.signal, blow.worker, blow.epoch) for blow in story.blows] == [
        ("SIGKILL", "w-1", 1),
        ("SIGTERM", "w-2", 2),
    ]


async def test_a_stream_that_ends_before_the_job_is_an_error(stack: Stack, tmp_path: Path) -> None:
    stack.environment["STAND_IN_NEVER_FINISHES"] = "1"
    audience = Audience()

    with pytest.raises(Unfinished, match="ended before the job did"):
        await play(stack, tmp_path, tell=audience.tell, shout=audience.shout)


async def test_what_a_command_complains_about_is_passed_on(stack: Stack, tmp_path: Path) -> None:
    audience = Audience()

    with pytest.raises(CommandFailedError, match="is no folder"):
        await play(stack, tmp_path / "nowhere", tell=audience.tell, shout=audience.shout)
