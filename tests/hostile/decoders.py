"""All that reads what others wrote: good samples of it, and the one kind of refusal it has."""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from relaymd.bus import advisories, contract, stream
from relaymd.bus.bus import NoAnswerError, RefusedError
from relaymd.bus.codec import ERROR_CODE, Reply, read_answer, read_event, read_request
from relaymd.bus.facts import Output
from relaymd.bus.subjects import Event, Request
from relaymd.cli import facts, words
from relaymd.cli.log_view import LogView
from tests.bus.samples import kinds, requests, rows, samples
from tests.hostile.payloads import Json

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Decoder:
    name: str
    samples: Sequence[Json | bytes]
    read: Callable[[Path, bytes], object]
    """Folder: a place for files, the same for all cases."""

    refusals: tuple[type[Exception], ...] = ()


async def in_place(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """An Offload without a thread."""
    return work(*args, **kwargs)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """Run what never really waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    raise AssertionError("it waits")


def _request(name: str, row: Request[Any, Any]) -> Decoder:
    binding = row.answered_by(lambda message: message)
    subject = row.pattern.replace("*", "text-1")
    return Decoder(
        f"bus.codec.read_request {name}",
        samples(row.carries),
        lambda _, data: read_request(binding, subject, data),
        (RefusedError,),
    )


def _answer(name: str, row: Request[Any, Any]) -> Decoder:
    def read(_: Path, data: bytes) -> None:
        refusal = {ERROR_CODE: data[-3:].decode(errors="replace")} if len(data) % 4 == 0 else None
        with suppress(RefusedError):  # in whatever words the other side chose
            read_answer(row, Reply(data, refusal))

    both = [*samples(row.answers), *samples(kinds()["Refusal"])]
    return Decoder(f"bus.codec.read_answer {name}", both, read, (NoAnswerError,))


def _event(name: str, row: Event[Any]) -> Decoder:
    subject = row.pattern.replace("*", "text-1")
    return Decoder(
        f"bus.codec.read_event {name}",
        samples(row.carries),
        lambda _, data: read_event(row, subject, data),
    )


def _fact(row: Event[Any]) -> Decoder:
    def read(_: Path, data: bytes) -> None:
        fact = facts.decode(row.pattern, data)
        if fact is not None:
            words.of_fact(fact)

    return Decoder(f"cli.facts {row.carries.__name__}", samples(row.carries), read)


def _show_live(_: Path, data: bytes) -> None:
    view = LogView()
    for piece in data.split(b"}"):  # a payload may hold several
        said = read_event(contract.OUTPUT, "relaymd.output.text-1.stdout", piece + b"}")
        if isinstance(said, Output):
            b"".join(view.live(said))


def _jetstream(kind: type[Any], *good: Json) -> Decoder:
    fault = {"error": {"code": 404, "err_code": 10059, "description": "stream not found"}}
    return Decoder(
        f"bus.stream {kind.__name__}",
        [*good, fault],
        lambda _, data: stream.read(Reply(data), kind),
        (NoAnswerError,),
    )


CLIENT = {"start": "2026-01-01T00:00:00Z", "host": "127.0.0.1", "id": 5, "name": "w-1"}
ADVISORY = {
    "type": "io.nats.server.advisory.v1.client_disconnect",
    "server": {"name": "relaymd", "host": "0.0.0.0"},
    "client": CLIENT,
    "sent": {"msgs": 1, "bytes": 2},
    "reason": "Client Closed",
}
STATE = {"messages": 3, "bytes": 99, "first_seq": 1, "last_seq": 3}
MESSAGE = {"subject": "relaymd.event.job.j.x", "seq": 3, "data": "eyJzZXEiOjN9", "time": "x"}
EVENTS = [row for row in rows().values() if isinstance(row, Event)]

BUS: tuple[Decoder, ...] = (
    *(_request(name, row) for name, row in requests().items()),
    *(_answer(name, row) for name, row in requests().items()),
    *(_event(row.carries.__name__, row) for row in EVENTS),
    *(_fact(row) for row in EVENTS if row is not contract.OUTPUT),
    Decoder("cli.log_view", samples(Output), _show_live),
    Decoder("bus.advisories", [ADVISORY], lambda _, data: advisories.read(data)),
    Decoder("bus.stream.number", samples(EVENTS[0].carries), lambda _, data: stream.number(data)),
    _jetstream(stream.StreamInfo, {"config": {"name": "x", "max_age": 1}, "state": STATE}),
    _jetstream(stream.StoredAnswer, {"message": MESSAGE}),
    _jetstream(stream.Stored, {"stream": "x", "seq": 4, "duplicate": True}),
    _jetstream(stream.ConsumerInfo, {"name": "c", "num_pending": 7}),
)
