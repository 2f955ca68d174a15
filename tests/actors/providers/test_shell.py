"""Commands on this machine: their answers, and their end when there is none."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from relaymd.actors.providers.provider import ProviderError
from relaymd.actors.providers.shell import Finished, LocalShell, UnansweredError
from relaymd.process import alive
from tests.worker.processes import until


def script(text: str, *words: str) -> list[str]:
    return ["/bin/sh", "-c", text, "sh", *words]


async def test_a_command_is_answered_with_its_code_and_both_streams() -> None:
    said = await LocalShell().run(script("cat; echo no >&2; exit 3"), stdin=b"yes", within=10)

    assert said == Finished(code=3, stdout="yes", stderr="no\n")


async def test_words_are_not_split_or_expanded() -> None:
    said = await LocalShell().run(["/bin/echo", "a b", "$HOME", "*", "';'"], within=10)

    assert said.stdout == "a b $HOME * ';'\n"


async def test_large_input_and_output_do_not_wait_for_each_other() -> None:
    much = b"x" * 3_000_000
    said = await LocalShell().run(script("cat; cat /dev/null >&2"), stdin=much, within=20)

    assert len(said.stdout) == len(much)


async def test_bytes_that_are_no_text_do_not_hurt() -> None:
    said = await LocalShell().run(["/bin/cat"], stdin=b"\xff\xfe\0ok", within=10)

    assert said.stdout.endswith("\0ok")


async def test_only_the_given_environment_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "secret")
    said = await LocalShell({"A": "b"}).run(["/usr/bin/env"], within=10)

    assert said.stdout == "A=b\n"


async def test_a_command_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(ProviderError, match="sbatch-of-nowhere cannot be started here: No such"):
        await LocalShell().run(["sbatch-of-nowhere"], within=10)


async def test_a_word_with_a_zero_byte_is_refused() -> None:
    with pytest.raises(ProviderError, match="cannot be started here"):
        await LocalShell().run(["/bin/echo", "a\0b"], within=10)


async def test_a_hanging_command_is_killed_with_all_of_its_group(tmp_path: Path) -> None:
    noted = tmp_path / "pids"
    hangs = script('sleep 60 & echo $$ $! > "$1"; wait', str(noted))
    with pytest.raises(UnansweredError, match="did not end within"):
        await LocalShell().run(hangs, within=0.5)

    pids = [int(pid) for pid in noted.read_text().split()]
    assert len(pids) == 2
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_a_hanging_command_is_killed_when_nobody_waits_any_more(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    os.mkfifo(noted)
    waits = asyncio.create_task(
        LocalShell().run(script('echo $$ > "$1"; exec sleep 60', str(noted)), within=60)
    )
    pid = int(await asyncio.to_thread(noted.read_text))
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits

    assert not alive(pid)


async def test_what_a_command_leaves_running_does_not_hold_us_up() -> None:
    began = time.monotonic()
    said = await LocalShell().run(script("setsid sleep 20 & echo $!"), within=15)

    assert time.monotonic() - began < 10
    os.kill(int(said.stdout), 9)


async def test_output_without_end_is_an_error_and_not_our_memory() -> None:
    small = LocalShell(longest_output=1000)
    assert (await small.run(script("head -c 1000 /dev/zero"), within=10)).code == 0
    with pytest.raises(ProviderError, match="printed more than 1000 bytes"):
        await small.run(script("head -c 2000 /dev/zero"), within=10)
