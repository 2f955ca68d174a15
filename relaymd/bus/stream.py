"""The JetStream API as far as the journal speaks it: requests and answers in JSON."""

from typing import Any, TypeVar

import msgspec

from relaymd.bus.bus import NoAnswerError, NoResponderError
from relaymd.bus.codec import Reply, decode, encode
from relaymd.bus.contract import EVENTS
from relaymd.bus.wire import Wire

T = TypeVar("T", bound="Answer")

STREAM = "RELAYMD_EVENTS"

WITHIN = 5.0
"""Seconds the server has for one call."""

NOT_FOUND = 404
NO_STREAM = 10059
NO_MESSAGE = 10037
WRONG_LAST_SEQUENCE = 10071

SECOND = 1_000_000_000
"""JetStream counts time in nanoseconds."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the stream keeps; the oldest events leave first."""

    max_age: float = 90 * 24 * 3600.0
    """Seconds."""

    max_bytes: int = 1 << 30
    duplicate_window: float = 120.0
    """Seconds in which the server itself passes over an event it has."""

    replicas: int = 1


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    error: Fault | None = None


class State(msgspec.Struct, frozen=True, kw_only=True):
    messages: int = 0
    first_seq: int = 0
    last_seq: int = 0


class StreamInfo(Answer, frozen=True, kw_only=True):
    state: State = State()
    config: dict[str, Any] = {}
    """As the server has it, to be sent back with changes; what is in it is a site's affair."""


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    subject: str = ""
    seq: int = 0
    data: bytes = b""


class StoredAnswer(Answer, frozen=True, kw_only=True):
    message: StoredMessage = StoredMessage()


class Stored(Answer, frozen=True, kw_only=True):
    """What answers a publish."""

    seq: int = 0
    duplicate: bool = False


class ConsumerInfo(Answer, frozen=True, kw_only=True):
    name: str = ""
    num_pending: int = 0


class Numbered(msgspec.Struct, frozen=True, kw_only=True):
    """The one field of every event that the journal looks at."""

    seq: int


def number(body: bytes) -> int:
    """The event's number in the ledger; 0 where the body is not an event of ours."""
    try:
        return decode(body, Numbered).seq
    except msgspec.DecodeError:
        return 0


class StreamApi:
    """Calls about the one stream. Every method raises NoAnswerError."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def info(self) -> StreamInfo | None:
        """None where the server is certain that there is no such stream."""
        answer = await self._call(f"STREAM.INFO.{STREAM}", b"", StreamInfo)
        return None if _missing(answer, NO_STREAM) else _checked(answer)

    async def ensure(self, limits: Limits) -> StreamInfo:
        """Create the stream, or bring its limits up to date."""
        found = await self.info()
        if found is None:
            config = {**_CONFIG, **_limited(limits), "num_replicas": limits.replicas}
            return _checked(await self._call(f"STREAM.CREATE.{STREAM}", encode(config), StreamInfo))
        if found.config.items() >= _limited(limits).items():
            return found
        config = {**found.config, **_limited(limits)}
        return _checked(await self._call(f"STREAM.UPDATE.{STREAM}", encode(config), StreamInfo))

    async def message_from(self, position: int) -> StoredMessage | None:
        """The first message at the position or behind it."""
        ask = encode({"seq": position, "next_by_subj": EVENTS})
        answer = await self._call(f"STREAM.MSG.GET.{STREAM}", ask, StoredAnswer)
        return None if _missing(answer, NO_MESSAGE) else _checked(answer).message

    async def consumer(self, subject: str, position: int) -> ConsumerInfo:
        """A place to read from; the server forgets it when nobody pulls for a while."""
        config = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": max(position, 1),
            "filter_subject": subject,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": 60 * SECOND,
        }
        ask = encode({"stream_name": STREAM, "config": config})
        return _checked(await self._call(f"CONSUMER.CREATE.{STREAM}", ask, ConsumerInfo))

    async def pull(self, consumer: str, inbox: str, order: dict[str, Any]) -> None:
        """Have messages sent to the inbox: `order` says how many and how long to wait."""
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer}"
        await self._wire.publish(subject, encode(order), reply=inbox)

    async def _call(self, verb: str, body: bytes, as_type: type[T]) -> T:
        try:
            reply = await self._wire.request(f"$JS.API.{verb}", body, within=WITHIN)
        except NoResponderError as error:
            raise NoAnswerError("the NATS server has no JetStream, or it is starting") from error
        return read(reply, as_type)


def read(reply: Reply, as_type: type[T]) -> T:
    try:
        return decode(reply.body, as_type)
    except msgspec.DecodeError as error:
        raise NoAnswerError(f"JetStream's answer is unreadable: {error}") from error


_CONFIG = {
    "name": STREAM,
    "description": "Every fact of RelayMD, in order.",
    "subjects": [EVENTS],
    "retention": "limits",
    "discard": "old",
    "storage": "file",
    "max_msgs": -1,
    "max_consumers": -1,
}


def _limited(limits: Limits) -> dict[str, int]:
    return {
        "max_age": round(limits.max_age * SECOND),
        "max_bytes": limits.max_bytes,
        "duplicate_window": round(min(limits.duplicate_window, limits.max_age) * SECOND),
    }


def _missing(answer: Answer, code: int) -> bool:
    return answer.error is not None and answer.error.err_code == code


def _checked(answer: T) -> T:
    if answer.error is not None:
        raise NoAnswerError(f"JetStream: {answer.error.description}")
    return answer
