"""The same conversation over a real server and in memory: one codec, one set of refusals."""

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple

import msgspec
import pytest

from relaymd.bus import contract, facts
from relaymd.bus import messages as m
from relaymd.bus.broker import Broker
from relaymd.bus.bus import Bus, NoAnswerError, NoResponderError, RefusedError
from relaymd.bus.codec import ERROR_CODE, Reply
from relaymd.bus.memory import MemoryBus
from relaymd.bus.messages import RefusalCode
from relaymd.bus.remote import NatsBus
from relaymd.bus.subjects import Binding
from relaymd.connection import Role
from relaymd.core.ids import Epoch, InstanceId, JobId, WorkerId
from tests.bus.actors import serving, until
from tests.servers import NatsServer

ME = WorkerId("w1")
BEAT = m.Heartbeat(worker=ME, instance=InstanceId("i1"))
BEAT_SUBJECT = contract.HEARTBEAT.of(BEAT)
ASK = m.AskForWork(worker=ME, instance=InstanceId("i1"), wait=60)


class Parties(NamedTuple):
    worker: Bus
    orchestrator: Bus


@pytest.fixture(params=["memory", "nats"])
async def parties(
    request: pytest.FixtureRequest, nats_server: NatsServer
) -> AsyncGenerator[Parties]:
    if request.param == "memory":
        broker = Broker()
        yield Parties(MemoryBus(broker, "w1"), MemoryBus(broker, "orchestrator"))
        return
    async with (
        nats_server.connect(Role.WORKER, "w1") as worker,
        nats_server.connect(Role.ORCHESTRATOR, "orchestrator") as orchestrator,
    ):
        yield Parties(worker, orchestrator)


def beats(answer: m.HeartbeatAck | Exception) -> Binding:
    def handle(_: m.Heartbeat) -> m.HeartbeatAck:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return contract.HEARTBEAT.answered_by(handle)


async def raw(bus: Bus, subject: str, body: bytes) -> Reply:
    """Ask with bytes that no struct would give."""
    if isinstance(bus, NatsBus):
        return await bus.wire.request(subject, body, within=5)
    assert isinstance(bus, MemoryBus)
    answer: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
    bus.broker.request(bus.party, subject, body, answer.set_result)
    reply = await answer
    assert reply is not None
    return reply


async def test_nobody_serves_the_subject(parties: Parties) -> None:
    with pytest.raises(NoResponderError):
        await parties.worker.ask(contract.HEARTBEAT, BEAT)


async def test_an_answer_has_the_type_the_contract_promises(parties: Parties) -> None:
    answer = m.HeartbeatAck(superseded=(JobId("j1"),))
    async with serving(parties.orchestrator, beats(answer)):
        assert await parties.worker.ask(contract.HEARTBEAT, BEAT) == answer


async def test_a_refusal_arrives_with_all_its_fields(parties: Parties) -> None:
    refusal = m.Refusal(
        error=RefusalCode.CONFLICT, message="line one\nline two ü", job_id=JobId("j1")
    )
    async with serving(parties.orchestrator, beats(RefusedError(refusal))):
        with pytest.raises(RefusedError) as refused:
            await parties.worker.ask(contract.HEARTBEAT, BEAT)
    assert refused.value.refusal == refusal


async def test_the_asker_waits_no_longer_than_it_says(parties: Parties) -> None:
    async with parties.orchestrator.serve("test", beats(m.HeartbeatAck())):
        with pytest.raises(NoAnswerError, match="no answer within"):
            await parties.worker.ask(contract.HEARTBEAT, BEAT, within=0.05)


async def test_an_unfit_identifier_is_refused_before_anything_is_sent(parties: Parties) -> None:
    beat = m.Heartbeat(worker=WorkerId("w1.>"), instance=InstanceId("i1"))
    with pytest.raises(RefusedError, match="cannot be part of a subject"):
        await parties.worker.ask(contract.HEARTBEAT, beat)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\x00{", id="malformed"),
        pytest.param(b'{"worker": 1, "instance": "i"}', id="wrong type"),
        pytest.param(b'{"worker": "w1"}', id="field missing"),
        pytest.param(b'{"worker": "w2", "instance": "i"}', id="somebody else"),
        pytest.param(b'{"worker": "w1.>", "instance": "i"}', id="wildcard"),
        pytest.param(b'{"worker": "", "instance": "i"}', id="no name"),
        pytest.param(b'{"worker": "w1", "x": ' + b"[" * 50_000, id="deeply nested"),
        pytest.param(b'{"worker": "\\ud800", "instance": "i"}', id="half a character"),
    ],
)
async def test_nothing_a_peer_sends_reaches_a_handler_unread(parties: Parties, body: bytes) -> None:
    handled: list[m.Heartbeat] = []

    def handle(beat: m.Heartbeat) -> m.HeartbeatAck:
        handled.append(beat)
        return m.HeartbeatAck()

    async with serving(parties.orchestrator, contract.HEARTBEAT.answered_by(handle)):
        reply = await raw(parties.worker, BEAT_SUBJECT, body)
        assert msgspec.json.decode(reply.body)["error"] == "invalid_request"
        assert reply.headers is not None
        assert reply.headers[ERROR_CODE] == "400"
        assert handled == []
        await parties.worker.ask(contract.HEARTBEAT, BEAT)


async def test_a_bug_of_ours_ends_the_actor_and_the_asker_is_told_to_ask_again(
    parties: Parties,
) -> None:
    up = asyncio.Event()

    async def actor() -> None:
        async with serving(parties.orchestrator, beats(ZeroDivisionError("ours"))):
            up.set()
            await asyncio.Event().wait()

    async def ask() -> RefusalCode | None:
        await up.wait()
        return await _beat_refused(parties.worker)

    crash, told = await asyncio.gather(actor(), ask(), return_exceptions=True)
    assert "ZeroDivisionError('ours')" in repr(crash)
    assert told is RefusalCode.UNAVAILABLE


