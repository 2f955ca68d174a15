"""Real parts that every test may ask for.

nats_server   one nats-server for the whole session, with the permissions of production. Use ids
              of your own, since others use it too, and do not hurt it.
own_server    one for this test alone, which may be killed, frozen and started again.

Both are a `NatsServer` (tests/servers.py): `server.url`, `server.credentials`,
`server.password(role)`, and `async with server.connect(Role.WORKER, "w1") as bus:`.
"""

import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.servers import NatsServer

# What a shell starts in the background ignores SIGINT, and so does all that it starts. The
# programs under test are to hear Ctrl-C as a person's would.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[NatsServer]:
    yield from _running(tmp_path_factory.mktemp("nats"))


@pytest.fixture
def own_server(tmp_path: Path) -> Generator[NatsServer]:
    yield from _running(tmp_path / "nats")


def _running(folder: Path) -> Generator[NatsServer]:
    server = NatsServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
