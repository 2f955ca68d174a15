"""One request on its way through a handler, the same for every bus."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from relaymd.bus.bus import RefusedError
from relaymd.bus.codec import Reply, encode, read_request, write_refusal
from relaymd.bus.messages import Refusal, RefusalCode
from relaymd.bus.subjects import Binding
from relaymd.bus.tally import Tally

GONE = write_refusal(
    Refusal(
        error=RefusalCode.UNAVAILABLE,
        message="whoever would have answered has stopped; ask again",
    )
)


@dataclass(frozen=True)
class Call:
    """A Delivery: what arrived, and the way back."""

    binding: Binding
    subject: str
    data: bytes
    respond: Callable[[Reply], Awaitable[None]]
    tally: Tally

    async def handle(self) -> None:
        """Take the handler's turn now; answer when the answer is there.

        An exception of the handler is not the peer's: it goes on to the actor, which ends, and
        the asker is told to ask again. So it is told when the actor ends while it waits.
        """
        began = asyncio.get_running_loop().time()
        reply: Reply | None = GONE
        try:
            reply = await self._answer()
        except RefusedError as error:
            reply = write_refusal(error.refusal)
        finally:
            self.tally.count(reply, asyncio.get_running_loop().time() - began)
            if reply is not None:
                await self.respond(reply)

    async def refuse(self) -> None:
        """Nobody will take this turn: the actor is gone."""
        self.tally.count(GONE, 0.0)
        await self.respond(GONE)

    async def _answer(self) -> Reply | None:
        message = read_request(self.binding, self.subject, self.data)
        answer = self.binding.handler(message)
        if isinstance(answer, asyncio.Future):
            promise = cast("asyncio.Future[Any]", answer)
            # Not awaited itself: our cancellation must not cancel what others may wait for.
            await _over(promise)
            if promise.cancelled():
                return None
            answer = promise.result()
        return Reply(encode(cast(msgspec.Struct, answer)))


async def _over(promise: asyncio.Future[Any]) -> None:
    """Return when it is done, however it ended; `asyncio.wait` for one, at a third of its cost."""
    turn: asyncio.Future[None] = promise.get_loop().create_future()

    def go_on(_: asyncio.Future[Any]) -> None:
        if not turn.done():
            turn.set_result(None)

    promise.add_done_callback(go_on)
    try:
        await turn
    finally:
        promise.remove_done_callback(go_on)
