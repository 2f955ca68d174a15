import asyncio
import socket
import time

import pytest

from relaymd.bus import contract, facts
from relaymd.bus import messages as m
from relaymd.bus.bus import NoAnswerError, NoResponderError, RefusedError, UnreachableError
from relaymd.bus.client import connect, disconnections
from relaymd.bus.remote import NatsBus
from relaymd.connection import Role
from relaymd.core.ids import Epoch, InstanceId, JobId, WorkerId
from tests.bus.actors import serving, until
from tests.servers import NatsServer

BEAT = m.Heartbeat(worker=WorkerId("w1"), instance=InstanceId("i1"))
ANSWER = contract.HEARTBEAT.answered_by(lambda _: m.HeartbeatAck())


async def test_no_server_is_said_in_under_three_seconds() -> None:
    began = time.monotonic()
    with pytest.raises(
        UnreachableError, match=r"cannot reach NATS at nats://127.0.0.1:1: Conn.* refused"
    ):
        async with connect("nats://127.0.0.1:1", role=Role.WORKER, password="x", name="w1"):
            pass
    assert time.monotonic() - began < 3


async def test_a_server_that_says_nothing_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="no answer"):
            async with connect(url, role=Role.WORKER, password="x", name="w1", patience=0.2):
                pass


async def test_wrong_credentials_are_said_at_once_and_shown_nowhere(
    nats_server: NatsServer,
) -> None:
    url = nats_server.url.replace("nats://", "nats://user:canary@")
    with pytest.raises(UnreachableError, match="does not accept these credentials") as error:
        async with connect(url, role=Role.WORKER, password="canary", name="w1"):
            pass
    assert "canary" not in str(error.value)


async def test_too_large_a_request_is_refused_here(nats_server: NatsServer) -> None:
    async with nats_server.connect(Role.WORKER) as bus:
        huge = m.Leave(worker=WorkerId("w1"), instance=InstanceId("i"), reason="x" * 9_000_000)
        with pytest.raises(RefusedError, match="more than the server carries"):
            await bus.ask(contract.LEAVE, huge)


async def test_too_large_an_answer_is_a_refusal(nats_server: NatsServer) -> None:
    answer = m.HeartbeatAck(drain="x" * 9_000_000)
    async with (
        nats_server.connect(Role.WORKER) as worker,
        nats_server.connect(Role.ORCHESTRATOR) as orchestrator,
        serving(orchestrator, contract.HEARTBEAT.answered_by(lambda _: answer)),
    ):
        with pytest.raises(RefusedError, match="more than the server carries"):
            await worker.ask(contract.HEARTBEAT, BEAT)


async def test_both_sides_come_back_when_the_server_does(own_server: NatsServer) -> None:
    told: list[str] = []
    async with (
        own_server.connect(
            Role.WORKER,
            on_disconnect=lambda: told.append("down"),
            on_reconnect=lambda: told.append("up"),
        ) as worker,
        own_server.connect(Role.ORCHESTRATOR) as orchestrator,
        serving(orchestrator, ANSWER),
    ):
        await worker.ask(contract.HEARTBEAT, BEAT)
        own_server.kill()
        await until(lambda: not worker.connected)
        own_server.start()
        await until(lambda: worker.connected and orchestrator.connected, within=5)
        await worker.ask(contract.HEARTBEAT, BEAT)
        assert told == ["down", "up"]


async def test_an_error_in_what_hears_of_an_outage_does_not_prevent_the_return(
    own_server: NatsServer,
) -> None:
    loop = asyncio.get_running_loop()
    errors: list[object] = []
    loop.set_exception_handler(lambda _, context: errors.append(context.get("exception")))

    def fail() -> None:
        raise ZeroDivisionError

    async with own_server.connect(Role.WORKER, on_disconnect=fail) as worker:
        own_server.kill()
        await until(lambda: errors)
        own_server.start()
        await until(lambda: worker.connected)


async def test_who_waits_for_an_answer_hears_at_once_that_the_connection_is_lost(
    own_server: NatsServer,
) -> None:
    asking = asyncio.Event()
    never: asyncio.Future[m.WorkAnswer] = asyncio.get_running_loop().create_future()

    def handle(_: m.AskForWork) -> "asyncio.Future[m.WorkAnswer]":
        asking.set()
        return never

    ask = m.AskForWork(worker=WorkerId("w1"), instance=InstanceId("i"), wait=60)
    async with (
        own_server.connect(Role.WORKER) as worker,
        own_server.connect(Role.ORCHESTRATOR) as orchestrator,
        serving(orchestrator, contract.WORK.answered_by(handle)),
        asyncio.TaskGroup() as group,
    ):
        waiting = group.create_task(_no_answer(worker, ask))
        await asking.wait()
        own_server.kill()
        async with asyncio.timeout(2):
            assert "connection was lost" in await waiting


