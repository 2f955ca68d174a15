"""What `nats micro ls | info | stats` asks, read back with the library's own types."""

import json
import re

import pytest
from nats.micro.service import ServiceInfo, ServicePing, ServiceStats

from relaymd.bus import contract
from relaymd.bus import messages as m
from relaymd.bus.bus import NoResponderError, RefusedError
from relaymd.bus.remote import NatsBus
from relaymd.connection import Role
from relaymd.core.ids import Epoch, InstanceId, JobId, WorkerId
from tests.bus.actors import serving
from tests.servers import NatsServer

BEAT = m.Heartbeat(worker=WorkerId("w1"), instance=InstanceId("i1"))


def answer(beat: m.Heartbeat) -> m.HeartbeatAck:
    if beat.leases:
        raise RefusedError.because(m.RefusalCode.UNKNOWN_WORKER, "never heard of it")
    return m.HeartbeatAck()


async def ask(bus: NatsBus, subject: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((await bus.wire.request(subject, b"", within=5)).body)
    return found


async def test_a_service_shows_itself_and_what_it_did(nats_server: NatsServer) -> None:
    lease = m.HeldLease(job=JobId("j1"), epoch=Epoch(1))
    refused = m.Heartbeat(worker=BEAT.worker, instance=BEAT.instance, leases=(lease,))
    async with (
        nats_server.connect(Role.WORKER) as worker,
        nats_server.connect(Role.OPERATOR) as operator,
        nats_server.connect(Role.ORCHESTRATOR) as orchestrator,
        serving(orchestrator, contract.HEARTBEAT.answered_by(answer), service="registry"),
    ):
        for beat in (BEAT, BEAT, refused):
            try:
                await worker.ask(contract.HEARTBEAT, beat)
            except RefusedError:
                continue
        ping = ServicePing.from_dict(await ask(operator, "$SRV.PING"))
        assert ping.name == "registry"
        assert re.fullmatch(r"\d+\.\d+\.\d+", ping.version)
        info = ServiceInfo.from_dict(await ask(operator, "$SRV.INFO.registry"))
        assert [(one.name, one.subject) for one in info.endpoints] == [
            ("worker-heartbeat", "relaymd.worker.*.heartbeat")
        ]
        stats = ServiceStats.from_dict(await ask(operator, f"$SRV.STATS.registry.{ping.id}"))
        (endpoint,) = stats.endpoints
        assert (endpoint.num_requests, endpoint.num_errors) == (3, 1)
        assert endpoint.last_error == "never heard of it"
        assert endpoint.processing_time > 0


async def test_a_service_that_ended_is_not_shown(nats_server: NatsServer) -> None:
    async with (
        nats_server.connect(Role.OPERATOR) as operator,
        nats_server.connect(Role.ORCHESTRATOR) as orchestrator,
    ):
        async with serving(orchestrator, service="short"):
            assert (await ask(operator, "$SRV.PING.short"))["name"] == "short"
        await orchestrator.wire.settle()
        with pytest.raises(NoResponderError):
            await ask(operator, "$SRV.PING.short")
