"""What every process of ours does the same way: its event loop, its threads, its parent's end."""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

PARENT = "RELAYMD_PARENT_PID"
"""The variable in which a process passes its id to those it starts and takes along."""


class Offload(Protocol):
    """Runs blocking work (tar, hash, file trees) where it does not stop the loop.

    `asyncio.to_thread` is one; a simulation has another, that runs it in place.
    """

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a process's coroutine on uvloop."""
    import uvloop  # here, because `relaymd --help` runs nothing and should not wait for it

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def die_with_parent(parent: int, how: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel for a signal when the parent process ends; leave now if it has already.

    parent: its process id, as the parent passed it on. Linux only; must be called by the child.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(how))
    if os.getppid() != parent:
        raise SystemExit(f"the parent process {parent} is gone")


def follow_parent(environ: Mapping[str, str]) -> None:
    """End when the process that started this one ends, where it asked for that."""
    if (parent := environ.get(PARENT, "")).isdigit():
        die_with_parent(int(parent))


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that none is lost sight of.

    Linux only. Whoever calls this must also collect them.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def alive(pid: int) -> bool:
    """Whether the process runs. One of another user counts, a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not is_zombie(pid)


def is_zombie(pid: int) -> bool:
    """Whether the process has ended and waits to be collected by its parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()  # with a name that may be any bytes
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[:1] == [b"Z"]


@contextlib.contextmanager
def signals(
    handler: Callable[[signal.Signals], None], also: Iterable[signal.Signals] = ()
) -> Generator[None]:
    """Hand SIGINT, SIGTERM and SIGHUP to the handler, on the running loop, instead of dying.

    SIGHUP stays ignored where it was, as by `nohup`. also: further ones.
    """
    loop = asyncio.get_running_loop()
    caught = [signal.SIGINT, signal.SIGTERM, *also]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        caught.append(signal.SIGHUP)
    for number in caught:
        loop.add_signal_handler(number, handler, number)
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
