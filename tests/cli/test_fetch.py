"""`relaymd jobs fetch`: what comes, what is kept, what is said; nothing half-written is left."""

import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from relaymd.core.events import Assigned, Checkpointed, Completed, Failed, JobEvent, Started
from relaymd.core.ids import Epoch, UnixTime, WorkerId
from relaymd.core.lease import Lease
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.storage import keys
from relaymd.storage.open import open_store
from relaymd.storage.store import Store
from relaymd.storage.trees import upload_tree
from tests.cli.conftest import Answer, Shell, Stack
from tests.cli.desk import Desk, submission
from tests.storage.generation import JOB, save, write

FIRST = Epoch(1)
RESULTS = {"result.txt": b"42", "traj/a.dcd": b"frames" * 999}
FETCH = ("jobs", "fetch", JOB)


@dataclass
class Finished:
    """A job that ran under its first lease, and what that left in the store."""

    desk: Desk
    shell: Shell
    store: Store
    work: Path

    async def ends(self, event: JobEvent, files: dict[str, bytes] | None = None) -> None:
        """files: its results, or what its failure left; None: its specification names none."""
        if files is not None:
            place = keys.failures if isinstance(event, Failed) else keys.outputs
            await upload_tree(self.store, place(JOB, FIRST), write(self.work, files), ["**"])
        self.desk.record(JOB, event)

    async def saves(self, generation: int, files: dict[str, bytes]) -> list[str]:
        """The keys of the objects that this checkpoint needs."""
        checkpoint = await save(self.store, write(self.work, files), generation)
        self.desk.record(JOB, Checkpointed(epoch=FIRST, checkpoint=checkpoint))
        prefix = f"{keys.checkpoints(JOB)}packs/"
        return [info.key async for info in self.store.list(prefix)]

    async def __call__(self, *words: str | Path) -> Answer:
        return await self.shell(*FETCH, *words)

    def files(self, folder: str | Path) -> dict[str, bytes]:
        """All that lies there, hidden or not; empty folders do not count."""
        root = self.shell.cwd / folder
        found = [path for path in root.rglob("*") if not path.is_dir()]
        return {str(path.relative_to(root)): path.read_bytes() for path in found}


@pytest.fixture
async def job(stack: Stack, tmp_path: Path) -> AsyncGenerator[Finished]:
    stack.desk.add(submission(JOB))
    lease = Lease(epoch=FIRST, worker=WorkerId("w1"), granted_at=UnixTime(0.0))
    stack.desk.record(JOB, Assigned(lease=lease))
    stack.desk.record(JOB, Started(epoch=FIRST))
    async with open_store(stack.storage, stack.shell.state) as store:
        yield Finished(stack.desk, stack.shell, store, tmp_path / "work")


DONE = Completed(epoch=FIRST)
BROKEN = Failed(epoch=FIRST, end=AttemptEnd(outcome=Outcome.ENGINE_FAILED, reason="exit code 1"))


async def test_results_come_into_a_folder_of_the_jobs_name(job: Finished) -> None:
    await job.ends(DONE, RESULTS)
    answer = await job()
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == ["j-test/result.txt  2 B", "j-test/traj/a.dcd  6.0 kB"]
    assert job.files("j-test") == RESULTS


async def test_as_json_it_is_one_document_with_the_folder_and_sizes(job: Finished) -> None:
    await job.ends(DONE, RESULTS)
    answer = await job("--to", "out", "--json")
    sizes = {path: len(data) for path, data in RESULTS.items()}
    folder = str(job.shell.cwd / "out")
    assert answer.json == {"job": JOB, "folder": folder, "files": sizes}


async def test_a_list_names_sizes_and_hashes_and_downloads_nothing(job: Finished) -> None:
    await job.ends(DONE, RESULTS)
    answer = await job("--list")
    rows = [row.split() for row in answer.out.splitlines()]
    assert [row[-1] for row in rows] == [*RESULTS]
    assert {len(row[0]) for row in rows} == {64}
    listed = (await job("--list", "--json")).json
    assert [(file["path"], file["size"], file["digest"]) for file in listed["files"]] == [
        (path, len(data), row[0]) for (path, data), row in zip(RESULTS.items(), rows, strict=True)
    ]
    assert job.files(".") == {}


async def test_a_folder_that_is_there_keeps_what_is_its_own_and_what_is_right(
    job: Finished,
) -> None:
    await job.ends(DONE, RESULTS)
    mine = {"notes.txt": b"mine", "result.txt": b"42", "traj/a.dcd": b"an older one"}
    out = write(job.shell.cwd / "out", mine)
    before = os.stat(out / "result.txt").st_ino
    assert (await job("--to", "out")).code == 0
    assert job.files("out") == {"notes.txt": b"mine", **RESULTS}
    assert os.stat(out / "result.txt").st_ino == before


async def test_what_a_failure_left_is_fetched_and_listed(job: Finished) -> None:
    await job.ends(BROKEN, {"relaymd-stderr.txt": b"no CUDA"})
    assert (await job("--failure", "--list")).out.endswith("7 B  relaymd-stderr.txt\n")
    assert (await job("--failure", "--to", "out")).code == 0
    assert job.files("out") == {"relaymd-stderr.txt": b"no CUDA"}


@pytest.mark.parametrize("words", [(), ("--list",)])
async def test_a_job_without_outputs_has_no_results_and_says_why(
    job: Finished, words: tuple[str, ...]
) -> None:
    await job.ends(DONE)
    answer = await job(*words)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "j-test has no results: its specification names no outputs\n"
    assert (await job(*words, "--json")).json["files"] in ({}, [])
    assert not (job.shell.cwd / JOB).exists()


