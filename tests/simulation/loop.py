"""An event loop without a world: time is a number, and nothing happens but what is scheduled.

It has no selector, no threads, no signals. When nothing is ready the clock jumps to the next
timer; ties are broken by the order of scheduling, and tasks hash by the order of their birth, so
that even the order of a set of them is the same in every run of one program.
"""

import asyncio
import asyncio.tasks
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context, copy_context
from heapq import heappop, heappush
from typing import Any, TypeVar

from tests.simulation.process import PROCESS, Process, Turn, buried

T = TypeVar("T")


class StuckError(Exception):
    """Nothing is ready and nothing is scheduled, but the main task is not done."""


class OverrunError(Exception):
    """More turns than a run may take: something spins, or waits for ever."""


class Task(asyncio.Task[T]):
    """asyncio's own, but for its place in sets."""

    serial = 0
    process: Process | None = None

    def of_the_living(self) -> bool:
        return self.process is None or self.process.alive

    def __hash__(self) -> int:
        return self.serial

    def __eq__(self, other: object) -> bool:
        return self is other


@contextmanager
def unlisted() -> Generator[None]:
    """asyncio lists all tasks, for people who debug; here that would cost and tell nobody."""
    every: Any = asyncio.tasks._all_tasks  # type: ignore[attr-defined]
    every.add = _leave_out
    try:
        yield
    finally:
        del every.add


def _leave_out(_task: object) -> None:
    """In place of listing it."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs coroutines on a virtual clock. Use it as `VirtualLoop().run(main())`."""

    def __init__(self, *, max_turns: int = 400_000) -> None:
        self.turns = 0
        self.failures: list[dict[str, Any]] = []
        """What tasks raised that nobody looked at: always a defect."""

        self.halted = False
        """Set by whoever has seen enough."""

        self._now = 0.0
        self._ready: deque[Turn] = deque()
        self._timers: list[tuple[float, int, Turn]] = []
        self._order = 0
        self._max_turns = max_turns
        self._tasks: list[Task[Any]] = []
        """All of them: one that nobody holds would be closed at once, and a `finally` would run."""

        self._born = 0

    # -- running ------------------------------------------------------------------------------

    def run(self, main: Coroutine[Any, Any, T]) -> T | None:
        """Run until the coroutine is done, or until halted: then None.

        Raises what it raises, StuckError or OverrunError.
        """
        asyncio._set_running_loop(self)
        try:
            with unlisted():
                task = self.create_task(main)
                self._turns(task)
            return task.result() if task.done() else None
        finally:
            pending = [task for task in self._tasks if not task.done()]
            with buried([task.get_coro() for task in pending]):
                for dead in pending:
                    dead._log_destroy_pending = False  # type: ignore[attr-defined]
                self._ready.clear()
                self._timers.clear()
                self._tasks.clear()
            asyncio._set_running_loop(None)

    def _turns(self, main: asyncio.Task[Any]) -> None:
        """Turn after turn until the main task is done. Half of a run is spent here: one piece."""
        ready, take, of_process = self._ready, self._ready.popleft, PROCESS
        while not (main.done() or self.halted):
            if not ready:
                self._advance()
            for _ in range(len(ready)):
                turn = take()
                context = turn.context
                process = context.get(of_process)
                if turn.dropped or not (process is None or process.may_run(turn)):
                    continue
                try:
                    context.run(turn.callback, *turn.arguments)
                except BaseException as exc:  # noqa: BLE001 - as asyncio's own: it is told
                    self.call_exception_handler({"message": "in a callback", "exception": exc})
            self.turns += 1
            if self.turns > self._max_turns:
                raise OverrunError(f"{self.turns} turns at {self._now:.3f} s")

    def _advance(self) -> None:
        timers, ready = self._timers, self._ready
        while timers and timers[0][2].dropped:
            heappop(timers)
        if not timers:
            raise StuckError(f"nothing will ever happen again after {self._now:.3f} s")
        self._now = now = timers[0][0]
        while timers and timers[0][0] <= now:
            turn = heappop(timers)[2]
            if not turn.dropped:
                ready.append(turn)

    # -- processes ----------------------------------------------------------------------------

    def spawn(self, process: Process, main: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a process: the coroutine, and every task it creates, belong to it."""
        process.context = copy_context()
        process.context.run(PROCESS.set, process)
        return process.context.run(self.create_task, main, name=process.name)

    def thaw(self, process: Process) -> None:
        process.frozen = False
        self._ready.extend(process.held)
        process.held.clear()

    # -- what asyncio asks of a loop ----------------------------------------------------------

    def time(self) -> float:
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        turn = Turn(callback, args, copy_context() if context is None else context)
        self._ready.append(turn)
        return turn  # type: ignore[return-value] # all that asyncio asks of a handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        turn = Turn(callback, args, copy_context() if context is None else context, when)
        self._order += 1
        heappush(self._timers, (when, self._order, turn))
        return turn  # type: ignore[return-value] # all that asyncio asks of a handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        when = self._now + delay if delay > 0 else self._now
        turn = Turn(callback, args, copy_context() if context is None else context, when)
        self._order += 1
        heappush(self._timers, (when, self._order, turn))
        return turn  # type: ignore[return-value] # all that asyncio asks of a handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        self._born += 1
        Task.serial = self._born  # asyncio puts it into a set before it can be told
        task = Task(coro, loop=self, name=name or "task", context=context)
        task.serial = self._born
        task.process = PROCESS.get() if context is None else context.get(PROCESS)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note it, unless it is of the killed: what they waited for concerns nobody."""
        future = context.get("future")
        if future is None or (isinstance(future, Task) and future.of_the_living()):
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
