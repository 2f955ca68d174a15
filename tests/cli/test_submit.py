"""`relaymd submit`: what it refuses before anything is uploaded, and what it registers."""

import json
import socket
import time
from pathlib import Path

import pytest

from relaymd.core.events import CancelRequested
from relaymd.core.ids import JobId
from relaymd.storage import keys
from relaymd.storage.bundles import digest_of
from tests.cli.conftest import Shell, Stack

WORDS = ("--title", "villin", "--command", "python run.py", "--checkpoint", "*.chk")


def folder(shell: Shell, specification: object = None) -> Path:
    made = shell.cwd / "bundle"
    made.mkdir()
    (made / "run.py").write_text("print('hello')")
    if specification is not None:
        (made / "relaymd-worker.json").write_text(json.dumps(specification))
    return made


def uploaded(stack: Stack) -> list[Path]:
    return [path for path in (stack.shell.state / "storage").rglob("*.tar.gz") if path.is_file()]


async def test_a_folder_becomes_a_job_whose_bundle_is_in_the_store(stack: Stack) -> None:
    answer = await stack.shell("submit", folder(stack.shell), *WORDS, "--priority", "3")
    assert (answer.code, answer.err) == (0, "")
    [job] = stack.desk.jobs.values()
    assert answer.out == f"{job.id}\n"
    assert (job.title, job.command, job.priority) == ("villin", "python run.py", 3)
    [archive] = uploaded(stack)
    assert job.bundle.key == keys.bundle(job.id)
    assert job.bundle.digest == digest_of(archive)
    assert job.bundle.size == archive.stat().st_size


async def test_json_is_the_registered_job(stack: Stack) -> None:
    answer = await stack.shell("submit", folder(stack.shell), *WORDS, "--json")
    assert answer.json["job"]["id"] in stack.desk.jobs
    assert answer.json["job"]["state"] == "queued"


async def test_the_command_line_counts_above_the_folders_specification(stack: Stack) -> None:
    specification = {
        "command": "python old.py",
        "checkpoint_glob_pattern": "old.chk",
        "resources": {"gpus": 2, "clusters": ["hpc"], "priority": 5},
    }
    made = folder(stack.shell, specification)
    answer = await stack.shell("submit", made, "--title", "t", "--command", "new", "--gpus", "0")
    assert answer.code == 0, answer.err
    [job] = stack.desk.jobs.values()
    assert (job.command, job.priority) == ("new", 5)
    assert (job.requirements.gpus, job.requirements.clusters) == (0, ("hpc",))


async def test_a_submit_whose_answer_was_lost_is_one_job(stack: Stack) -> None:
    stack.desk.silent_submits = 1
    answer = await stack.shell("submit", folder(stack.shell), *WORDS)
    assert answer.code == 0, answer.err
    assert len(stack.desk.submits) == 2
    assert len(stack.desk.jobs) == 1


async def test_a_refused_submit_leaves_nothing_in_the_store(stack: Stack) -> None:
    words = ("--title", "refuse me", *WORDS[2:])
    answer = await stack.shell("submit", folder(stack.shell), *words)
    assert (answer.code, answer.err) == (2, "relaymd: the title is not wanted here\n")
    assert uploaded(stack) == []


@pytest.mark.parametrize(
    ("specification", "words", "says"),
    [
        (None, ("--title", "t"), "no specification"),
        ({"command": "x", "comand": "y"}, ("--title", "t"), "did you mean 'command'?"),
        ({"command": 5}, ("--title", "t"), "command: expected"),
        ({"command": " "}, ("--title", "t"), "command: it is empty"),
        (None, ("--title", "t", "--command", ""), "command: it is empty"),
        (None, ("--title", " ", "--command", "x"), "--title: it is empty"),
        (None, ("--title", "t", "--command", "x", "--checkpoint", "../*"), "leaves the bundle"),
        (None, ("--title", "t", "--command", "x", "--checkpoint", "/a"), "must be relative"),
        (None, ("--title", "t", "--command", "x", "--output", "~/a"), "must be relative"),
        (None, ("--title", "t", "--command", "x", "--env", "A"), "must be NAME=VALUE"),
        (None, ("--title", "t", "--command", "x", "--interval", "0"), "more than 0 seconds"),
        (None, ("--command", "x"), "Missing option '--title'"),
        (None, ("--title", "t", "--gpus", "-1"), "-1 is not in the range"),
    ],
)
async def test_wrong_input_is_one_sentence_and_needs_no_server(
    shell: Shell, specification: object, words: tuple[str, ...], says: str
) -> None:
    answer = await shell("submit", folder(shell, specification), *words)
    assert answer.code == 2
    assert says in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("name", "says"),
    [("nowhere", "does not exist"), ("empty", "is empty"), ("file", "not a folder")],
)
async def test_a_folder_of_which_nothing_can_be_made_is_refused(
    shell: Shell, name: str, says: str
) -> None:
    (shell.cwd / "empty").mkdir()
    (shell.cwd / "file").write_text("x")
    answer = await shell("submit", name, *WORDS)
    assert (answer.code, says in answer.err) == (2, True)


async def test_a_link_that_leaves_the_folder_is_refused_before_an_upload(stack: Stack) -> None:
    made = folder(stack.shell)
    (made / "secret").symlink_to("/etc/passwd")
    answer = await stack.shell("submit", made, *WORDS)
    assert (answer.code, "leaves the folder" in answer.err) == (2, True)
    assert not stack.desk.submits
    assert uploaded(stack) == []


async def test_without_a_stack_it_says_so_at_once(shell: Shell) -> None:
    answer = await shell("submit", folder(shell), *WORDS)
    assert answer.code == 3
    assert answer.err.startswith("relaymd: no stack")
    assert "relaymd up" in answer.err


async def test_without_a_server_it_says_so_in_under_three_seconds(shell: Shell) -> None:
    made = folder(shell)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{closed.getsockname()[1]}"
        waited: list[float] = []
        while len(waited) < 5 and min(waited, default=9.0) >= 2.5:  # a busy machine has its moments
            begin = time.monotonic()
            await shell("version")
            start = time.monotonic() - begin  # what any command takes on this machine just now
            begin = time.monotonic()
            answer = await shell(
                *("submit", made, *WORDS), RELAYMD_NATS_URL=url, RELAYMD_NATS_PASSWORD="x"
            )
            waited.append(time.monotonic() - begin - start)
            assert answer.code == 3
            assert "cannot reach NATS at" in answer.err
            assert len(answer.err.splitlines()) == 1
    assert min(waited) < 2.5


async def test_watching_ends_with_the_job_and_says_how(stack: Stack) -> None:
    process = await stack.shell.start("submit", folder(stack.shell), *WORDS, "--watch")
    assert process.stdout is not None
    id = (await process.stdout.readline()).decode().strip()
    assert (await process.stdout.readline()).decode().rstrip().endswith("submitted: villin")
    stack.desk.record(JobId(id), CancelRequested(by="ada"))
    out, err = await process.communicate()
    assert out.decode().rstrip().endswith("cancel requested by ada")
    assert (process.returncode, err) == (1, b"")
