"""What a script inside a bundle can ask and say, with a worker and without."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import chdir
from pathlib import Path

import pytest

from relaymd import engine
from relaymd.engine import Progress, Segment, ShortFileError, cut_back, sizes, write_atomically

STOPS = """
import sys, time
from relaymd.engine import TERMINATED, Segment
segment = Segment.here({})
segment.listen()
print("ready", flush=True)
while not segment.asked_to_stop:
    time.sleep(0.01)
sys.exit(TERMINATED)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Generator[Path]:
    with chdir(tmp_path):
        yield tmp_path


def test_the_module_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_bytes(Path(engine.__file__).read_bytes())
    code = "import engine; print(engine.Segment.here({}).resumes)"
    words = [sys.executable, "-S", "-c", code]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_without_a_worker_it_begins_and_nobody_is_told(folder: Path) -> None:
    segment = Segment.here({})
    assert (segment.job, segment.epoch, segment.generation, segment.resumes) == (None, 0, 0, False)
    assert segment.checkpointed() is False
    segment.report(step=5, total_steps=10)
    told = json.loads((folder / "progress.json").read_text())
    assert told == {"fraction": 0.5, "step": 5, "total_steps": 10}


def test_with_a_worker_it_knows_from_where_it_goes_on() -> None:
    segment = Segment.here(
        {
            "RELAYMD_JOB_ID": "j-1",
            "RELAYMD_EPOCH": "3",
            "RELAYMD_GENERATION": "7",
            "RELAYMD_PROGRESS": '{"fraction": 0.25, "step": 500, "total_steps": 2000}',
            "RELAYMD_PROGRESS_FILE": "done",
        }
    )
    assert (segment.job, segment.epoch, segment.generation, segment.resumes) == ("j-1", 3, 7, True)
    assert segment.restored == Progress(fraction=0.25, step=500, total_steps=2000)
    assert segment.progress_file == Path("done")


@pytest.mark.parametrize("text", ["", "{", "7", "[]", "null", "[" * 100_000])
def test_what_is_not_understood_of_the_progress_was_not_said(text: str) -> None:
    assert Segment.here({"RELAYMD_PROGRESS": text}).restored == Progress()


def test_sigterm_sets_a_flag_once_somebody_listens() -> None:
    with subprocess.Popen([sys.executable, "-c", STOPS], stdout=subprocess.PIPE) as script:
        assert script.stdout is not None
        assert script.stdout.readline() == b"ready\n"
        script.send_signal(signal.SIGTERM)
        assert script.wait(timeout=20) == engine.TERMINATED == 143


def test_the_marker_is_absent_while_a_checkpoint_is_written(folder: Path) -> None:
    segment, marker = Segment.here({}), folder / "valid"
    marker.touch()
    with segment.checkpoint(marker):
        assert not marker.exists()
    assert marker.exists()


def test_the_marker_stays_absent_where_writing_failed(folder: Path) -> None:
    marker = folder / "valid"
    marker.touch()
    with pytest.raises(OSError, match="full"), Segment.here({}).checkpoint(marker):
        raise OSError("full")
    assert not marker.exists()


def test_a_notice_is_written_where_somebody_listens(folder: Path) -> None:
    os.mkfifo("notices")
    reader = os.open("notices", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert Segment.here({"RELAYMD_NOTICES": "notices"}).checkpointed()
        assert os.read(reader, 100) == b"checkpoint\n"
    finally:
        os.close(reader)


def test_a_notice_never_waits_and_never_fails(folder: Path) -> None:
    os.mkfifo("nobody")
    Path("file").touch()
    for name in ("nobody", "missing", "file", "."):
        assert Segment.here({"RELAYMD_NOTICES": name}).checkpointed() is False
    assert Path("file").read_bytes() == b""


def test_a_file_is_replaced_whole_or_not_at_all(folder: Path) -> None:
    write_atomically("state", "old")
    before = Path("state").stat().st_ino
    write_atomically("state", b"new")
    assert Path("state").read_text() == "new"
    assert Path("state").stat().st_ino != before
    assert os.listdir(folder) == ["state"]


def test_a_file_that_cannot_be_replaced_is_as_it_was(folder: Path) -> None:
    Path("taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomically("taken", "new")
    assert os.listdir(folder) == ["taken"]


def test_growing_files_are_cut_back_to_their_lengths_at_the_checkpoint(folder: Path) -> None:
    Path("rows").write_text("1\n2\n")
    recorded = sizes(["rows", Path("frames")])
    assert recorded == {"rows": 4, "frames": 0}
    Path("rows").write_text("1\n2\n3\n")
    Path("frames").write_text("more")
    cut_back(recorded)
    assert (Path("rows").read_text(), Path("frames").read_text()) == ("1\n2\n", "")
    cut_back(recorded)
    assert sizes(["rows", "frames"]) == recorded


def test_a_file_shorter_than_its_checkpoint_says_is_an_error_and_nothing_is_cut(
    folder: Path,
) -> None:
    Path("rows").write_text("1\n2\n3\n")
    Path("frames").write_text("x")
    with pytest.raises(ShortFileError, match="frames has 1 bytes, the checkpoint knows 2"):
        cut_back({"rows": 4, "frames": 2})
    assert Path("rows").read_text() == "1\n2\n3\n"
