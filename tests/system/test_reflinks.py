"""Checkpoints where the file system can share blocks: a real XFS, in a file, mounted."""

import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from relaymd.worker import snapshot
from relaymd.worker.snapshot import Watched

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
SIZE = 400 * 1024**2
"""The least that mkfs.xfs takes is 300 MiB; the file has holes."""


@pytest.fixture(scope="module")
def xfs(tmp_path_factory: pytest.TempPathFactory) -> Generator[Path]:
    if os.geteuid() != 0 or shutil.which("mkfs.xfs") is None:
        pytest.skip("only root mounts, and mkfs.xfs is in the package xfsprogs")
    folder = tmp_path_factory.mktemp("xfs")
    image, place = folder / "image", folder / "mounted"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(SIZE)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_what_is_read_is_the_moment_whatever_is_written_behind_it(xfs: Path) -> None:
    work, staging = xfs / "work", xfs / "staging"
    work.mkdir()
    trajectory = work / "run.dcd"
    trajectory.write_bytes(b"now" * 1_000_000)
    os.utime(trajectory, (1e9, 1e9))
    moment = snapshot.take(Watched(root=work, patterns=("*.dcd",)), {}, staging)
    with trajectory.open("r+b") as file:
        file.write(b"later" * 600_000)
    (source,) = moment.changed
    assert source.quiet, "a clone, which nobody writes"
    assert source.place.is_relative_to(staging)
    assert source.place.read_bytes() == b"now" * 1_000_000


def test_the_tests_of_checkpoints_hold_on_such_a_file_system(xfs: Path) -> None:
    tests = [f"tests/worker/test_{name}.py" for name in ("snapshot", "gathering", "cycle")]
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(
        [*words, f"--basetemp={xfs / 'tests'}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert " passed" in done.stdout
