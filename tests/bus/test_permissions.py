"""What each role's credentials can and cannot do, tried on a real server."""
# pyright: reportUnknownMemberType=false
# nats-py is typed in parts only.

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

from relaymd.bus import contract
from relaymd.bus import messages as m
from relaymd.bus.bus import NoResponderError, RefusedError
from relaymd.bus.journal import NatsJournal
from relaymd.connection import Role
from relaymd.core.ids import WorkerId
from tests.bus.facts import Fact
from tests.bus.samples import requests, samples
from tests.servers import NatsServer

REQUESTS = requests()
SAYS = {Role.WORKER: "relaymd.worker.", Role.OPERATOR: "relaymd.operator."}


class Denied:
    """A bare connection, and what the server did not let it do."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.client = Client()

    async def note(self, error: Exception) -> None:
        self.said.append(str(error))

    async def settle(self) -> list[str]:
        await self.client.flush()
        await self.client.flush()
        return self.said


@asynccontextmanager
async def bare(server: NatsServer, role: Role) -> AsyncGenerator[Denied]:
    denied = Denied()
    await denied.client.connect(
        server.url,
        user=role.value,
        password=server.password(role),
        error_cb=denied.note,
        inbox_prefix=f"_INBOX.{role.value}",
    )
    try:
        yield denied
    finally:
        await denied.client.close()


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("role", SAYS)
async def test_a_role_may_ask_exactly_what_is_its_to_ask(
    nats_server: NatsServer, role: Role, name: str
) -> None:
    row = REQUESTS[name]
    question = msgspec.convert(samples(row.carries)[0], row.carries)
    allowed = row.template.startswith(SAYS[role])
    async with nats_server.connect(role) as bus:
        with pytest.raises(NoResponderError if allowed else RefusedError, match=r"relaymd\."):
            await bus.ask(row, question)


@pytest.mark.parametrize("role", [Role.WORKER, Role.OPERATOR, Role.OBSERVER])
async def test_only_the_orchestrator_may_write_events(nats_server: NatsServer, role: Role) -> None:
    async with bare(nats_server, role) as denied:
        await denied.client.publish("relaymd.event.job.j1.started", b"{}")
        assert "permissions violation for publish" in (await denied.settle())[0]


@pytest.mark.parametrize("role", [Role.WORKER, Role.OPERATOR, Role.ORCHESTRATOR, Role.OBSERVER])
async def test_nobody_reads_the_answers_to_others(nats_server: NatsServer, role: Role) -> None:
    others = [other for other in Role if other not in (role, Role.SYSTEM)]
    async with bare(nats_server, role) as denied:
        for subject in (">", "_INBOX.>", *(f"_INBOX.{other.value}.>" for other in others)):
            await denied.client.subscribe(subject)
        assert len(await denied.settle()) == 2 + len(others)


async def test_a_worker_hears_neither_events_nor_operators(nats_server: NatsServer) -> None:
    async with bare(nats_server, Role.WORKER) as denied:
        for subject in ("relaymd.event.>", "relaymd.operator.>", "relaymd.worker.>", "$JS.>"):
            await denied.client.subscribe(subject)
        assert len(await denied.settle()) == 4


async def test_an_observer_reads_events_as_json_and_can_do_nothing_else(
    nats_server: NatsServer,
) -> None:
    async with nats_server.connect(Role.ORCHESTRATOR) as orchestrator:
        journal = NatsJournal(orchestrator)
        await journal.prepare()
        async with bare(nats_server, Role.OBSERVER) as observer:
            events = await observer.client.subscribe("relaymd.event.>")
            assert await observer.settle() == []
            await journal.append([Fact.next_after(await last(journal))])
            message = await events.next_msg(timeout=5)
            assert msgspec.json.decode(message.data)["kind"] == "started"

            for subject in FORBIDDEN_TO_SAY:
                await observer.client.publish(subject, b"{}")
            for subject in FORBIDDEN_TO_HEAR:
                await observer.client.subscribe(subject)
            said = await observer.settle()
            assert len(said) == len(FORBIDDEN_TO_SAY) + len(FORBIDDEN_TO_HEAR)
            with pytest.raises(Error):
                await observer.client.jetstream(timeout=0.2).streams_info()


FORBIDDEN_TO_SAY = (
    "relaymd.operator.status",
    "relaymd.worker.w1.heartbeat",
    "relaymd.control.w1.drain",
    "relaymd.event.job.j1.started",
    "relaymd.output.j1.stdout",
    "$SRV.PING",
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.RELAYMD_EVENTS",
    "$JS.API.CONSUMER.CREATE.RELAYMD_EVENTS",
    "anything",
)
FORBIDDEN_TO_HEAR = (
    ">",
    "relaymd.>",
    "relaymd.worker.>",
    "relaymd.operator.>",
    "relaymd.output.>",
    "_INBOX.>",
    "_INBOX.observer.>",
    "$SYS.>",
    "$JS.>",
)


async def last(journal: NatsJournal) -> int:
    seq = 0
    async for _, body in journal.follow(subject=contract.EVENTS, live=False):
        seq = msgspec.json.decode(body)["seq"]
    return seq


async def test_an_operator_cannot_change_the_stream(nats_server: NatsServer) -> None:
    calls = ("CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE")
    async with bare(nats_server, Role.OPERATOR) as denied:
        for call in calls:
            await denied.client.publish(f"$JS.API.STREAM.{call}.RELAYMD_EVENTS", b"{}")
        await denied.client.publish("$JS.API.CONSUMER.CREATE.OTHER", b"{}")
        assert len(await denied.settle()) == len(calls) + 1


async def test_who_has_no_credentials_stays_outside(nats_server: NatsServer) -> None:
    async def ignore(_: Exception) -> None: ...

    client = Client()
    with pytest.raises(Error, match="Authorization Violation"):
        await client.connect(nats_server.url, allow_reconnect=False, error_cb=ignore)
    await client.close()


async def test_a_worker_answers_the_orchestrator_and_says_nothing_else(
    nats_server: NatsServer,
) -> None:
    async with bare(nats_server, Role.WORKER) as worker:

        async def answer(message: Msg) -> None:
            await message.respond(b'{"instance":"i1"}')

        await worker.client.subscribe("relaymd.control.w9.ping", cb=answer)
        await worker.settle()
        async with nats_server.connect(Role.ORCHESTRATOR) as orchestrator, asyncio.timeout(5):
            pong = await orchestrator.ask(contract.PING, m.Ping(worker=WorkerId("w9")))
        assert pong.instance == "i1"
        await worker.client.publish("_INBOX.operator.x.1", b"{}")
        assert len(await worker.settle()) == 1
