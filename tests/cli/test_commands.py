"""The commands that ask: lists, details, changes, events; and how they say no."""

import json

import pytest

from relaymd.core.events import CancelRequested
from relaymd.core.ids import InstanceId, UnixTime, WorkerId
from relaymd.core.quarantine import Quarantine
from relaymd.core.resources import Gpu
from relaymd.core.worker import Worker
from tests.cli.conftest import Shell, Stack
from tests.cli.desk import submission


async def test_a_noun_alone_lists(stack: Stack) -> None:
    stack.desk.add(submission("j-alpha", "villin"))
    answer = await stack.shell("jobs")
    assert answer.code == 0
    head, row = answer.out.splitlines()
    assert head.startswith("JOB")
    assert row.startswith("j-alpha  villin  queued")
    assert "\x1b" not in answer.out


async def test_a_list_of_jobs_is_narrowed_by_states_as_they_are_shown(stack: Stack) -> None:
    stack.desk.add(submission("j-alpha"))
    waiting = await stack.shell("jobs", "--state", "queued", "--state", "running", "--json")
    assert [one["job"]["id"] for one in waiting.json["jobs"]] == ["j-alpha"]
    assert (await stack.shell("jobs", "--state", "completed", "--json")).json["jobs"] == []


async def test_a_state_folder_on_the_command_line_counts_above_the_environment(
    stack: Stack,
) -> None:
    stack.desk.add(submission("j-alpha"))
    words = ("--state-dir", stack.shell.state, "jobs", "--json")
    answer = await stack.shell(*words, RELAYMD_STATE_DIR="/nowhere")
    assert answer.json["jobs"][0]["job"]["id"] == "j-alpha"
    elsewhere = await stack.shell("--state-dir", "other", "jobs")
    assert elsewhere.code == 3
    assert f"no stack is running in {stack.shell.cwd / 'other'}" in elsewhere.err


async def test_json_is_one_document_in_the_shape_of_the_contract(stack: Stack) -> None:
    stack.desk.add(submission("j-alpha"))
    assert (await stack.shell("jobs", "--json")).json["jobs"][0]["job"]["id"] == "j-alpha"
    shown = (await stack.shell("jobs", "show", "j-a", "--json")).json
    assert shown["view"]["job"]["id"] == "j-alpha"
    assert (await stack.shell("workers", "--json")).json == {"workers": []}


async def test_an_id_may_be_cut_while_it_is_the_only_one(stack: Stack) -> None:
    stack.desk.add(submission("j-alpha"))
    stack.desk.add(submission("j-beta"))
    answer = await stack.shell("jobs", "cancel", "j-b")
    assert (answer.code, answer.out) == (0, "j-beta is cancelled\n")
    answer = await stack.shell("jobs", "cancel", "j-")
    assert (answer.code, answer.out) == (2, "")


async def test_a_requeue_keeps_the_id(stack: Stack) -> None:
    job = stack.desk.add(submission("j-alpha"))
    stack.desk.record(job.id, CancelRequested())
    answer = await stack.shell("jobs", "requeue", "j-alpha", "--json")
    assert (answer.json["job"]["id"], answer.json["job"]["state"]) == ("j-alpha", "queued")


async def test_a_conflict_is_one_sentence_and_its_own_exit_code(stack: Stack) -> None:
    stack.desk.add(submission("j-alpha"))
    answer = await stack.shell("jobs", "requeue", "j-alpha")
    assert answer.code == 4
    assert answer.err == "relaymd: job j-alpha is queued and cannot become queued\n"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("jobs", "show", "j-none"), 4, "0 jobs have an id that begins j-none"),
        (("jobs", "show", "a b"), 2, "cannot be a job's id"),
        (("jobs", "--state", "lost"), 2, "is not one of"),
        (("workers", "drain", "w-none"), 4, "there is no worker w-none"),
        (("jobs", "frobnicate"), 2, "No such command"),
        (("jbos",), 2, "Did you mean 'jobs'?"),
        (("jobs", "cancle", "j-a"), 2, "Did you mean 'cancel'?"),
    ],
)
async def test_what_is_not_there_is_said_in_one_sentence(
    stack: Stack, words: tuple[str, ...], code: int, says: str
) -> None:
    answer = await stack.shell(*words)
    assert (answer.code, says in answer.err) == (code, True), answer.err
    assert "Traceback" not in answer.err


