"""The shape all actors share."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import AsyncExitStack
from typing import Any, ClassVar, NoReturn, TypeVar

from relaymd.actors.bell import Bell
from relaymd.actors.refusals import TELLABLE, refusing
from relaymd.bus.bus import Bus
from relaymd.bus.subjects import Binding

T = TypeVar("T")


class Actor:
    """Owns a piece of the state, and does one thing at a time.

    Messages and ticks take turns, so a handler never sees another one half done and no actor
    needs a lock. Handlers do not await: they record and return, and the answer leaves when
    what it promises is on disk. A tick looks at everything; a message only makes something
    happen sooner. Whatever a lost message would have caused, the next tick causes.

    An exception ends the actor, and the supervisor makes a new one from the same arguments.
    Hence `__init__` does nothing but keep them, `start` reads the state back, and nothing
    worth keeping lives in attributes alone.
    """

    name: ClassVar[str] = "actor"
    """As `nats micro ls` and the log show it."""

    every: ClassVar[float] = 10.0
    """Seconds between ticks."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._hurry = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    def bindings(self) -> Iterable[Binding]:
        """The subjects this actor serves, and with what."""
        return ()

    def bells(self) -> Iterable[Bell]:
        """What brings the next tick forward."""
        return ()

    async def start(self) -> None:
        """Read back whatever the previous incarnation knew."""

    async def tick(self) -> None:
        """Bring the world one step closer to what it should be."""

    def soon(self) -> None:
        """Bring the next tick forward: it comes with the next turn of the loop."""
        self._hurry.set()

    def later(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something that awaits, beside the turns and within the actor's life.

        What it raises ends the actor.
        """
        assert self._tasks is not None, "the actor does not run"
        return self._tasks.create_task(work)

    def answer(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Work out an answer that takes awaiting. What the peer may be told, he is told."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def fulfil() -> None:
            try:
                found = await work
            except TELLABLE as exc:
                if not future.done():
                    future.set_exception(exc)
            else:
                if not future.done():
                    future.set_result(found)

        # An actor that ends now cuts it off before its first step: then nobody awaits the work.
        self.later(fulfil()).add_done_callback(lambda _: work.close())
        return future

    async def run(self) -> NoReturn:
        """Live until cancelled, or until something raises."""
        async with AsyncExitStack() as stack:
            served = [_guarded(binding) for binding in self.bindings()]
            inbox = await stack.enter_async_context(self.bus.serve(self.name, *served))
            for bell in self.bells():
                stack.enter_context(bell.calls(self.soon))
            self._tasks = await stack.enter_async_context(asyncio.TaskGroup())
            await self.start()
            self._tasks.create_task(self._tick_for_ever())
            while True:
                delivery = await inbox.get()
                self._tasks.create_task(delivery.handle())
        raise AssertionError("an actor's life does not end by itself")

    async def _tick_for_ever(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        while True:
            self._hurry.clear()
            await self.tick()
            timer = loop.call_later(self.every, self._hurry.set)
            try:
                await self._hurry.wait()
            finally:
                timer.cancel()


def _guarded(binding: Binding) -> Binding:
    return Binding(binding.subject, binding.listen, refusing(binding.handler))
