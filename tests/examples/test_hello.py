"""The greeting bundle: it counts, can be asked to stop, and goes on."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from relaymd.worker.progress import parse

BUNDLE = Path(__file__).resolve().parents[2] / "examples" / "hello"


def start(folder: Path, to: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "TO": str(to), "PACE": "0.02"}
    return subprocess.Popen(["sh", "count.sh"], cwd=folder, env=environment)


def test_it_stops_when_asked_and_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUNDLE, tmp_path / "hello"))
    with start(folder, 10_000) as first:
        deadline = time.monotonic() + 20
        while not (folder / "count").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        first.send_signal(signal.SIGTERM)
        assert first.wait(timeout=20) == 143
    reached = int((folder / "count").read_text())
    with start(folder, reached + 2) as second:
        assert second.wait(timeout=20) == 0

    assert int((folder / "count").read_text()) == reached + 2


def test_a_worker_understands_its_progress(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUNDLE, tmp_path / "hello"))
    with start(folder, 2) as engine:
        assert engine.wait(timeout=20) == 0
    said = parse((folder / "progress").read_bytes())

    assert said is not None
    assert (said.step, said.total_steps, said.fraction) == (2, 2, 1.0)
