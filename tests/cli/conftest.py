"""A state folder with a real nats-server behind it, an orchestrator of a few lines, the command."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from relaymd.bus.journal import NatsJournal
from relaymd.config import StorageConfig
from relaymd.connection import (
    Connection,
    Role,
    credentials_file,
    write_connection,
    write_private,
)
from relaymd.storage.open import prepare_store
from tests.cli.desk import Desk
from tests.servers import NatsServer

WITHIN = 20.0


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Shell:
    """Runs `relaymd` as a user does: another process, a state folder in its environment."""

    state: Path
    cwd: Path
    environ: dict[str, str] = field(default_factory=dict[str, str])

    async def start(self, *words: str | Path, **environ: str) -> asyncio.subprocess.Process:
        known = {k: v for k, v in os.environ.items() if not k.startswith("RELAYMD_")}
        ours = {"RELAYMD_STATE_DIR": str(self.state), "HOME": str(self.cwd), **self.environ}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "relaymd.cli"),
            *map(str, words),
            cwd=self.cwd,
            env={**known, "PYTHONPATH": str(Path(__file__).parents[2]), **ours, **environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def __call__(self, *words: str | Path, **environ: str) -> Answer:
        process = await self.start(*words, **environ)
        try:
            async with asyncio.timeout(WITHIN):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Answer(process.returncode, out.decode(), err.decode())


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    return Shell(tmp_path / "state", cwd)


@dataclass
class Stack:
    """What a command finds when a stack runs."""

    desk: Desk
    shell: Shell
    server: NatsServer
    storage: StorageConfig


@pytest.fixture
async def stack(own_server: NatsServer, shell: Shell) -> AsyncGenerator[Stack]:
    shell.state.mkdir()
    write_private(credentials_file(shell.state), own_server.credentials)
    storage = prepare_store(StorageConfig(), shell.state)
    connection = Connection(nats_url=own_server.url, storage=storage, pid=os.getpid())
    write_connection(shell.state, connection)
    async with own_server.connect(Role.ORCHESTRATOR, "orchestrator") as bus:
        journal = NatsJournal(bus)
        await journal.prepare()
        desk = Desk(bus, journal)
        async with desk.serving():
            yield Stack(desk, shell, own_server, storage)
