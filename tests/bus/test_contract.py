"""What the two ends rely on, checked for every row of the contract."""

import itertools
import re

import msgspec
import pytest

from relaymd.bus.server import find_configuration
from relaymd.bus.subjects import Event, Request, Subject
from tests.bus.samples import requests, rows

ROWS = rows()

SPEAKERS = {
    "relaymd.worker.": ("worker", "orchestrator"),
    "relaymd.control.": ("orchestrator", "worker"),
    "relaymd.operator.": ("operator", "orchestrator"),
    "relaymd.event.": ("orchestrator", "observer"),
    "relaymd.output.": ("worker", "operator"),
}
"""By prefix: who says it, and who hears it."""


@pytest.mark.parametrize("row", [*ROWS.values()], ids=[*ROWS])
def test_each_message_has_a_schema(row: Subject[msgspec.Struct]) -> None:
    assert msgspec.json.schema(row.carries)
    assert isinstance(row, Request | Event)


@pytest.mark.parametrize("row", [*requests().values()], ids=[*requests()])
def test_each_request_has_an_answer_and_a_deadline(
    row: Request[msgspec.Struct, msgspec.Struct],
) -> None:
    assert msgspec.json.schema(row.answers)
    assert row.within > 0


def test_no_subject_can_be_taken_for_another() -> None:
    for one, other in itertools.combinations(ROWS.values(), 2):
        assert not _overlap(one.pattern, other.pattern), f"{one.pattern} and {other.pattern}"


def _overlap(one: str, other: str) -> bool:
    ones, others = one.split("."), other.split(".")
    return len(ones) == len(others) and all(
        "*" in (a, b) or a == b for a, b in zip(ones, others, strict=True)
    )


@pytest.mark.parametrize("row", [*ROWS.values()], ids=[*ROWS])
def test_the_permissions_allow_each_subject_to_who_says_and_who_hears_it(
    row: Subject[msgspec.Struct],
) -> None:
    prefix = next(prefix for prefix in SPEAKERS if row.pattern.startswith(prefix))
    speaker, hearer = SPEAKERS[prefix]
    assert f'"{prefix}>"' in _allowed(speaker, "publish")
    assert f'"{prefix}>"' in _allowed(hearer, "subscribe")


@pytest.mark.parametrize("row", [*ROWS.values()], ids=[*ROWS])
def test_a_worker_speaks_only_of_itself(row: Subject[msgspec.Struct]) -> None:
    if row.template.startswith(("relaymd.worker.", "relaymd.control.")):
        assert row.template.split(".")[2] == "{worker}"


def _allowed(role: str, verb: str) -> str:
    text = (find_configuration() / "permissions.conf").read_text()
    user = text.partition(f"user: {role}\n")[2].partition("user:")[0]
    found = re.search(verb + r":\s*{\s*allow:\s*(\[[^]]*\]|\"[^\"]*\")", user)
    assert found, f"{role} may not {verb}"
    return found[1]
