"""Files in memory: what is done with them ends as it does on a real disk."""

from pathlib import Path

import pytest

from relaymd.worker import files, snapshot
from tests.simulation.drive import Drive, ModelDrive, RealDrive
from tests.simulation.many import shape_of
from tests.simulation.run import USUAL, simulate
from tests.simulation.world import Shape

OPEN = Shape(**{**vars(USUAL), "slots": 0})


@pytest.mark.parametrize("seed", range(10))
def test_a_run_on_real_files_is_the_same_to_the_byte(seed: int, tmp_path: Path) -> None:
    """With all faults: every generation, every restore, every letter of every worker."""
    shape = shape_of(seed, OPEN)
    real = simulate(seed, shape, real_files=tmp_path, digested=True)

    assert real.digest == simulate(seed, shape, digested=True).digest
    assert any(tmp_path.rglob("*")), "its nodes had files"


@pytest.fixture(params=[ModelDrive, RealDrive])
def drive(request: pytest.FixtureRequest) -> Drive:
    made: Drive = request.param()
    return made


def changed(drive: Drive, watched: snapshot.Watched, before: snapshot.Look) -> list[str]:
    return snapshot.changes(drive.do(snapshot.look, watched).files, before.files)


def test_a_file_that_was_replaced_or_written_looks_changed(drive: Drive, tmp_path: Path) -> None:
    drive.do(files.make_folders, tmp_path / "work")
    for name in ("a", "b", "c"):
        drive.write(tmp_path / "work" / name, b"one", 1.0)
    watched = snapshot.Watched(root=tmp_path / "work", patterns=("*",))
    before = drive.do(snapshot.look, watched)

    drive.write(tmp_path / "work" / "a", b"two", 2.0)
    drive.write(tmp_path / "fresh", b"one", 1.0)
    drive.rename(tmp_path / "fresh", tmp_path / "work" / "b")

    assert changed(drive, watched, before) == ["a", "b"]


def test_what_is_not_there_is_not_there(drive: Drive, tmp_path: Path) -> None:
    missing = tmp_path / "missing"

    assert drive.do(files.read_part, missing, 0, 10) == b""
    assert drive.do(files.tail, missing, 10) == b""
    assert drive.do(files.read_small, missing) is None
    assert drive.do(snapshot.print_of, missing) is None
    assert drive.do(files.read_all, missing) == {}
    assert drive.names(missing) == []
    drive.do(missing.unlink, missing_ok=True)
    with pytest.raises(FileNotFoundError):
        drive.read(missing)
    with pytest.raises(FileNotFoundError):
        drive.do(missing.unlink)
    with pytest.raises(FileNotFoundError):
        drive.do(snapshot.look, snapshot.Watched(root=missing, patterns=("*",)))


def test_a_letter_is_there_until_it_is_struck_out(drive: Drive, tmp_path: Path) -> None:
    letter = tmp_path / "outbox" / "j-1.json"
    drive.do(files.write_durably, letter, b"{}")

    assert drive.do(files.read_all, letter.parent) == {"j-1.json": b"{}"}
    drive.do(letter.unlink, missing_ok=True)
    assert drive.do(files.read_all, letter.parent) == {}


def test_a_tree_is_removed_with_all_that_is_in_it(drive: Drive, tmp_path: Path) -> None:
    drive.do(files.make_folders, tmp_path / "j-1-1" / "work", tmp_path / "j-1-10")
    drive.write(tmp_path / "j-1-1" / "work" / "a", b"", 0.0)
    drive.do(files.remove_tree, tmp_path / "j-1-1")

    assert drive.names(tmp_path) == ["j-1-10"]


def rewrite(folder: Path) -> str:
    """Nothing that a drive knows."""
    (folder / "kept").write_bytes(b"more")
    (folder / "fresh").mkdir()
    (folder / "fresh" / "a").write_bytes(b"new")
    (folder / "gone").unlink()
    return "done"


def test_work_that_a_model_drive_does_not_know_is_done_for_real() -> None:
    drive = ModelDrive()
    node = drive.root / "w1"
    for name in ("kept", "gone", "other"):
        drive.write(node / name, b"one", 1.0)
    before = drive.do(snapshot.look, snapshot.Watched(root=node, patterns=("*",)))

    assert drive.do(rewrite, node) == "done"

    after = drive.do(snapshot.look, snapshot.Watched(root=node, patterns=("**",)))
    assert drive.read(node / "kept") == b"more"
    assert sorted(after.files) == ["fresh/a", "kept", "other"]
    assert after.files["other"] == before.files["other"]
    assert after.files["kept"].inode == before.files["kept"].inode
    assert not drive.root.exists()


def test_work_that_fails_for_real_leaves_what_it_has_done() -> None:
    drive = ModelDrive()
    drive.write(drive.root / "w1" / "kept", b"one", 1.0)

    with pytest.raises(FileNotFoundError):
        drive.do(rewrite, drive.root / "w1")

    assert drive.read(drive.root / "w1" / "fresh" / "a") == b"new"
    assert not drive.root.exists()
