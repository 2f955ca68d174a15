import pytest

from relaymd.bus.advisories import Disconnection, read


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"client": 3}', b"[" * 50_000])
def test_what_we_do_not_understand_is_passed_over(body: bytes) -> None:
    assert read(body) is None


def test_unknown_fields_are_no_hindrance() -> None:
    body = b'{"type":"x","client":{"name":"w1","kind":{}},"reason":"Stale Connection","new":[]}'
    assert read(body) == Disconnection(name="w1", reason="Stale Connection")


@pytest.mark.parametrize(
    ("reason", "hung_up"),
    [("Client Closed", True), ("Read Error", True), ("Stale Connection", False), ("", False)],
)
def test_who_hung_up_is_told_from_whom_the_network_lost(reason: str, hung_up: bool) -> None:
    assert Disconnection(name="w1", reason=reason).hung_up is hung_up


def test_a_connection_without_a_name_has_an_empty_one() -> None:
    assert read(b'{"client":{}}') == Disconnection(name="", reason="")
