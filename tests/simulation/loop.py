"""An event loop without a world: time is a number, and nothing happens but what is scheduled.

It has no selector, no threads, no signals and no subprocesses. When nothing is ready, the clock
jumps to the next timer; when there is no timer either, the run is stuck, and says so. Ties are
broken by the order of scheduling, so one program has one history.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class StuckError(Exception):
    """Nothing is ready and nothing is scheduled, but the main task is not done."""


class OverrunError(Exception):
    """More turns or more virtual time than a run may take: something spins or waits for ever."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs coroutines on a virtual clock. Use it as `VirtualLoop().run(main())`."""

    def __init__(self, *, max_turns: int = 2_000_000) -> None:
        self._now = 0.0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = 0
        self._turns = 0
        self._max_turns = max_turns
        self.failures: list[dict[str, Any]] = []
        """What tasks raised that nobody looked at: always a defect."""

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run until the coroutine is done. Raises what it raises, StuckError or OverrunError."""
        asyncio._set_running_loop(self)  # type: ignore[attr-defined]
        try:
            return self._run(main)
        finally:
            asyncio._set_running_loop(None)  # type: ignore[attr-defined]

    def _run(self, main: Coroutine[Any, Any, T]) -> T:
        task = self.create_task(main)
        ready, timers = self._ready, self._timers
        while not task.done():
            if not ready:
                self._advance()
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle._cancelled:  # type: ignore[attr-defined]
                    handle._run()  # type: ignore[attr-defined]
            self._turns += 1
            if self._turns > self._max_turns:
                raise OverrunError(
                    f"{self._turns} turns at {self._now:.3f} s, {len(timers)} timers"
                )
        return task.result()

    def _advance(self) -> None:
        timers = self._timers
        while timers and timers[0][2]._cancelled:  # type: ignore[attr-defined]
            heapq.heappop(timers)
        if not timers:
            raise StuckError(f"nothing will ever happen again after {self._now:.3f} s")
        self._now = timers[0][0]
        while timers and timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(timers)[2])

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
        return asyncio.Task(coro, loop=self, name=name, context=context)

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

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """asyncio tells of cancelled timers; they are dropped when their time comes."""
