"""The bridge on its own, as a process beside a server."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from relaymd.config import StorageConfig
from relaymd.connection import Connection, credentials_file, write_connection, write_private
from tests.servers import NatsServer

WITHIN = 20.0


async def test_a_bridge_on_its_own_takes_the_next_free_port(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    write_private(credentials_file(tmp_path), nats_server.credentials)
    storage = StorageConfig(path=str(tmp_path))
    write_connection(
        tmp_path, Connection(nats_url=nats_server.url, storage=storage, pid=os.getpid())
    )
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken: int = other.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "relaymd.web"),
            env={
                **os.environ,
                "RELAYMD_STATE_DIR": str(tmp_path),
                "RELAYMD_BRIDGE_PORT": str(taken),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(WITHIN):
                said = (await process.stdout.readline()).decode()
            assert "bridge.serves" in said
            assert f":{taken}" not in said
        finally:
            process.send_signal(signal.SIGTERM)
            await process.communicate()
    assert process.returncode == 0
