"""Bytes of the protocol itself that no client of ours would send, and that the server passes on."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from relaymd.bus import contract
from relaymd.bus.messages import Heartbeat, HeartbeatAck
from relaymd.bus.remote import NatsBus
from relaymd.connection import Role
from relaymd.core.ids import InstanceId, WorkerId
from tests.bus.actors import serving
from tests.hostile.payloads import CASES, generator, spoiled
from tests.servers import NatsServer

SUBJECT = b"relaymd.worker.w1.heartbeat"
LETTERS = [bytes([code]) for code in range(1, 256) if bytes([code]) not in (b"\n", b" ", b"\t")]
HEADERS = (
    b"NATS/1.0\r\na: b\r\n\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 503 No Responders\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\nNats-Consumer-Stalled: $JS.FC.x\r\n\r\n",
    b"NATS/1.0\r\nNats-Service-Error-Code: 400\r\nNats-Service-Error: x\r\n\r\n",
)


def publication(subject: bytes, body: bytes, reply: bytes = b"") -> bytes:
    return b"PUB %s %s %d\r\n%s\r\n" % (subject, reply, len(body), body)


def with_headers(headers: bytes, body: bytes) -> bytes:
    size = len(headers)
    return b"HPUB %s %d %d\r\n%s%s\r\n" % (SUBJECT, size, size + len(body), headers, body)


def noise(rng: Random) -> Iterator[bytes]:
    for number in range(CASES):
        body = rng.choice([b"", b"{}", rng.randbytes(9)])
        letters = b"".join(rng.choices(LETTERS, k=rng.randrange(1, 12))).replace(b".", b"-")
        yield publication(b"relaymd.worker.%s.heartbeat" % letters, body)
        yield publication(SUBJECT, body, reply=b"_INBOX.worker." + letters)
        yield with_headers(spoiled(rng, HEADERS[number % len(HEADERS)]) or b"N", body)


@asynccontextmanager
async def peer(server: NatsServer) -> AsyncGenerator[asyncio.StreamWriter]:
    """A worker that speaks for itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    said = {"user": Role.WORKER, "pass": server.password(Role.WORKER), "headers": True}
    options = {**said, "verbose": False, "no_responders": True, "lang": "x", "version": "1"}
    await reader.readline()
    writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
    assert await reader.readline() == b"PONG\r\n"
    try:
        yield writer
        writer.write(b"PING\r\n")
        while (line := await reader.readline()) != b"PONG\r\n":
            assert line.startswith((b"PING", b"-ERR 'Permissions", b"-ERR 'Invalid Publish")), line
    finally:
        writer.close()


async def answered(bus: NatsBus) -> bool:
    message = Heartbeat(worker=WorkerId("w2"), instance=InstanceId("i1"))
    async with asyncio.timeout(5):
        return (await bus.ask(contract.HEARTBEAT, message)).known


@pytest.mark.hostile
async def test_no_subject_reply_or_header_ends_the_connection_of_who_hears_it(
    nats_server: NatsServer,
) -> None:
    lost: list[None] = []
    binding = contract.HEARTBEAT.answered_by(lambda _: HeartbeatAck())
    hearing = nats_server.connect(
        Role.ORCHESTRATOR, "hears", on_disconnect=lambda: lost.append(None)
    )
    async with hearing as bus, serving(bus, binding), nats_server.connect(Role.WORKER) as sane:
        async with peer(nats_server) as writer:
            for raw in noise(generator("wire")):
                writer.write(raw)
                await writer.drain()
        assert await answered(sane)
    assert not lost
