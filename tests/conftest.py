"""Real parts that every test may ask for.

nats_server   one nats-server for the whole session, with the permissions of production. Use ids
              of your own, since others use it too, and do not hurt it.
own_server    one for this test alone, which may be killed, frozen and started again.

In CI a test that is skipped has failed, but for those that are named here.

Both are a `NatsServer` (tests/servers.py): `server.url`, `server.credentials`,
`server.password(role)`, and `async with server.connect(Role.WORKER, "w1") as bus:`.
"""

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.servers import NatsServer

# What a shell starts in the background ignores SIGINT, and so does all that it starts. The
# programs under test are to hear Ctrl-C as a person's would.
signal.signal(signal.SIGINT, signal.default_int_handler)

MAY_BE_SKIPPED = frozenset(
    {
        "test_gpu.py",  # no CI of ours has a GPU
        "test_without_the_drivers_library_there_is_no_gpu_and_no_crash",  # if one had
    }
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    named = {item.path.name, item.name} & MAY_BE_SKIPPED
    if report.skipped and os.environ.get("CI") and not named:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be: {report.longrepr}"
    return report


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
