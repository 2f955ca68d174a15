"""An event loop without a world: time is a number, and nothing happens but what is scheduled.

It has no selector, no threads, no signals. When nothing is ready the clock jumps to the next
timer; ties are broken by the order of scheduling, so one program has one history.

Every task belongs to the process in whose context it was born. A process can be frozen, like by
SIGSTOP: its turns wait, its timers fire when it goes on. It can be killed, like by SIGKILL: it
never gets another turn, and no `finally` of it ever runs.
"""

import asyncio
import heapq
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class StuckError(Exception):
    """Nothing is ready and nothing is scheduled, but the main task is not done."""


class OverrunError(Exception):
    """More turns than a run may take: something spins, or waits for ever."""


class Process:
    """A process of the simulation: what runs in its context lives and dies with it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.turns = 0
        self.alive = True
        self.frozen = False
        self.held: deque[asyncio.Handle] = deque()
        self.doomed_at = -1
        """The turn at which it is killed; -1: none."""

        self.on_death: list[Callable[[], None]] = []
        """What the world does when it dies: its connections close, its engines are killed."""

    def __repr__(self) -> str:
        return self.name


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
WORLD = Context()
"""The context of what belongs to no process: the network, the disks, the hand of fate."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs coroutines on a virtual clock. Use it as `VirtualLoop().run(main())`."""

    def __init__(self, *, max_turns: int = 1_000_000) -> None:
        self._now = 0.0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = 0
        self._max_turns = max_turns
        self._tasks: set[asyncio.Task[Any]] = set()
        self.turns = 0
        self.failures: list[dict[str, Any]] = []
        """What tasks raised that nobody looked at: always a defect."""

    # -- running ------------------------------------------------------------------------------

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run until the coroutine is done. Raises what it raises, StuckError or OverrunError."""
        asyncio._set_running_loop(self)
        try:
            task = self.create_task(main)
            while not task.done():
                self._turn()
            return task.result()
        finally:
            self._bury()
            asyncio._set_running_loop(None)

    def _turn(self) -> None:
        if not self._ready:
            self._advance()
        ready = self._ready
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.cancelled():
                continue
            process: Process | None = handle._context.get(PROCESS)  # type: ignore[attr-defined]
            if process is None or self._may_run(process, handle):
                handle._run()
        self.turns += 1
        if self.turns > self._max_turns:
            raise OverrunError(f"{self.turns} turns at {self._now:.3f} s")

    def _may_run(self, process: Process, handle: asyncio.Handle) -> bool:
        if not process.alive:
            return False
        if process.frozen:
            process.held.append(handle)
            return False
        process.turns += 1
        if process.turns == process.doomed_at:
            self.kill(process)
            return False
        return True

    def _advance(self) -> None:
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise StuckError(f"nothing will ever happen again after {self._now:.3f} s")
        self._now = timers[0][0]
        while timers and timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(timers)[2])

    # -- processes ----------------------------------------------------------------------------

    def spawn(self, process: Process, main: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a process: the coroutine, and every task it creates, belong to it."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return context.run(self.create_task, main, name=process.name)

    def freeze(self, process: Process) -> None:
        process.frozen = True

    def thaw(self, process: Process) -> None:
        process.frozen = False
        self._ready.extend(process.held)
        process.held.clear()

    def kill(self, process: Process) -> None:
        if process.alive:
            process.alive = False
            process.held.clear()
            for hook in process.on_death:
                hook()

    def _bury(self) -> None:
        """End what is left of the dead without a word: the run is over."""
        heard = sys.unraisablehook
        sys.unraisablehook = lambda _: None  # the dead protest: their `finally` blocks may await
        try:
            for task in [*self._tasks]:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _close(task.get_coro())
            self._ready.clear()
            self._timers.clear()
            self._tasks.clear()
        finally:
            sys.unraisablehook = heard

    # -- what asyncio asks of a loop ----------------------------------------------------------

    def time(self) -> float:
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._order += 1
        heapq.heappush(self._timers, (when, self._order, handle))
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + max(delay, 0.0), callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard, context=WORLD)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    async def shutdown_asyncgens(self) -> None:
        """There is nothing to shut down."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """asyncio tells of cancelled timers; they are dropped when their time comes."""


def _close(coroutine: Any) -> None:
    for _ in range(50):
        try:
            coroutine.close()
        except (RuntimeError, asyncio.CancelledError, BaseExceptionGroup):
            continue
        return