async def _no_answer(bus: NatsBus, ask: m.AskForWork) -> str:
    with pytest.raises(NoAnswerError) as error:
        await bus.ask(contract.WORK, ask)
    return str(error.value)


async def test_asking_while_disconnected_fails_in_its_time(own_server: NatsServer) -> None:
    async with own_server.connect(Role.WORKER) as worker:
        own_server.kill()
        await until(lambda: not worker.connected)
        with pytest.raises(NoAnswerError, match="not connected"):
            await worker.ask(contract.HEARTBEAT, BEAT, within=0.2)
        await worker.publish(contract.OUTPUT, _OUTPUT)  # lost, as it may be


async def test_a_request_made_during_an_outage_is_sent_after_it(own_server: NatsServer) -> None:
    async with own_server.connect(Role.WORKER) as worker, asyncio.TaskGroup() as group:
        own_server.kill()
        await until(lambda: not worker.connected)
        asking = group.create_task(_nobody(worker))
        own_server.start()
        await asking


async def _nobody(bus: NatsBus) -> None:
    with pytest.raises(NoResponderError):
        await bus.ask(contract.HEARTBEAT, BEAT, within=10)


async def test_an_answer_made_during_an_outage_does_not_end_the_actor(
    own_server: NatsServer,
) -> None:
    promise: asyncio.Future[m.WorkAnswer] = asyncio.get_running_loop().create_future()
    asked = asyncio.Event()

    def handle(_: m.AskForWork) -> "asyncio.Future[m.WorkAnswer]":
        asked.set()
        return promise

    ask = m.AskForWork(worker=WorkerId("w1"), instance=InstanceId("i"), wait=60)
    async with (
        own_server.connect(Role.WORKER) as worker,
        own_server.connect(Role.ORCHESTRATOR) as orchestrator,
        serving(orchestrator, contract.WORK.answered_by(handle), ANSWER),
        asyncio.TaskGroup() as group,
    ):
        group.create_task(_no_answer(worker, ask))
        await asked.wait()
        own_server.kill()
        await until(lambda: not orchestrator.connected)
        promise.set_result(m.WorkAnswer(work=m.NoWork()))
        own_server.start()
        await until(lambda: worker.connected and orchestrator.connected)
        await worker.ask(contract.HEARTBEAT, BEAT)


async def test_a_long_wait_is_answered_by_an_actor_whose_connection_was_renewed(
    own_server: NatsServer,
) -> None:
    """The permission to answer must not be forgotten with the connection."""
    promises: list[asyncio.Future[m.WorkAnswer]] = []

    def handle(_: m.AskForWork) -> "asyncio.Future[m.WorkAnswer]":
        promises.append(asyncio.get_running_loop().create_future())
        return promises[-1]

    ask = m.AskForWork(worker=WorkerId("w1"), instance=InstanceId("i"), wait=60)
    async with (
        own_server.connect(Role.ORCHESTRATOR) as orchestrator,
        serving(orchestrator, contract.WORK.answered_by(handle)),
    ):
        own_server.kill()
        await until(lambda: not orchestrator.connected)
        own_server.start()
        await until(lambda: orchestrator.connected)
        async with own_server.connect(Role.WORKER) as worker, asyncio.TaskGroup() as group:
            asking = group.create_task(worker.ask(contract.WORK, ask))
            await until(lambda: promises)
            promises[0].set_result(m.WorkAnswer(work=m.NoWork(leave=True)))
            assert (await asking).work == m.NoWork(leave=True)


async def test_a_frozen_server_is_noticed_within_seconds(own_server: NatsServer) -> None:
    async with own_server.connect(Role.WORKER) as worker:
        own_server.freeze()
        try:
            await until(lambda: not worker.connected, within=8)
        finally:
            own_server.thaw()
        await until(lambda: worker.connected, within=8)


async def test_the_server_tells_who_lost_its_connection(nats_server: NatsServer) -> None:
    password = nats_server.password(Role.SYSTEM)
    async with disconnections(nats_server.url, password=password, name="reaper") as lost:
        async with nats_server.connect(Role.WORKER, "w-lost"):
            pass
        async with asyncio.timeout(5):
            async for one in lost:
                if one.name == "w-lost":
                    assert one.reason == "Client Closed"
                    break


_OUTPUT = facts.Output(
    job=JobId("j1"),
    epoch=Epoch(1),
    stream=facts.OutputStream.STDOUT,
    offset=0,
    text="",
    size=0,
)


async def test_a_cancellation_during_a_settle_is_never_swallowed(nats_server: NatsServer) -> None:
    async def settle_often() -> None:
        for _ in range(1000):
            await bus.wire.settle()

    async with nats_server.connect(Role.WORKER) as bus:
        for turn in range(300):  # of the loop: the answer comes within one of them
            task = asyncio.create_task(settle_often())
            for _ in range(turn % 60):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled(), f"it went on, cancelled after {turn % 60} turns of the loop"
