"""The water example under a real engine: stopped, killed, resumed, and still every step once."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from examples.demo import verify

BUNDLE = Path(__file__).resolve().parents[2] / "examples" / "openmm-water"
STEPS = 2000


pytestmark = pytest.mark.system
"""A real engine, for a quarter of a minute."""


@pytest.fixture(scope="module")
def relayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped by SIGTERM, then killed, then finished."""
    folder = tmp_path_factory.mktemp("water")
    shutil.copy(BUNDLE / "run.py", folder)
    assert interrupted(folder, signal.SIGTERM, after=300) == 143
    assert interrupted(folder, signal.SIGKILL, after=1000) == -signal.SIGKILL
    assert start(folder).wait(timeout=60) == 0
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "WATER_STEPS": str(STEPS), "OPENMM_CPU_THREADS": "1"}
    return subprocess.Popen([sys.executable, "run.py"], cwd=folder, env=environment)


def interrupted(folder: Path, how: signal.Signals, *, after: int) -> int:
    """Run until it says that it has come so far, then send the signal; the exit code."""
    with start(folder) as engine:
        deadline = time.monotonic() + 60
        while step(folder) < after and time.monotonic() < deadline:
            assert engine.poll() is None, "it ended before it was interrupted"
            time.sleep(0.01)
        engine.send_signal(how)
        return engine.wait(timeout=30)


def step(folder: Path) -> int:
    try:
        return int(msgspec.json.decode((folder / "progress.json").read_bytes())["step"])
    except FileNotFoundError:
        return 0


def checks(folder: Path) -> list[verify.Check]:
    return verify.check(folder, total_steps=STEPS, row_every=50, frame_every=100)


def broken(folder: Path) -> list[str]:
    return [check.says for check in checks(folder) if not check.holds]


def test_every_step_is_there_once_after_a_drain_and_a_kill(relayed: Path) -> None:
    assert broken(relayed) == []


def test_the_energy_is_the_same_on_both_sides_of_each_handover(relayed: Path) -> None:
    found = verify.check_handovers(
        verify.read_handovers(relayed / "handovers.csv"),
        verify.read_energies(relayed / "energies.csv"),
    )

    assert len(found) == 2
    assert all(check.holds for check in found)


def test_what_was_written_after_the_checkpoint_is_cut_off(relayed: Path, tmp_path: Path) -> None:
    copy = copied(relayed, tmp_path)
    with (copy / "energies.csv").open("a") as rows:
        rows.write("2050,4.1,0,0,0\n")
    assert start(copy).wait(timeout=60) == 0

    assert verify.read_energies(copy / "energies.csv")[-1].step == STEPS


def test_a_file_that_is_shorter_than_its_checkpoint_says_ends_the_run(
    relayed: Path, tmp_path: Path
) -> None:
    copy = copied(relayed, tmp_path)
    os.truncate(copy / "trajectory.xtc", 100)

    assert start(copy).wait(timeout=60) == 1


@pytest.mark.parametrize("edit", ["double", "drop", "swap"])
def test_the_proof_fails_where_a_row_is_doubled_missing_or_moved(
    relayed: Path, tmp_path: Path, edit: str
) -> None:
    copy = copied(relayed, tmp_path)
    lines = (copy / "energies.csv").read_text().splitlines(keepends=True)
    edited = {
        "double": [*lines[:10], lines[9], *lines[10:]],
        "drop": [*lines[:10], *lines[11:]],
        "swap": [*lines[:9], lines[10], lines[9], *lines[11:]],
    }
    (copy / "energies.csv").write_text("".join(edited[edit]))

    assert any(says.startswith("energies.csv") for says in broken(copy))


def test_the_proof_fails_where_the_trajectory_is_torn(relayed: Path, tmp_path: Path) -> None:
    copy = copied(relayed, tmp_path)
    os.truncate(copy / "trajectory.xtc", (copy / "trajectory.xtc").stat().st_size - 1000)

    assert [says.partition(":")[0] for says in broken(copy)] == ["trajectory.xtc cannot be read"]


def test_the_proof_fails_where_frames_are_doubled(relayed: Path, tmp_path: Path) -> None:
    copy = copied(relayed, tmp_path)
    content = (copy / "trajectory.xtc").read_bytes()
    (copy / "trajectory.xtc").write_bytes(content + content)

    assert any(says.startswith("trajectory.xtc: frames") for says in broken(copy))


def test_a_frame_of_another_step_is_noticed_by_its_energy(relayed: Path) -> None:
    steps, positions = verify.read_frames(relayed / "trajectory.xtc")
    rows = verify.read_energies(relayed / "energies.csv")
    shifted = positions[[0, *range(len(steps) - 1)]]

    assert verify.check_frames(relayed / "system.xml", steps, positions, rows).holds
    assert not verify.check_frames(relayed / "system.xml", steps, shifted, rows).holds


def copied(folder: Path, into: Path) -> Path:
    return Path(shutil.copytree(folder, into / "copy"))