def work(promise: "asyncio.Future[m.WorkAnswer]") -> Binding:
    return contract.WORK.answered_by(lambda _: promise)


async def test_an_answer_may_come_later(parties: Parties) -> None:
    promise: asyncio.Future[m.WorkAnswer] = asyncio.get_running_loop().create_future()
    async with serving(parties.orchestrator, work(promise)), asyncio.TaskGroup() as group:
        asking = group.create_task(parties.worker.ask(contract.WORK, ASK))
        group.create_task(parties.worker.ask(contract.WORK, ASK))
        await asyncio.sleep(0)
        promise.set_result(m.WorkAnswer(work=m.NoWork()))
        assert (await asking).work == m.NoWork()


async def test_long_waits_do_not_hold_up_others_on_the_same_subject(parties: Parties) -> None:
    waiting: asyncio.Future[m.WorkAnswer] = asyncio.get_running_loop().create_future()
    answers = [waiting]

    def handle(_: m.AskForWork) -> "m.WorkAnswer | asyncio.Future[m.WorkAnswer]":
        return answers.pop() if answers else m.WorkAnswer(work=m.NoWork(leave=True))

    binding = contract.WORK.answered_by(handle)
    async with serving(parties.orchestrator, binding), asyncio.TaskGroup() as group:
        first = group.create_task(parties.worker.ask(contract.WORK, ASK))
        await until(lambda: not answers)
        second = await parties.worker.ask(contract.WORK, ASK, within=2)
        assert second.work == m.NoWork(leave=True)
        assert not first.done()
        waiting.set_result(m.WorkAnswer(work=m.NoWork()))


async def test_a_promise_that_fails_with_a_refusal_refuses(parties: Parties) -> None:
    promise: asyncio.Future[m.WorkAnswer] = asyncio.get_running_loop().create_future()
    promise.set_exception(RefusedError.because(RefusalCode.UNAVAILABLE, "the disk is full"))
    async with serving(parties.orchestrator, work(promise)):
        with pytest.raises(RefusedError, match="the disk is full"):
            await parties.worker.ask(contract.WORK, ASK)


async def test_a_cancelled_promise_is_not_answered(parties: Parties) -> None:
    promise: asyncio.Future[m.WorkAnswer] = asyncio.get_running_loop().create_future()
    promise.cancel()
    async with serving(parties.orchestrator, work(promise)):
        with pytest.raises(NoAnswerError):
            await parties.worker.ask(contract.WORK, ASK, within=0.1)


async def test_when_the_actor_ends_those_who_wait_are_told_to_ask_again(parties: Parties) -> None:
    promise: asyncio.Future[m.WorkAnswer] = asyncio.get_running_loop().create_future()
    asked = asyncio.Event()

    def handle(_: m.AskForWork) -> "asyncio.Future[m.WorkAnswer]":
        asked.set()
        return promise

    async with asyncio.TaskGroup() as group:
        async with serving(parties.orchestrator, contract.WORK.answered_by(handle)):
            asking = group.create_task(_refusal(parties.worker))
            await asked.wait()
        assert await asking is RefusalCode.UNAVAILABLE
    assert not promise.cancelled()


async def _refusal(bus: Bus) -> RefusalCode:
    with pytest.raises(RefusedError) as refused:
        await bus.ask(contract.WORK, ASK)
    return refused.value.refusal.error


async def test_requests_nobody_took_are_refused_when_the_service_ends(parties: Parties) -> None:
    async with asyncio.TaskGroup() as group:
        async with parties.orchestrator.serve("test", beats(m.HeartbeatAck())) as inbox:
            asking = group.create_task(_beat_refused(parties.worker))
            first = await inbox.get()
            await first.handle()
            second = group.create_task(_beat_refused(parties.worker))
            third = group.create_task(_beat_refused(parties.worker))
            assert await asking is None
            assert isinstance(inbox, asyncio.Queue)
            await until(lambda: inbox.qsize() == 2)
        assert await second is RefusalCode.UNAVAILABLE
        assert await third is RefusalCode.UNAVAILABLE


async def _beat_refused(bus: Bus) -> RefusalCode | None:
    try:
        await bus.ask(contract.HEARTBEAT, BEAT)
    except RefusedError as refused:
        return refused.refusal.error
    return None


async def test_a_share_of_the_subjects_hears_only_its_own(parties: Parties) -> None:
    asked = m.StopJob(worker=ME, job=JobId("j1"), epoch=Epoch(1), standing=m.Standing.SUPERSEDED)
    mine = contract.STOP.answered_by(lambda _: m.Done(), worker=ME)
    async with serving(parties.worker, mine):
        assert await parties.orchestrator.ask(contract.STOP, asked) == m.Done()
        other = msgspec.structs.replace(asked, worker=WorkerId("w2"))
        with pytest.raises(NoResponderError):
            await parties.orchestrator.ask(contract.STOP, other)


async def test_listeners_hear_what_is_published_from_then_on(
    nats_server: NatsServer,
) -> None:
    async with (
        nats_server.connect(Role.WORKER) as worker,
        nats_server.connect(Role.OPERATOR) as operator,
        operator.listen(contract.OUTPUT, job="j1") as heard,
    ):
        for job in ("j2", "j1"):
            await worker.publish(contract.OUTPUT, output(job))
        async with asyncio.timeout(5):
            assert await anext(heard) == output("j1")


def output(job: str) -> facts.Output:
    return facts.Output(
        job=JobId(job),
        epoch=Epoch(1),
        stream=facts.OutputStream.STDOUT,
        offset=0,
        text="step 1\n",
        size=7,
    )
