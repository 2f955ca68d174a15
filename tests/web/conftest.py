"""The bridge over a bus in memory, with an orchestrator behind it, asked over real HTTP."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest
from aiohttp import ClientSession, web

from relaymd.bus.memory import MemoryBus
from relaymd.bus.memory_journal import MemoryJournal
from relaymd.web.app import build, runner
from tests.cli.desk import Desk

TOKEN = "canary-token-5e1f"


@dataclass
class Bridge:
    url: str
    desk: Desk
    journal: MemoryJournal
    client: ClientSession
    """Shows the token."""

    stranger: ClientSession
    """Does not."""


@pytest.fixture
async def bridge() -> AsyncGenerator[Bridge]:
    bus, journal = MemoryBus(), MemoryJournal()
    desk = Desk(bus, journal)
    served = runner(build(bus, journal, token=TOKEN, heartbeat=0.2))
    await served.setup()
    site = web.TCPSite(served, "127.0.0.1", 0)
    await site.start()
    host, port = served.addresses[0][:2]
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    try:
        async with (
            desk.serving(),
            ClientSession(headers=bearer) as client,
            ClientSession() as stranger,
        ):
            yield Bridge(f"http://{host}:{port}", desk, journal, client, stranger)
    finally:
        await served.cleanup()
