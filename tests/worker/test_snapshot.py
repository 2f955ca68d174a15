"""Copies in which no two moments are mixed."""

import os
import time
from pathlib import Path

import pytest

from relaymd.worker import snapshot
from relaymd.worker.snapshot import NotValidError, UnsettledError, Watched


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    for name in ("a.chk", "b.chk"):
        (tmp_path / "work" / name).write_text(name)
    age(tmp_path / "work" / "a.chk", tmp_path / "work" / "b.chk")
    return tmp_path / "work"


def age(*paths: Path) -> None:
    """Make it long ago that these were written."""
    for path in paths:
        os.utime(path, (time.time() - 60, time.time() - 60))


def staging(root: Path) -> Path:
    return root.parent / "staging"


def watched(root: Path, marker: str | None = None) -> Watched:
    return Watched(root=root, patterns=("*.chk",), marker=marker)


def test_a_first_copy_holds_every_file_with_its_mode_and_time(root: Path) -> None:
    (root / "a.chk").chmod(0o755)
    copied = snapshot.copy(watched(root), {}, staging(root))
    assert copied.changed == ("a.chk", "b.chk")
    copy = (staging(root) / "a.chk").stat()
    assert (staging(root) / "a.chk").read_text() == "a.chk"
    assert copy.st_mode & 0o777 == 0o755
    assert copy.st_mtime_ns == (root / "a.chk").stat().st_mtime_ns


def test_files_that_did_not_change_are_not_read_again(root: Path) -> None:
    known = snapshot.copy(watched(root), {}, staging(root)).look.files
    (root / "b.chk").write_text("new")
    age(root / "b.chk")
    again = snapshot.copy(watched(root), known, root.parent / "again")
    assert again.changed == ("b.chk",)
    assert not (root.parent / "again" / "a.chk").exists()


def test_a_file_replaced_by_one_of_the_same_size_and_time_has_changed(root: Path) -> None:
    known = snapshot.copy(watched(root), {}, staging(root)).look.files
    status = (root / "a.chk").stat()
    (root / "new").write_text("A.CHK")
    os.utime(root / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (root / "new").replace(root / "a.chk")
    assert snapshot.copy(watched(root), known, root.parent / "again").changed == ("a.chk",)


def test_without_its_marker_nothing_is_copied(root: Path) -> None:
    with pytest.raises(NotValidError, match="marker valid is not there"):
        snapshot.copy(watched(root, "valid"), {}, staging(root))


def test_with_its_marker_everything_is_copied(root: Path) -> None:
    (root / "valid").touch()
    assert len(snapshot.copy(watched(root, "valid"), {}, staging(root)).changed) == 2


def test_a_file_written_a_moment_ago_may_still_change_unseen(root: Path) -> None:
    """Two writes within one tick of the file system's clock look like one."""
    (root / "a.chk").write_text("just now")
    with pytest.raises(UnsettledError, match=r"a\.chk is being written"):
        snapshot.copy(watched(root), {}, staging(root))


def test_a_file_system_without_reflinks_copies(root: Path) -> None:
    (root / "big.chk").write_bytes(os.urandom(3_000_000))
    age(root / "big.chk")
    snapshot.copy(watched(root), {}, staging(root))
    assert (staging(root) / "big.chk").read_bytes() == (root / "big.chk").read_bytes()


def test_what_is_newer_is_a_new_marker_where_there_is_one(root: Path) -> None:
    (root / "valid").touch()
    before = snapshot.look(watched(root, "valid"))
    (root / "a.chk").write_text("rewritten")
    assert not snapshot.is_newer(snapshot.look(watched(root, "valid")), before, marked=True)
    (root / "valid").unlink()
    assert not snapshot.is_newer(snapshot.look(watched(root, "valid")), before, marked=True)
    (root / "again").touch()
    (root / "again").replace(root / "valid")
    assert snapshot.is_newer(snapshot.look(watched(root, "valid")), before, marked=True)


def test_a_file_that_only_grew_is_no_new_checkpoint(root: Path) -> None:
    before = snapshot.look(watched(root))
    with (root / "a.chk").open("a") as log:
        log.write("one more line")
    assert not snapshot.is_newer(snapshot.look(watched(root)), before, marked=False)
    (root / "b.chk").write_text("B.CHK")
    assert snapshot.is_newer(snapshot.look(watched(root)), before, marked=False)
