"""An observer, with nothing but nats-py: reads every event, and can do nothing else."""

# pyright: reportUnknownMemberType=false
# nats-py has types in part only.

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from relaymd.connection import Role, read_connection, read_credentials
from tests.system.bundles import fake_bundle
from tests.system.stack import Stack

pytestmark = pytest.mark.system

SCRIPT = """
import asyncio, os, nats

async def main():
    nc = await nats.connect(os.environ["URL"], user="observer", password=os.environ["PASSWORD"])
    facts = await nc.subscribe("relaymd.event.>")
    await nc.flush()
    print("listening", flush=True)
    async for message in facts.messages:
        print(message.subject, message.data.decode(), flush=True)

asyncio.run(main())
"""


async def test_a_ten_line_script_with_an_observers_credentials_reads_a_jobs_events(
    stack: Stack, tmp_path: Path
) -> None:
    secrets = {
        "URL": read_connection(stack.state).nats_url,
        "PASSWORD": read_credentials(stack.state).passwords[Role.OBSERVER],
    }
    script = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT,
        env={**os.environ, **secrets},
        stdout=asyncio.subprocess.PIPE,
    )
    assert script.stdout is not None
    try:
        assert await script.stdout.readline() == b"listening\n"
        job = await stack.submit(fake_bundle(tmp_path / "b", steps=30), "--title", "observed")
        kinds: list[str] = []
        async with asyncio.timeout(60):
            while "completed" not in kinds:
                subject, _, body = (await script.stdout.readline()).decode().partition(" ")
                fact = json.loads(body)
                if subject.startswith(f"relaymd.event.job.{job}."):
                    assert fact["job"] == job
                    assert fact["event"]["type"] == fact["kind"] == subject.rpartition(".")[2]
                    kinds.append(fact["kind"])
    finally:
        script.kill()
        await script.wait()
    assert kinds[:4] == ["submitted", "assigned", "started", "launched"]


@asynccontextmanager
async def observer(stack: Stack, errors: list[str]) -> AsyncGenerator[Client, None]:
    async def note(error: Exception) -> None:
        errors.append(str(error).lower())

    client = await nats.connect(
        read_connection(stack.state).nats_url,
        user=Role.OBSERVER,
        password=read_credentials(stack.state).passwords[Role.OBSERVER],
        error_cb=note,
    )
    try:
        yield client
    finally:
        await client.close()


async def test_an_observers_credentials_can_listen_to_nothing_else(stack: Stack) -> None:
    for subject in (
        "relaymd.>",
        ">",
        "relaymd.worker.>",
        "relaymd.control.>",
        "relaymd.operator.>",
        "relaymd.output.>",
        "$JS.>",
        "$JS.API.>",
        "$SYS.>",
        "$SRV.>",
        "_INBOX.>",
    ):
        errors: list[str] = []
        async with observer(stack, errors) as client:
            await client.subscribe(subject)
            await client.flush()

            async def denied(errors: list[str] = errors) -> bool:
                return any("permissions violation" in error for error in errors)

            await stack.until(denied, within=5, what=f"listening to {subject} is denied")


async def test_an_observers_credentials_can_say_nothing(stack: Stack) -> None:
    for subject in (
        "relaymd.operator.jobs",
        "relaymd.operator.job.j-2.submit",
        "relaymd.worker.w-2.heartbeat",
        "relaymd.control.w-2.drain",
        "relaymd.event.job.j-2.completed",
        "$JS.API.INFO",
        "$JS.API.STREAM.DELETE.RELAYMD_EVENTS",
        "$JS.API.STREAM.PURGE.RELAYMD_EVENTS",
        "$JS.API.CONSUMER.CREATE.RELAYMD_EVENTS",
        "$SRV.PING",
        "_INBOX.operator.x",
        "anything",
    ):
        errors: list[str] = []
        async with observer(stack, errors) as client:
            with pytest.raises((NoRespondersError, NatsTimeoutError)):
                await client.request(subject, b"{}", timeout=0.2)
            assert any("permissions violation for publish" in error for error in errors), subject


async def test_an_observer_reaches_no_part_of_jetstream(stack: Stack) -> None:
    async with observer(stack, []) as client:
        jetstream = client.jetstream(timeout=0.3)
        with pytest.raises((NoRespondersError, NatsTimeoutError)):
            await jetstream.account_info()
        with pytest.raises((NoRespondersError, NatsTimeoutError)):
            await jetstream.stream_info("RELAYMD_EVENTS")
        with pytest.raises((NoRespondersError, NatsTimeoutError)):
            await jetstream.purge_stream("RELAYMD_EVENTS")
