"""What every process of ours does the same way: its event loop, its threads, its parent's end."""

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar

import uvloop

P = ParamSpec("P")
T = TypeVar("T")

PR_SET_PDEATHSIG = 1


class Offload(Protocol):
    """Runs blocking work (tar, hash, file trees) where it does not stop the loop.

    `asyncio.to_thread` is one; a simulation has another, that runs it in place.
    """

    async def __call__(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a process's coroutine on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def die_with_parent(parent: int, how: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel for a signal when the parent process ends; leave now if it has already.

    parent: its process id, as the parent passed it on. Linux only; must be called by the child.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(how))
    if os.getppid() != parent:
        raise SystemExit(f"the parent process {parent} is gone")
