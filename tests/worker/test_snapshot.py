"""Copies in which no two moments are mixed."""

import os
import time
from pathlib import Path

import pytest

from relaymd.storage.reading import Print
from relaymd.worker import snapshot
from relaymd.worker.snapshot import Moment, NotValidError, UnsettledError, Watched


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


def taken(root: Path, known: dict[str, Print] | None = None, marker: str | None = None) -> Moment:
    return snapshot.take(watched(root, marker), known or {}, staging(root))


def changed(moment: Moment) -> list[str]:
    return [source.path for source in moment.changed]


def test_a_first_look_takes_every_file_as_it_is(root: Path) -> None:
    (root / "a.chk").chmod(0o755)
    moment = taken(root)
    assert changed(moment) == ["a.chk", "b.chk"]
    assert [source.place.read_text() for source in moment.changed] == ["a.chk", "b.chk"]
    assert moment.changed[0].print.mode == 0o755
    assert moment.changed[0].print.mtime_ns == (root / "a.chk").stat().st_mtime_ns


def test_files_that_did_not_change_are_not_read_again(root: Path) -> None:
    known = taken(root).look.files
    (root / "b.chk").write_text("new")
    age(root / "b.chk")
    assert changed(taken(root, known)) == ["b.chk"]


def test_a_file_replaced_by_one_of_the_same_size_and_time_has_changed(root: Path) -> None:
    known = taken(root).look.files
    status = (root / "a.chk").stat()
    (root / "new").write_text("A.CHK")
    os.utime(root / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (root / "new").replace(root / "a.chk")
    assert changed(taken(root, known)) == ["a.chk"]


def test_without_its_marker_nothing_is_taken(root: Path) -> None:
    with pytest.raises(NotValidError, match="marker valid is not there"):
        taken(root, marker="valid")


def test_with_its_marker_everything_is_taken_unless_it_changes_meanwhile(root: Path) -> None:
    (root / "valid").touch()
    moment = taken(root, marker="valid")
    assert len(moment.changed) == 2
    snapshot.check(watched(root, "valid"), moment.look, ())
    (root / "valid").unlink()
    with pytest.raises(UnsettledError, match="marker valid changed"):
        snapshot.check(watched(root, "valid"), moment.look, ())


def test_a_file_written_a_moment_ago_may_still_change_unseen(root: Path) -> None:
    """Two writes within one tick of the file system's clock look like one."""
    (root / "a.chk").write_text("just now")
    with pytest.raises(UnsettledError, match=r"a\.chk is being written"):
        taken(root)


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
