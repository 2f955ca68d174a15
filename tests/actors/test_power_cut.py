"""A writer that is killed at any moment loses nothing that it acknowledged."""

import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from relaymd.core.job import JobState

REPOSITORY = Path(__file__).parents[2]


def killed_after(path: Path, first: int, lines: int) -> dict[str, str]:
    """Run a writer, kill it when it has acknowledged so many, and give all it said."""
    command = [sys.executable, "-m", "tests.actors.writer", str(path), str(first)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        said += writer.stdout.readlines()
    return dict(line.split() for line in said if line.endswith("\n"))


def test_kill_9_loses_no_acknowledged_record_and_leaves_no_gap(tmp_path: Path) -> None:
    path = tmp_path / "relaymd.db"
    rng = random.Random(7)
    acknowledged: dict[str, str] = {}
    for life in range(3):
        acknowledged |= killed_after(path, life * 1_000_000, rng.randint(1, 300))

    with closing(sqlite3.connect(path)) as file:
        jobs = dict(file.execute("SELECT id, state FROM jobs"))
        seqs = [seq for (seq,) in file.execute("SELECT seq FROM events ORDER BY seq")]
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert {id: jobs.get(id) for id in acknowledged} == acknowledged
    assert seqs == [*range(1, len(seqs) + 1)]
    assert {*jobs.values()} <= {JobState.QUEUED, JobState.CANCELLED}
