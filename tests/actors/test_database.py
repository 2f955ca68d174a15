"""The ledger's file: ours, up to date, held by one, or refused in one sentence."""

import asyncio
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from relaymd.actors.database import open_database
from relaymd.actors.disk import Batch, DatabaseError, DiskError
from relaymd.actors.filesystems import unsafe
from relaymd.actors.inline import InlineSession, open_inline
from relaymd.actors.migrations import MIGRATIONS
from relaymd.actors.schema import APPLICATION, migrate
from tests.actors.office import opened

MOUNTS = (
    "20 1 8:1 / / rw - ext4 /dev/sda1 rw",
    "21 20 0:20 / /home rw - nfs4 server:/home rw",
    r"22 20 8:2 / /scratch\040disk rw - xfs /dev/sdb rw",
    "23 21 0:21 / /home/me/local rw - tmpfs tmpfs rw",
)


async def test_a_fresh_file_can_be_used_and_is_durable(tmp_path: Path) -> None:
    path = tmp_path / "relaymd.db"
    async with opened(path) as office:
        await office.operator.submit()

    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert file.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert file.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
        assert file.execute("SELECT id, state FROM jobs").fetchall() == [("j1", "queued")]


@pytest.mark.parametrize("version", range(len(MIGRATIONS) + 1))
async def test_a_file_of_every_earlier_version_is_brought_up_to_date(
    tmp_path: Path, version: int
) -> None:
    path = tmp_path / "relaymd.db"
    write_version(path, MIGRATIONS[:version])
    async with opened(path) as office:
        await office.operator.submit()
        assert (await office.operator.show()).id == "j1"


async def test_steps_added_later_run_on_a_file_that_holds_jobs(tmp_path: Path) -> None:
    path = tmp_path / "relaymd.db"
    async with opened(path) as office:
        await office.operator.submit()

    later = [*MIGRATIONS, ("ALTER TABLE jobs ADD COLUMN colour TEXT DEFAULT 'red'",)]
    with closing(sqlite3.connect(path, isolation_level="IMMEDIATE")) as file:
        await migrate(InlineSession(file), later)
        await migrate(InlineSession(file), later)
        assert file.execute("SELECT id, colour FROM jobs").fetchall() == [("j1", "red")]
        assert file.execute("PRAGMA user_version").fetchone() == (len(later),)


async def test_a_step_that_fails_leaves_the_version_before(tmp_path: Path) -> None:
    path = tmp_path / "relaymd.db"
    write_version(path, MIGRATIONS)
    broken = [*MIGRATIONS, ("CREATE TABLE colours (name TEXT)", "CREATE TABLE jobs (id TEXT)")]
    with closing(sqlite3.connect(path, isolation_level="IMMEDIATE")) as file:
        with pytest.raises(DiskError):
            await migrate(InlineSession(file), broken)
        assert file.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert not file.execute("SELECT * FROM sqlite_schema WHERE name = 'colours'").fetchall()


async def test_a_file_of_a_newer_program_is_refused_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "relaymd.db"
    write_version(path, [*MIGRATIONS, ("CREATE TABLE future (x)",)])
    before = path.read_bytes()

    with pytest.raises(DatabaseError, match=r"was written by a newer RelayMD .* install that one"):
        async with open_database(path):
            pass
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    assert len(path.read_bytes()) == len(before)


async def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "relaymd.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE theirs (x)")

    with pytest.raises(DatabaseError, match="is a database of another program"):
        async with open_database(path):
            pass


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "relaymd.db"
    path.write_bytes(b"this is a text, and a rather long one" * 100)

    with pytest.raises(DatabaseError, match="cannot be used as a ledger"):
        async with open_database(path):
            pass
    assert path.read_bytes().startswith(b"this is a text")


async def test_a_file_in_use_is_refused_until_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "relaymd.db"
    async with open_database(path):
        with pytest.raises(DatabaseError, match="is in use by another process"):
            async with open_database(path):
                pass
    async with open_database(path):
        pass


async def test_the_kernel_lets_go_of_the_file_when_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "relaymd.db"
    command = (sys.executable, "-m", "tests.actors.writer", str(path), "0")
    root = Path(__file__).parents[2]
    writer = await asyncio.create_subprocess_exec(
        *command, cwd=root, stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdout is not None
    await writer.stdout.readline()
    with pytest.raises(DatabaseError, match="in use"):
        async with open_database(path):
            pass
    writer.kill()
    await writer.communicate()
    async with open_database(path) as disk:
        assert (await disk.load()).jobs


async def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot be opened: No such file"):
        async with open_database(tmp_path / "missing" / "relaymd.db"):
            pass


async def test_a_batch_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as office:
        await office.operator.submit()
        (row,) = await office.ledger.archive.events_after(0, limit=1)
        (job,) = office.ledger.jobs.values()

    async with open_inline() as disk:
        await disk.commit(Batch(events=[row]))
        with pytest.raises(DiskError):
            await disk.commit(Batch(jobs={job.id: job}, events=[row]))
        assert not (await disk.load()).jobs


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/x", None),
        ("/home/me/x", "nfs4"),
        ("/scratch disk/x", None),
        ("/home/me/local/x", None),
        ("/home", "nfs4"),
        ("/homeless/x", None),
    ],
)
def test_a_network_file_system_is_known_by_its_mount(path: str, kind: str | None) -> None:
    assert unsafe(Path(path), MOUNTS) == kind


def test_of_two_mounts_at_one_place_the_later_counts() -> None:
    assert unsafe(Path("/x"), [MOUNTS[0], "30 1 0:9 / / rw - lustre a rw"]) == "lustre"


def write_version(path: Path, steps: Sequence[Sequence[str]]) -> None:
    """A file as a release with these steps left it."""
    with closing(sqlite3.connect(path)) as file:
        for step in steps:
            for sql in step:
                file.execute(sql)
        if steps:
            file.execute(f"PRAGMA application_id = {APPLICATION}")
            file.execute(f"PRAGMA user_version = {len(steps)}")
        file.commit()
