"""Between structs and bytes: what is unreadable becomes a refusal here, and never a crash."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from relaymd.bus.bus import NoAnswerError, RefusedError
from relaymd.bus.messages import Refusal, RefusalCode
from relaymd.bus.subjects import Binding, Event, Msg, Rep, Request, Subject

T = TypeVar("T", bound=msgspec.Struct)

ERROR = "Nats-Service-Error"
ERROR_CODE = "Nats-Service-Error-Code"
"""Headers by which NATS tools recognize a service's error."""

STATUS: Mapping[RefusalCode, int] = {
    RefusalCode.INVALID: 400,
    RefusalCode.DENIED: 403,
    RefusalCode.UNKNOWN_JOB: 404,
    RefusalCode.UNKNOWN_WORKER: 404,
    RefusalCode.UNKNOWN_CLUSTER: 404,
    RefusalCode.CONFLICT: 409,
    RefusalCode.INCOMPATIBLE: 426,
    RefusalCode.UNAVAILABLE: 503,
}


class Reply(NamedTuple):
    """What travels back, whatever carries it."""

    body: bytes
    headers: Mapping[str, str] | None = None


encode = msgspec.json.encode


def decode(data: bytes, as_type: type[T]) -> T:
    """Raises msgspec.DecodeError, one printable line, whatever is wrong with the bytes."""
    try:
        return cast(T, _decoder(as_type).decode(data))
    except (ValueError, RecursionError) as error:
        reason = str(error)  # which may quote what was sent
        raise msgspec.DecodeError(reason if reason.isprintable() else repr(reason)) from error


@cache
def _decoder(as_type: type[msgspec.Struct]) -> msgspec.json.Decoder[msgspec.Struct]:
    return msgspec.json.Decoder(as_type)


def subject_of(subject: Subject[Msg], message: Msg) -> str:
    """The subject it travels on. Raises RefusedError for an identifier that cannot be in one."""
    try:
        return subject.of(message)
    except ValueError as error:
        raise RefusedError.because(RefusalCode.INVALID, str(error)) from error


def read_request(binding: Binding, subject: str, data: bytes) -> msgspec.Struct:
    """The message a handler may trust. Raises RefusedError."""
    try:
        message: msgspec.Struct = decode(data, binding.subject.carries)
    except msgspec.DecodeError as error:
        reason = f"this is no {binding.subject.carries.__name__}: {error}"
        raise RefusedError.because(RefusalCode.INVALID, reason) from error
    if subject_of(binding.subject, message) != subject:
        reason = f"the message does not belong on {subject}: it names somebody or something else"
        raise RefusedError.because(RefusalCode.INVALID, reason)
    return message


def read_event(event: Event[Msg], subject: str, data: bytes) -> Msg | None:
    """A published message; None where it is unreadable or under a subject not its own."""
    try:
        message = decode(data, event.carries)
        return message if event.of(message) == subject else None
    except (msgspec.DecodeError, ValueError):
        return None


def write_refusal(refusal: Refusal) -> Reply:
    headers = {
        ERROR: refusal.message[:500] or refusal.error,
        ERROR_CODE: str(STATUS[refusal.error]),
    }
    return Reply(encode(refusal), headers)


def read_answer(request: Request[Any, Rep], reply: Reply) -> Rep:
    """Raises RefusedError, or NoAnswerError where the answer cannot be understood."""
    try:
        if reply.headers and ERROR_CODE in reply.headers:
            raise RefusedError(decode(reply.body, Refusal))
        return decode(reply.body, request.answers)
    except msgspec.DecodeError as error:
        raise NoAnswerError(f"{request.template}: the answer is unreadable: {error}") from error
