"""A TCP proxy that can be shut, so that what is behind it has fallen off the network."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress


class Gate:
    """Forwards both ways while it is open. Shut, it swallows nothing and passes nothing on.

    Connections stay, and what was sent meanwhile arrives late: a network, not a dead peer.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open = asyncio.Event()
        self._open.set()
        self.port = 0

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._open.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            try:
                async with asyncio.TaskGroup() as ways:
                    ways.create_task(self._pump(reader, far_writer))
                    ways.create_task(self._pump(far_reader, writer))
            finally:
                far_writer.close()
        except* OSError:
            pass  # one side is gone, and so is the other
        finally:
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


@asynccontextmanager
async def gate(host: str, port: int) -> AsyncGenerator[Gate, None]:
    there = Gate(host, port)
    async with asyncio.TaskGroup() as lines:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.add(lines.create_task(there.serve(reader, writer)))

        served: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        there.port = server.sockets[0].getsockname()[1]
        try:
            yield there
        finally:
            server.close()
            for line in served:
                line.cancel()
            with suppress(asyncio.CancelledError):
                await server.wait_closed()
