"""A Bus before another: for whoever wants to hear, or to change, some of what is said."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from relaymd.bus.bus import Bus, Inbox
from relaymd.bus.subjects import Binding, Event, Msg, Rep, Req, Request


class WrappedBus:
    """Implements Bus by one that it wraps; what differs is overridden."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    async def ask(
        self, request: Request[Req, Rep], message: Req, *, within: float | None = None
    ) -> Rep:
        return await self.bus.ask(request, message, within=within)

    async def publish(self, event: Event[Msg], message: Msg) -> None:
        await self.bus.publish(event, message)

    def serve(self, service: str, *bindings: Binding) -> AbstractAsyncContextManager[Inbox]:
        return self.bus.serve(service, *bindings)

    def listen(
        self, event: Event[Msg], **holes: str
    ) -> AbstractAsyncContextManager[AsyncIterator[Msg]]:
        return self.bus.listen(event, **holes)
