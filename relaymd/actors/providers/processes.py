"""Local workers as processes: started so that they outlive us, and found again by anybody.

    {state}/allocations/{allocation}/pid           written by the process itself, before it is one
    {state}/allocations/{allocation}/worker.log    its output

A process is ours if its environment names the allocation: a number alone may be anybody's by now.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from relaymd.core.ids import AllocationId
from relaymd.core.reaping import Evidence
from relaymd.core.strict import decode_json
from relaymd.process import alive

ALLOCATION = "RELAYMD_WORKER_ALLOCATION"

PATIENCE = 50
"""Milliseconds for which a process may be between two programs, without an environment."""

RECORD = 'echo $$ > "$1.new" && mv "$1.new" "$1" && shift && exec "$@"'
"""Leaves the process id before it becomes the worker: whoever dies in between, it can be found."""


def home(state: Path, id: AllocationId) -> Path:
    return state / "allocations" / id


def start(
    state: Path, id: AllocationId, command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a worker in a session of its own. Raises OSError."""
    folder = home(state, id)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen(
            ["/bin/sh", "-c", RECORD, "relaymd-worker", str(folder / "pid"), *command],
            env={**environment, ALLOCATION: id},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def look(state: Path, id: AllocationId) -> tuple[Evidence, int | None]:
    """What is known of an allocation's process, and its id while it lives.

    Unknown: there is no record yet, or none that can be read, or the process is just
    becoming the worker, when for an instant it has no environment.
    """
    try:
        pid = int((home(state, id) / "pid").read_text())
    except (OSError, ValueError):
        return Evidence.UNKNOWN, None
    if not 0 < pid < 2**31:
        return Evidence.UNKNOWN, None
    environment = _environment(pid)
    if environment is None:
        return Evidence.GONE, None
    if not environment:
        return Evidence.UNKNOWN, None
    ours = f"{ALLOCATION}={id}".encode() in environment.split(b"\0")
    return (Evidence.ALIVE, pid) if ours else (Evidence.GONE, None)


def _environment(pid: int) -> bytes | None:
    """A live process's environment; None: nobody has the number, or another user by now."""
    for _ in range(PATIENCE):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return None
        if not alive(pid):
            return None
        if environment:
            return environment
        time.sleep(0.001)
    return b""


def find(state: Path, id: AllocationId) -> int | None:
    """The live process of an allocation."""
    return look(state, id)[1]


def is_recorded(state: Path, id: AllocationId) -> bool:
    """Whether a process was ever started for it."""
    return (home(state, id) / "pid").exists()


def local_workers(state: Path) -> list[int]:
    """The process ids of all local workers of a state folder that live."""
    try:
        names = sorted(folder.name for folder in (state / "allocations").iterdir())
    except FileNotFoundError:
        return []
    found = (find(state, AllocationId(name)) for name in names)
    return [pid for pid in found if pid is not None]


def terminate(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def last_words(state: Path, id: AllocationId) -> str:
    """The last line of a worker's log, for whoever wonders why it ended."""
    try:
        with (home(state, id) / "worker.log").open("rb") as log:
            log.seek(max(os.fstat(log.fileno()).st_size - 2048, 0))
            lines = log.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return _told(next((line.strip() for line in reversed(lines) if line.strip()), ""))[:300]


class Logged(msgspec.Struct, frozen=True):
    """What people want to know of a line of our log."""

    event: str
    reason: str = ""


def _told(line: str) -> str:
    try:
        said = decode_json(line, Logged)
    except msgspec.DecodeError:
        return line
    return f"{said.event} ({said.reason})" if said.reason else said.event
