"""A thousand archives of combined tricks: unpacked within bounds, or refused, and nothing else."""

import os
import stat
import time
from pathlib import Path

import pytest

from relaymd.storage.bundles import InvalidBundleError
from relaymd.storage.unpacking import unpack
from tests.hostile.archives import forged
from tests.hostile.payloads import CASES, SEED, check_sentence, generator
from tests.storage.test_unpacking import SMALL, tree_of

pytestmark = pytest.mark.hostile

LONGEST = 5.0
"""Seconds of computing for one archive of these limits, on a slow machine."""


def check_contents(out: Path) -> None:
    """What was unpacked is within the limits, plain, and of this folder alone."""
    count, size = 0, 0
    seen = set[int]()
    for folder, folders, files in os.walk(out):
        for name in [*folders, *files]:
            path = Path(folder) / name
            status = path.lstat()
            count += 1
            if stat.S_ISLNK(status.st_mode):
                assert path.resolve().is_relative_to(out.resolve()), path
                continue
            assert stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode), path
            assert not status.st_mode & 0o7000, path
            if stat.S_ISREG(status.st_mode) and status.st_ino not in seen:
                seen.add(status.st_ino)
                size += status.st_size
    assert count <= SMALL.members
    assert size <= SMALL.size


def test_no_archive_does_more_than_it_may(tmp_path: Path) -> None:
    outside, jail = tmp_path / "outside", tmp_path / "jail"
    outside.mkdir()
    jail.mkdir()
    (outside / "victim").write_bytes(b"mine")
    (outside / "victim").chmod(0o640)
    before = (tree_of(outside), (outside / "victim").stat())
    rng = generator("archives")
    taken = 0
    for number in range(CASES):
        (tmp_path / "a.tar.gz").write_bytes(forged(rng, os.fsencode(outside)))
        out = jail / f"out-{number}"
        began = time.process_time()
        try:
            try:
                unpack(tmp_path / "a.tar.gz", out, SMALL)
            except InvalidBundleError as exc:
                check_sentence(str(exc))
                assert not [*jail.iterdir()], "it left something"
            else:
                taken += 1
                check_contents(out)
                os.rename(out, tmp_path / "taken")
                remove(tmp_path / "taken")
            assert time.process_time() - began < LONGEST
            assert {path.name for path in tmp_path.iterdir()} == {"a.tar.gz", "jail", "outside"}
            now = (outside / "victim").stat()
            assert (tree_of(outside), now.st_mode, now.st_nlink, now.st_mtime_ns) == (
                before[0],
                before[1].st_mode,
                before[1].st_nlink,
                before[1].st_mtime_ns,
            )
        except BaseException as exc:
            exc.add_note(f"archive {number} of RELAYMD_FUZZ_SEED={SEED}")
            raise
    assert CASES / 10 < taken < CASES * 0.8, "the tricks are too crude, or none"


def remove(folder: Path) -> None:
    for place, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(place, name))
        for name in folders:
            path = os.path.join(place, name)
            (os.unlink if os.path.islink(path) else os.rmdir)(path)
    os.rmdir(folder)
