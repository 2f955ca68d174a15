"""What every process of ours does the same way: its event loop, its threads, its parent's end."""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping
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

    Linux only. Whoever calls this must also reap them (`reap`).
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def reap(pid: int) -> bool:
    """Whether the process is over; collects it if it was a child of ours and nobody else's."""
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    return not alive(pid)


def alive(pid: int) -> bool:
    """Whether there is such a process; one of another user counts, a zombie does too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def signals(handler: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Hand SIGINT and SIGTERM to the handler, on the running loop, instead of dying of them."""
    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM)
    for number in caught:
        loop.add_signal_handler(number, handler, number)
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
