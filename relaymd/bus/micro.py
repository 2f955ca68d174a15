"""The micro service protocol of NATS (its ADR-32), so that `nats micro` shows our actors.

nats-py has it too, but measures only how long a callback took, which for an inbox is nothing,
and needs ten round trips to stop, which a dead server never answers.
"""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from relaymd.bus.subjects import HOLE, Binding
from relaymd.bus.tally import Tally
from relaymd.core.ids import UnixTime

QUEUE = "q"
"""The queue group micro services share unless they say otherwise."""


class _Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What every answer begins with."""

    name: str
    id: str
    version: str
    metadata: dict[str, str] = {}


class _Ping(_Shown, frozen=True, kw_only=True):
    type: str = "io.nats.micro.v1.ping_response"


class _EndpointInfo(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    subject: str
    queue_group: str = QUEUE
    metadata: dict[str, str] = {}


class _Info(_Shown, frozen=True, kw_only=True):
    type: str = "io.nats.micro.v1.info_response"
    description: str = ""
    endpoints: tuple[_EndpointInfo, ...]


class _EndpointStats(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    subject: str
    queue_group: str = QUEUE
    num_requests: int
    num_errors: int
    last_error: str
    processing_time: int
    """Nanoseconds."""

    average_processing_time: int
    data: None = None


class _Stats(_Shown, frozen=True, kw_only=True):
    type: str = "io.nats.micro.v1.stats_response"
    started: str
    endpoints: tuple[_EndpointStats, ...]


@dataclass(frozen=True)
class Service:
    """One running instance: which control subjects it answers, and with what."""

    name: str
    id: str
    version: str
    started: UnixTime
    endpoints: Sequence[tuple[Binding, Tally]]

    def controls(self) -> dict[str, Callable[[], bytes]]:
        """Each subject under which people look for services, and what makes the answer to it."""
        verbs = {"PING": self.ping, "INFO": self.info, "STATS": self.stats}
        return {
            f"$SRV.{verb}{tail}": answer
            for verb, answer in verbs.items()
            for tail in ("", f".{self.name}", f".{self.name}.{self.id}")
        }

    def ping(self) -> bytes:
        return msgspec.json.encode(_Ping(name=self.name, id=self.id, version=self.version))

    def info(self) -> bytes:
        endpoints = tuple(
            _EndpointInfo(name=_name(binding), subject=binding.listen)
            for binding, _ in self.endpoints
        )
        return msgspec.json.encode(
            _Info(name=self.name, id=self.id, version=self.version, endpoints=endpoints)
        )

    def stats(self) -> bytes:
        started = datetime.datetime.fromtimestamp(self.started, datetime.UTC)
        return msgspec.json.encode(
            _Stats(
                name=self.name,
                id=self.id,
                version=self.version,
                started=started.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                endpoints=tuple(_stats(binding, tally) for binding, tally in self.endpoints),
            )
        )


def _stats(binding: Binding, tally: Tally) -> _EndpointStats:
    spent = round(tally.seconds * 1e9)
    return _EndpointStats(
        name=_name(binding),
        subject=binding.listen,
        num_requests=tally.requests,
        num_errors=tally.errors,
        last_error=tally.last_error,
        processing_time=spent,
        average_processing_time=spent // max(tally.requests, 1),
    )


def _name(binding: Binding) -> str:
    """`relaymd.worker.{worker}.register` is the endpoint `worker-register`."""
    words = binding.subject.template.split(".")[1:]
    return "-".join(word for word in words if not HOLE.fullmatch(word))
