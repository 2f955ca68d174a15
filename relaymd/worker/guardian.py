"""Parent of one engine: outlives nobody, and lets no process of the engine outlive the worker.

A script of its own that imports nothing of RelayMD, so that it is small and starts quickly:

    python -I -S guardian.py CONTROL STATUS

CONTROL is a pipe whose other end only the worker has. Its first line is the engine's command,
as JSON with `argv`, `folder`, `environment`, `stdout`, `stderr`. After it a byte `T` sends
SIGTERM to the engine's process group, `K` kills everything, and the pipe's end (the worker is
gone, also by SIGKILL) kills everything as well. STATUS takes a line when the engine has started,
`pid 7`, or could not be, `error why`, and one when all of it has ended: `code 0`, negative for a
signal.

Every descendant is reached: orphans become the guardian's children (it is a subreaper), whatever
session they made for themselves. Signals that SLURM sends to each process of a step are ignored
here: the worker alone decides what they mean.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
SWEEP_SECONDS = 10.0
"""How long killed processes may take to vanish; one in an uninterruptible sleep never does."""

LIBC = ctypes.CDLL(None, use_errno=True)


def main(control: int, status: int) -> int:
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    command = read_line(control)
    if not command:
        return 0  # the worker had no use for it
    pid, error = spawn(json.loads(command))
    if error:
        tell(status, f"error {error}")
        return 0
    tell(status, f"pid {pid}")
    code = attend(pid, control, wake)
    sweep()
    tell(status, f"code {code}")
    return 0


def read_line(control: int) -> bytes:
    """The pipe's first line; empty if it ends before that."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(control, 65536)
        if not piece:
            return b""
        line += piece
    return line


def spawn(command: dict[str, Any]) -> tuple[int, str]:
    """Start the engine in a session of its own; an error is a sentence."""
    failed, report = os.pipe()  # both close on exec: an empty answer is a good one
    guardian = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            become(guardian, command)
        except (OSError, ValueError) as exc:
            os.write(report, describe(exc, command).encode(errors="replace"))
        os._exit(127)
    os.close(report)
    with os.fdopen(failed, "rb") as answer:
        error = answer.read().decode(errors="replace")
    if error:
        os.waitpid(pid, 0)
    return pid, error


def describe(exc: Exception, command: dict[str, Any]) -> str:
    if isinstance(exc, OSError):
        return f"{exc.strerror}: {exc.filename or command['argv'][0]}"
    return f"it cannot be executed: {exc}"


def become(guardian: int, command: dict[str, Any]) -> None:
    """In the child: turn into the engine."""
    os.setsid()
    LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != guardian:
        os._exit(127)
    signal.set_wakeup_fd(-1)
    for number in (*IGNORED, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(command[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), stream)
    os.chdir(command["folder"])
    os.execvpe(command["argv"][0], command["argv"], command["environment"])


def attend(engine: int, control: int, wake: int) -> int:
    """Pass orders on until the engine's main process has ended; its exit code.

    Where that is a shell which died of our SIGTERM, what it ran was told as well and may be
    writing just now: the end is then that of the whole group.
    """
    told, code = False, None
    while True:
        ended = reap(engine)
        code = ended if code is None else code
        if code is not None and not (told and code == -signal.SIGTERM and is_group(engine)):
            return code
        ready, _, _ = select.select([control, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
        if control in ready:
            order = os.read(control, 1)
            if order == b"T":
                told = True
                kill_group(engine, signal.SIGTERM)
            else:
                kill_group(engine, signal.SIGKILL)
                swept = sweep(engine)
                return swept if code is None else code


def reap(engine: int) -> int | None:
    """Collect whatever has ended; the engine's exit code, if it was among them."""
    code: int | None = None
    while True:
        try:
            pid, state = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == engine:
            code = os.waitstatus_to_exitcode(state)


def sweep(engine: int = 0) -> int:
    """Kill all descendants until none is left; the engine's exit code, if it ended by it."""
    code: int | None = None
    until = time.monotonic() + SWEEP_SECONDS
    while time.monotonic() < until:
        for pid in descendants(os.getpid()):
            kill(pid)
        ended = reap(engine)
        code = ended if code is None else code
        if not children(os.getpid()):
            break
        time.sleep(0.002)
    return -int(signal.SIGKILL) if code is None else code


def descendants(root: int) -> list[int]:
    """Children, their children, and so on, as they are just now."""
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children(waiting.pop())
        found += below
        waiting += below
    return found


def children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as listing:
                found += [int(word) for word in listing.read().split()]
    except OSError:
        pass  # it ended while we looked
    return found


def kill(pid: int) -> None:
    try:  # noqa: SIM105 - as short as it can be
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass  # it ended while we looked, or became another user's by setuid


def kill_group(leader: int, number: signal.Signals) -> None:
    """Signal the engine's group. While any of it is there, the number is nobody else's."""
    try:  # noqa: SIM105 - as short as it can be
        os.killpg(leader, number)
    except OSError:
        pass  # it has ended


def is_group(leader: int) -> bool:
    """Whether a process of the engine's group is left."""
    try:
        os.killpg(leader, 0)
    except OSError:
        return False
    return True


def tell(status: int, line: str) -> None:
    try:  # noqa: SIM105 - as short as it can be
        os.write(status, " ".join(line.split()).encode() + b"\n")
    except OSError:
        pass  # the worker is gone


if __name__ == "__main__":
    _control, _status = int(sys.argv[1]), int(sys.argv[2])
    for _number in (_control, _status):
        os.set_inheritable(_number, False)
    os._exit(main(_control, _status))
