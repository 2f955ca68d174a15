"""What a person gets wrong at `relaymd submit`: one sentence, and nothing was done."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.system.stack import QUICK, Stack, running

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

WRONG = 2
"""The exit code for wrong input."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stack, None]:
    """One stack for all of these: nothing here may change it."""
    quiet = {**QUICK, "RELAYMD_LOCAL_WORKERS": "0"}
    async with running(tmp_path_factory.mktemp("bad-input") / "state", quiet) as stack:
        yield stack


def specified(folder: Path, **keys: Any) -> None:
    folder.mkdir()
    document = {"command": "true", **keys}
    (folder / "relaymd-worker.json").write_text(json.dumps(document))


def nothing(folder: Path) -> None:
    pass


def a_file(folder: Path) -> None:
    folder.write_text("no folder")


def unspecified(folder: Path) -> None:
    folder.mkdir()
    (folder / "run.py").write_text("print(1)")


def twice_specified(folder: Path) -> None:
    specified(folder)
    (folder / "relaymd-worker.toml").write_text('command = "true"')


def broken(folder: Path) -> None:
    folder.mkdir()
    (folder / "relaymd-worker.json").write_text('{"command": ')


def linked_out(folder: Path) -> None:
    specified(folder)
    (folder / "data").symlink_to("../elsewhere")


def linked_to_a_secret(folder: Path) -> None:
    specified(folder)
    (folder / "hosts").symlink_to("/etc/hosts")


def with_a_pipe(folder: Path) -> None:
    specified(folder)
    os.mkfifo(folder / "pipe")


Make = Callable[[Path], None]


def with_keys(**keys: Any) -> Make:
    return lambda folder: specified(folder, **keys)


CASES: dict[str, tuple[Make, tuple[str, ...]]] = {
    "a folder that is not there": (nothing, ("does not exist",)),
    "a file": (a_file, ("is not a folder",)),
    "an empty folder": (Path.mkdir, ("is empty",)),
    "no specification": (unspecified, ("no specification", "relaymd-worker.json", "--command")),
    "two specifications": (twice_specified, ("several specifications",)),
    "a broken specification": (broken, ("relaymd-worker.json cannot be read",)),
    "an unknown key": (
        with_keys(checkpoint_wach_paths=["x"]),
        ("'checkpoint_wach_paths'", "did you mean 'checkpoint_watch_paths'?"),
    ),
    "an unknown key of a table": (
        with_keys(resources={"gpu": 1}),
        ("'resources.gpu'", "did you mean 'gpus'?"),
    ),
    "an ill-typed key": (with_keys(max_runtime_seconds="long"), ("max_runtime_seconds",)),
    "an empty command": (with_keys(command=""), ("command",)),
    "a command of nothing": (with_keys(command=[]), ("command",)),
    "a pattern that leaves the folder": (
        with_keys(checkpoint_watch_paths=["../*.chk"]),
        ("checkpoint_watch_paths", "../*.chk"),
    ),
    "an absolute pattern": (with_keys(outputs=["/etc/*"]), ("outputs", "/etc/*")),
    "a progress file elsewhere": (
        with_keys(progress_file_path="a/../../b"),
        ("progress_file_path",),
    ),
    "a negative time": (with_keys(max_runtime_seconds=-1), ("max_runtime_seconds",)),
    "a link out of the folder": (linked_out, ("data", "leaves the folder")),
    "a link to a file of the machine": (linked_to_a_secret, ("hosts", "leaves the folder")),
    "a pipe": (with_a_pipe, ("pipe",)),
}


@pytest.mark.parametrize("case", CASES)
async def test_submit_refuses_in_one_sentence_before_anything_is_done(
    up: Stack, tmp_path: Path, case: str
) -> None:
    make, said = CASES[case]
    make(tmp_path / "bundle")
    await refused(up, tmp_path / "bundle", said)


async def test_submit_refuses_a_file_that_changes_while_it_is_packed(
    up: Stack, tmp_path: Path
) -> None:
    specified(tmp_path / "bundle")
    growing = tmp_path / "bundle" / "trajectory.dcd"
    growing.write_bytes(os.urandom(32_000_000))

    async def grow() -> None:
        with growing.open("ab", buffering=0) as file:
            while True:
                file.write(b"frame")
                await asyncio.sleep(0.005)

    async with asyncio.TaskGroup() as tasks:
        growth = tasks.create_task(grow())
        await refused(up, tmp_path / "bundle", ("trajectory.dcd", "changed"))
        growth.cancel()


async def refused(up: Stack, bundle: Path, said: tuple[str, ...]) -> None:
    code, out, errors = await up.run("submit", bundle, "--title", "wrong")
    assert code == WRONG, errors
    assert out == ""
    assert len(errors.strip().splitlines()) == 1, errors
    assert "Traceback" not in errors
    for words in said:
        assert words in errors
    assert (await up.json("jobs"))["jobs"] == []
    assert [file for file in (up.state / "storage").rglob("*") if "jobs" in file.parts] == []
