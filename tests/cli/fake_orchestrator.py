"""A process that the stack starts in place of the orchestrator: serves, or dies as it is told."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from relaymd.bus.client import connect
from relaymd.bus.journal import NatsJournal
from relaymd.bus.operating import ClusterView
from relaymd.config import load_config
from relaymd.connection import Role, find
from relaymd.process import follow_parent, run, signals
from tests.cli.desk import Desk


async def main() -> None:
    access = find(load_config(), Role.ORCHESTRATOR)
    stop = asyncio.Event()
    async with connect(
        access.url, role=Role.ORCHESTRATOR, password=access.password, name="orchestrator"
    ) as bus:
        journal = NatsJournal(bus)
        await journal.prepare()
        with signals(lambda _: stop.set()):
            desk = Desk(bus, journal)
            there = os.environ.get("FAKE_CLUSTERS", "[]")
            desk.clusters = msgspec.json.decode(there, type=list[ClusterView])
            async with desk.serving():
                await stop.wait()
        order = Path(os.environ["RELAYMD_STATE_DIR"]) / "order"
        with order.open("a") as file:
            file.write("orchestrator\n")


if __name__ == "__main__":
    follow_parent(os.environ)
    if os.environ.get("FAKE_DIES"):
        sys.exit(7)
    run(main())
