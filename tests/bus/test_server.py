import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from relaymd.bus.client import connect
from relaymd.bus.server import (
    ServerFailedError,
    Settings,
    choose_port,
    embedded,
    environment,
    find_binary,
    find_configuration,
)
from relaymd.connection import Credentials, Role, generate
from tests.bus.actors import until

ROOT = Path(__file__).parent.parent.parent


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_it_is_ready_when_it_says_so_and_gone_when_the_block_ends(tmp_path: Path) -> None:
    credentials = generate()
    async with embedded(Settings(folder=tmp_path / "nats"), credentials) as server:
        password = credentials.passwords[Role.WORKER]
        async with connect(server.url, role=Role.WORKER, password=password, name="w1") as bus:
            assert bus.connected
        assert server.pid is not None
        assert alive(server.pid)
    assert not alive(server.pid)


async def test_one_that_dies_comes_back_at_the_same_address(tmp_path: Path) -> None:
    credentials = generate()
    async with embedded(Settings(folder=tmp_path), credentials) as server:
        before, url = server.pid, server.url
        assert before is not None
        password = credentials.passwords[Role.WORKER]
        async with connect(url, role=Role.WORKER, password=password, name="w1") as bus:
            os.kill(before, signal.SIGKILL)
            await until(lambda: not bus.connected)
            await until(lambda: bus.connected)
        assert server.url == url
        assert server.pid != before


async def test_the_port_is_remembered(tmp_path: Path) -> None:
    settings = Settings(folder=tmp_path)
    async with embedded(settings, generate()) as server:
        port = server.port
    async with embedded(settings, generate()) as server:
        assert server.port == port


def test_a_remembered_port_that_somebody_took_is_replaced(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        (tmp_path / "port").write_text(f"{taken}\n")
        chosen = choose_port(Settings(folder=tmp_path))
    assert chosen not in (0, taken)
    assert (tmp_path / "port").read_text() == f"{chosen}\n"


@pytest.mark.parametrize("text", ["", "nonsense", "-1", "99999999"])
def test_a_damaged_record_of_the_port_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "port").write_text(text)
    assert choose_port(Settings(folder=tmp_path)) > 1024


async def test_a_configured_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = Settings(folder=tmp_path, port=other.getsockname()[1])
        with pytest.raises(ServerFailedError, match="address already in use"):
            async with embedded(settings, generate()):
                pass


async def test_two_stacks_on_one_machine_do_not_collide(tmp_path: Path) -> None:
    async with (
        embedded(Settings(folder=tmp_path / "a"), generate()) as one,
        embedded(Settings(folder=tmp_path / "b"), generate()) as other,
    ):
        assert one.url != other.url


async def test_no_secret_is_in_a_file_or_in_the_arguments(tmp_path: Path) -> None:
    canary = Credentials(passwords=dict.fromkeys(Role, '7canary" $x'), bridge_token="canary")
    async with embedded(Settings(folder=tmp_path), canary) as server:
        password = canary.passwords[Role.OBSERVER]
        async with connect(server.url, role=Role.OBSERVER, password=password, name="o") as bus:
            assert bus.connected
        assert "canary" not in Path(f"/proc/{server.pid}/cmdline").read_text()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if b"canary" in path.read_bytes()]


async def test_it_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    """On uvloop, as in production."""
    program = f"""
import asyncio
from pathlib import Path
from relaymd.bus.server import Settings, embedded
from relaymd.connection import generate
from relaymd.process import run

async def main():
    async with embedded(Settings(folder=Path({str(tmp_path)!r})), generate()) as server:
        Path({str(tmp_path / "pid")!r}).write_text(str(server.pid))
        await asyncio.Event().wait()

run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
    )
    record = tmp_path / "pid"
    try:
        await until(lambda: record.exists() and record.read_text())
    finally:
        parent.kill()
        await parent.wait()
    pid = int(record.read_text())
    await until(lambda: not alive(pid))


@pytest.mark.parametrize("name", ["embedded", "login-node", "leaf-node", "cluster"])
def test_every_configuration_is_accepted_by_the_server(tmp_path: Path, name: str) -> None:
    settings = Settings(folder=tmp_path)
    more = {
        "RELAYMD_CLUSTER": "hpc-1",
        "RELAYMD_LEAF_REMOTE": "nats-leaf://leaf:secret@login-node:7422",
        "RELAYMD_PASSWORD_LEAF": "9 secret",
        "RELAYMD_PASSWORD_CLUSTER": "9 secret",
        **{f"RELAYMD_ROUTE_{n}": f"nats-route://cluster:x@server-{n}:6222" for n in (1, 2, 3)},
    }
    quoted = {key: json.dumps(value) for key, value in more.items()}
    found = subprocess.run(
        [find_binary(), "-t", "-c", find_configuration() / f"{name}.conf"],
        env={**environment(settings, generate(), name="x", port=4222), **quoted},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "jetstream").write_text("not a folder")
    with pytest.raises(ServerFailedError, match=r"nats-server ended at once: .+"):
        async with asyncio.timeout(10), embedded(Settings(folder=tmp_path), generate()):
            pass
