from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from relaymd.bus import contract
from relaymd.bus import messages as m
from relaymd.bus.bus import NoAnswerError, RefusedError
from relaymd.bus.codec import STATUS, Reply, decode, read_answer, read_event, write_refusal
from relaymd.bus.messages import RefusalCode
from tests.bus.samples import GOLDEN, kinds

FILES = sorted(GOLDEN.rglob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_messages_of_every_release_keep_their_meaning(file: Path) -> None:
    kind = kinds()[file.stem.partition("-")[0]]
    message = decode(file.read_bytes(), kind)
    assert _kept(msgspec.json.decode(file.read_bytes()), message)


def _kept(said: Any, understood: Any) -> bool:
    """Whether everything that was said is still understood; fields may have come since."""
    if isinstance(understood, msgspec.Struct):
        tag = understood.__struct_config__.tag_field
        return all(_kept(said[key], getattr(understood, key)) for key in said if key != tag)
    if isinstance(said, list):
        parts = cast(list[Any], said)
        return len(parts) == len(understood) and all(map(_kept, parts, understood))
    return bool(said == understood)


def test_every_message_has_a_golden_file() -> None:
    assert {file.stem.partition("-")[0] for file in FILES} >= {*kinds()}


def test_each_refusal_has_a_status() -> None:
    assert {*STATUS} == {*RefusalCode}


def test_a_message_that_a_newer_peer_made_longer_is_understood() -> None:
    assert decode(b'{"known": false, "new": {"x": [1]}}', m.HeartbeatAck) == m.HeartbeatAck(
        known=False
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"standing": "?"}'])
def test_an_unreadable_answer_is_no_answer(body: bytes) -> None:
    with pytest.raises(NoAnswerError, match="unreadable"):
        read_answer(contract.START, Reply(body))


def test_an_unreadable_refusal_is_no_answer() -> None:
    refusal = write_refusal(m.Refusal(error=RefusalCode.UNAVAILABLE, message="x"))
    with pytest.raises(NoAnswerError, match="unreadable"):
        read_answer(contract.START, Reply(b"", refusal.headers))


def test_a_refusal_survives_the_way_there() -> None:
    refusal = m.Refusal(error=RefusalCode.CONFLICT, message="no " * 1000)
    with pytest.raises(RefusedError) as refused:
        read_answer(contract.START, write_refusal(refusal))
    assert refused.value.refusal == refusal


def test_an_event_under_another_subject_is_passed_over() -> None:
    body = b'{"job":"j1","epoch":1,"stream":"stdout","offset":0,"text":"","size":0}'
    assert read_event(contract.OUTPUT, "relaymd.output.j1.stdout", body) is not None
    assert read_event(contract.OUTPUT, "relaymd.output.j2.stdout", body) is None


def test_what_a_peer_sent_reaches_no_terminal_by_way_of_the_complaint() -> None:
    with pytest.raises(msgspec.DecodeError) as error:
        decode(b'{"work": {"type": "\\n\\u001b[2J"}}', m.WorkAnswer)
    assert str(error.value).isprintable()