async def test_events_are_what_is_stored_and_with_f_what_comes(stack: Stack) -> None:
    job = stack.desk.add(submission("j-alpha"))
    process = await stack.shell.start("events", "-f", "--json")
    assert process.stdout is not None
    first = json.loads(await process.stdout.readline())
    stack.desk.record(job.id, CancelRequested())
    second = json.loads(await process.stdout.readline())
    process.terminate()
    await process.communicate()
    assert [first["kind"], second["kind"]] == ["submitted", "cancel-requested"]


async def test_where_nothing_happened_it_says_so_and_prints_nothing(stack: Stack) -> None:
    answer = await stack.shell("events")
    assert (answer.code, answer.out, answer.err) == (0, "", "No events.\n")


async def test_an_unknown_configuration_key_stops_every_command(shell: Shell) -> None:
    (shell.cwd / "relaymd-config.yaml").write_text("storge: {}")
    answer = await shell("jobs")
    assert answer.code == 2
    assert "did you mean 'storage'?" in answer.err


async def test_the_configuration_is_explained_without_a_stack_and_without_secrets(
    shell: Shell,
) -> None:
    answer = await shell("config", "explain", "--json", RELAYMD_NATS_PASSWORD="canary-9d")
    found = {one["key"]: one for one in answer.json}
    assert found["nats_password"]["origin"] == "environment:RELAYMD_NATS_PASSWORD"
    assert "canary-9d" not in answer.out


async def test_a_misspelt_variable_is_a_warning_and_no_end(shell: Shell) -> None:
    answer = await shell("config", RELAYMD_LOCAL_WORKRS="2")
    assert answer.code == 0
    assert "did you mean RELAYMD_LOCAL_WORKERS?" in answer.err


async def test_a_title_cannot_steer_the_terminal_that_shows_it(stack: Stack) -> None:
    stack.desk.add(submission("j-alpha", "evil \x1b[2J\ntitle"))
    for words in (("jobs",), ("jobs", "show", "j-alpha"), ("events",)):
        answer = await stack.shell(*words)
        assert "\x1b" not in answer.out
        assert "evil \\x1b[2J\\ntitle" in answer.out or words[1:] == ("show", "j-alpha")


async def test_help_needs_neither_the_bus_nor_the_store(shell: Shell) -> None:
    answer = await shell("--help", PYTHONPROFILEIMPORTTIME="1")
    assert answer.code == 0
    assert "submit" in answer.out
    for module in ("msgspec", "nats", "aiohttp", "aioboto3", "rich", "structlog", "yaml"):
        assert f" {module}\n" not in answer.err


async def test_a_worker_in_quarantine_is_named_with_the_reason_and_can_be_released(
    stack: Stack,
) -> None:
    gpus = (Gpu(model="NVIDIA A100"),) * 2
    worker = Worker(
        id=WorkerId("w-1"),
        instance=InstanceId("i-1"),
        host="n7",
        gpus=gpus,
        registered_at=UnixTime(0.0),
    )
    stack.desk.workers.append(worker)
    reason = "2 jobs ended badly there: no CUDA"
    stack.desk.quarantined[worker.id] = Quarantine(until=UnixTime(2e9), reason=reason)
    shown = await stack.shell("workers")
    assert "quarantined" in shown.out
    assert "2 × NVIDIA A100" in shown.out
    assert reason in shown.out
    released = await stack.shell("workers", "release", "w-1")
    assert (released.code, released.out) == (0, "w-1 gets work again\n")
    assert "quarantined" not in (await stack.shell("workers")).out