@pytest.mark.parametrize("words", [(), ("--list",)])
async def test_where_no_attempt_failed_there_is_nothing_of_a_failure(
    job: Finished, words: tuple[str, ...]
) -> None:
    answer = await job("--failure", *words)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "j-test has no failed attempt that left anything\n"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("jobs", "fetch", "j-none"), 4, "0 jobs have an id that begins j-none"),
        (FETCH, 1, "j-test is running; it has results once it is completed"),
        ((*FETCH, "--checkpoint"), 1, "j-test has no checkpoint yet"),
        ((*FETCH, "--checkpoint", "--list"), 2, "--checkpoint goes with neither"),
        ((*FETCH, "--checkpoint", "--failure"), 2, "--checkpoint goes with neither"),
        ((*FETCH, "--to", "a-file"), 2, "is a file"),
        ((*FETCH, "--failure", "--to", "a-file/out"), 1, "a-file"),
    ],
)
async def test_what_cannot_be_is_one_sentence_and_leaves_nothing(
    job: Finished, words: tuple[str, ...], code: int, says: str
) -> None:
    (job.shell.cwd / "a-file").write_bytes(b"mine")
    if "a-file/out" in words:
        await job.ends(BROKEN, {"relaymd-stderr.txt": b"no CUDA"})
    answer = await job.shell(*words)
    assert (answer.code, answer.out, says in answer.err) == (code, "", True), answer.err
    assert "Traceback" not in answer.err
    assert job.files(".") == {"a-file": b"mine"}


async def test_a_damaged_result_is_told_and_what_lies_in_its_place_stays(job: Finished) -> None:
    await job.ends(DONE, RESULTS)
    key = keys.outputs(JOB, FIRST) + "result.txt"
    await job.store.put(key, b"43")
    write(job.shell.cwd / "out", {"result.txt": b"mine"})
    answer = await job("--to", "out")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"relaymd: Storage: {key}: its hash differs\n"
    left = job.files("out")
    assert left.pop("result.txt") == b"mine"
    assert left.items() <= RESULTS.items()


async def test_a_result_that_is_gone_is_told(job: Finished) -> None:
    await job.ends(DONE, RESULTS)
    key = keys.outputs(JOB, FIRST) + "result.txt"
    await job.store.delete([key])
    answer = await job("--to", "out")
    assert answer.code == 1
    assert answer.err == f"relaymd: Storage: {key}: it is not in the store\n"
    assert job.files("out").items() <= RESULTS.items()


@pytest.mark.parametrize("words", [("--to", "out"), ("--list",)])
async def test_results_whose_index_is_gone_are_not_taken_for_none(
    job: Finished, words: tuple[str, ...]
) -> None:
    await job.ends(DONE, RESULTS)
    await job.store.delete([keys.index(keys.outputs(JOB, FIRST))])
    answer = await job(*words)
    assert (answer.code, answer.out) == (1, "")
    assert "outputs/000001.json: it is not in the store" in answer.err
    assert job.files(".") == {}


async def test_a_folder_where_a_result_should_be_is_named(job: Finished) -> None:
    await job.ends(DONE, RESULTS)
    write(job.shell.cwd / "out", {"result.txt/mine": b"mine"})
    answer = await job("--to", "out")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "relaymd: out/result.txt: Is a directory\n"
    left = job.files("out")
    assert left.pop("result.txt/mine") == b"mine"
    assert left.items() <= RESULTS.items()


async def test_a_result_with_a_name_as_long_as_a_name_can_be(job: Finished) -> None:
    long = {"n" * 255: b"42"}
    await job.ends(DONE, long)
    assert (await job("--to", "out")).code == 0
    assert job.files("out") == long


async def test_the_newest_checkpoint_comes_into_the_folder(job: Finished) -> None:
    await job.saves(1, {"state.xml": b"step 1"})
    await job.saves(2, {"state.xml": b"step 2", "out.log": b"line"})
    answer = await job("--checkpoint", "--to", "now")
    assert answer.out.splitlines() == ["now/out.log  4 B", "now/state.xml  6 B"]
    assert job.files("now") == {"state.xml": b"step 2", "out.log": b"line"}


async def test_a_checkpoint_that_is_damaged_is_told_and_the_one_before_comes(
    job: Finished,
) -> None:
    first = await job.saves(1, {"state.xml": b"step 1"})
    both = await job.saves(2, {"state.xml": b"step 2"})
    for key in {*both} - {*first}:
        await job.store.put(key, b"not this")
    answer = await job("--checkpoint", "--to", "now")
    assert (answer.code, answer.out) == (0, "now/state.xml  6 B\n")
    assert answer.err.startswith("generation 2 is damaged: ")
    assert job.files("now") == {"state.xml": b"step 1"}


async def test_where_no_checkpoint_is_whole_nothing_is_left(job: Finished) -> None:
    for key in await job.saves(1, {"state.xml": b"step 1"}):
        await job.store.put(key, b"not this")
    write(job.shell.cwd / "now", {"state.xml": b"mine"})
    answer = await job("--checkpoint", "--to", "now")
    assert (answer.code, answer.out) == (1, "")
    assert "no generation is whole: generation 1 is damaged" in answer.err
    assert job.files("now") == {"state.xml": b"mine"}
