"""What only the bus in memory has: a Link between the parties, and a clock of one's own."""

import asyncio
from collections.abc import Callable

import pytest

from relaymd.bus import contract, facts
from relaymd.bus import messages as m
from relaymd.bus.broker import Broker, Kind, Parcel
from relaymd.bus.bus import BusError, NoAnswerError, NoResponderError
from relaymd.bus.memory import MemoryBus
from relaymd.core.ids import Epoch, InstanceId, JobId, WorkerId
from tests.bus.actors import serving

BEAT = m.Heartbeat(worker=WorkerId("w1"), instance=InstanceId("i1"))


class Lossy:
    """Does to each parcel what the test says: how often it arrives, and after how long."""

    def __init__(self, arrivals: Callable[[Parcel], list[float]]) -> None:
        self.arrivals = arrivals
        self.seen: list[tuple[Kind, str, str]] = []

    def __call__(self, parcel: Parcel, deliver: Callable[[], None]) -> None:
        self.seen.append((parcel.kind, parcel.sender, parcel.receiver))
        for delay in self.arrivals(parcel):
            asyncio.get_running_loop().call_later(delay, deliver)


async def converse(link: Lossy, *, within: float) -> int | None:
    """How often the handler ran; None where the asker got no answer."""
    handled: list[m.Heartbeat] = []

    def handle(beat: m.Heartbeat) -> m.HeartbeatAck:
        handled.append(beat)
        return m.HeartbeatAck()

    broker = Broker(link)
    orchestrator = MemoryBus(broker, "orchestrator")
    async with serving(orchestrator, contract.HEARTBEAT.answered_by(handle)):
        try:
            await MemoryBus(broker, "w1").ask(contract.HEARTBEAT, BEAT, within=within)
        except NoAnswerError:
            return None
        await asyncio.sleep(0.02)
        for _ in range(10):  # on a slow machine what is due by now has yet to take its turns
            await asyncio.sleep(0)
        return len(handled)


async def test_a_link_sees_who_sends_what_to_whom() -> None:
    link = Lossy(lambda _: [0.0])
    assert await converse(link, within=1) == 1
    assert link.seen == [
        (Kind.REQUEST, "w1", "orchestrator"),
        (Kind.ANSWER, "orchestrator", "w1"),
    ]


async def test_a_request_may_arrive_twice_and_its_answer_counts_once() -> None:
    assert await converse(Lossy(lambda _: [0.0, 0.01]), within=1) == 2


@pytest.mark.parametrize("lost", [Kind.REQUEST, Kind.ANSWER])
async def test_what_is_lost_is_no_answer(lost: Kind) -> None:
    link = Lossy(lambda parcel: [] if parcel.kind is lost else [0.0])
    assert await converse(link, within=0.05) is None


async def test_who_stopped_serving_meanwhile_certainly_did_not_handle_it() -> None:
    broker = Broker(Lossy(lambda _: [0.02]))
    async with asyncio.TaskGroup() as group:
        async with MemoryBus(broker).serve("x", contract.HEARTBEAT.answered_by(_ack)):
            asking = group.create_task(_error(MemoryBus(broker)))
            await asyncio.sleep(0)
        assert await asking is NoResponderError


async def _error(bus: MemoryBus) -> type[BusError]:
    with pytest.raises(BusError) as error:
        await bus.ask(contract.HEARTBEAT, BEAT)
    return error.type


def _ack(_: m.Heartbeat) -> m.HeartbeatAck:
    return m.HeartbeatAck()


async def test_listeners_hear_their_share() -> None:
    broker = Broker()
    output = facts.Output(
        job=JobId("j1"),
        epoch=Epoch(1),
        stream=facts.OutputStream.STDOUT,
        offset=0,
        text="x",
        size=1,
    )
    bus = MemoryBus(broker)
    async with (
        bus.listen(contract.OUTPUT, job="j1") as mine,
        bus.listen(contract.OUTPUT) as all_of_them,
        bus.listen(contract.OUTPUT, job="j2") as others,
    ):
        await bus.publish(contract.OUTPUT, output)
        assert await anext(mine) == output
        assert await anext(all_of_them) == output
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(others)
