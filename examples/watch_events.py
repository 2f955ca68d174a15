"""Print every event of the stack that runs here, with nats-py alone and an observer's rights."""

import asyncio
import json
import os
from pathlib import Path

import nats

# pyright: reportUnknownMemberType=false
# nats-py is typed in part.

STATE = Path(os.environ.get("RELAYMD_STATE_DIR", "~/.local/state/relaymd")).expanduser()


async def main() -> None:
    url = json.loads((STATE / "connection.json").read_text())["nats_url"]
    password = json.loads((STATE / "credentials.json").read_text())["passwords"]["observer"]
    server = await nats.connect(url, user="observer", password=password)
    events = await server.subscribe("relaymd.event.>")
    async for event in events.messages:
        print(event.subject, event.data.decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
