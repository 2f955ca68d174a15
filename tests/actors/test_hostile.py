"""Whatever a peer sends, no actor ends: hostile values in messages that decode."""

import json
from collections.abc import Iterator
from copy import copy
from typing import Any, TypeAlias, cast

import pytest

from relaymd.bus.broker import Broker
from relaymd.bus.codec import Reply
from tests.actors.office import Office, until
from tests.bus.samples import requests, samples
from tests.hostile.payloads import generator, payloads

Json: TypeAlias = Any
ANYBODY: Json = {"worker": "w1", "job": "j1", "cluster": "north"}
Path: TypeAlias = tuple[str | int, ...]
"""Of a place in a message: keys and indices."""

HOSTILE: list[Json] = [
    None, True, -1, 0, 10**30, -(10**30), 2**63, 1e308, -1e308, 1e-320, 0.5,
    "", " ", "\x00", "\u202e", "x" * 9_000, "a.b", "../..", "j1", "w1", "i1",
    [], {}, [None], {"x": 1}, "failed", "cancelled",
]  # fmt: skip
SERVED = {
    name: row
    for name, row in requests().items()
    if row.template.startswith(("relaymd.worker.", "relaymd.operator."))
}


def put(sample: Json, path: Path, value: Json) -> Json:
    """The sample with another value at one place."""
    if not path:
        return value
    head, *rest = path
    changed = copy(sample)
    changed[head] = put(sample[head], tuple(rest), value)
    return changed


def places(sample: Json, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    if isinstance(sample, dict):
        for key, value in cast("dict[str, Json]", sample).items():
            yield from places(value, (*path, key))
    if isinstance(sample, list):
        for index, value in enumerate(cast("list[Json]", sample)):
            yield from places(value, (*path, index))


def subject(template: str, message: Json) -> str:
    """Where the message claims to belong."""
    return template.format(**{hole: message.get(hole) for hole in ("worker", "job", "cluster")})


async def busy(office: Office) -> None:
    worker = office.worker()
    await worker.register()
    await office.operator.submit()
    await worker.begin()


async def unhurt(office: Office) -> None:
    status = await office.operator.status()
    assert [one for one in status.actors if one.restarts] == []


class Enemy:
    """Sends what it likes and counts the answers."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.sent = 0
        self.answers: list[Reply | None] = []

    def send(self, to: str, body: bytes) -> None:
        self.sent += 1
        self._broker.request("enemy", to, body, self.answers.append)

    async def heard(self) -> None:
        """Each is answered; at most one still waits for work."""
        await until(lambda: len(self.answers) >= self.sent - 1)


@pytest.mark.parametrize("name", SERVED)
async def test_no_value_at_any_place_of_a_message_ends_an_actor(office: Office, name: str) -> None:
    row = SERVED[name]
    await busy(office)
    enemy = Enemy(office.parts.broker)
    known = {"worker": "w1", "job": "j1", "instance": "i1", "epoch": 1, "cluster": "north"}
    for sample in samples(row.carries):
        true = dict(cast("dict[str, Json]", sample))
        true.update({key: known[key] for key in known if key in true})
        if "wait" in true:
            true["wait"] = 0.0
        for path in places(true):
            for value in HOSTILE:
                message = put(true, path, value)
                enemy.send(subject(row.template, message), json.dumps(message).encode())
        await enemy.heard()
        await unhurt(office)
    office.tick()
    await unhurt(office)


async def test_not_even_values_that_cannot_travel_end_an_actor(office: Office) -> None:
    enemy = Enemy(office.parts.broker)
    for text in ("NaN", "Infinity", "1e999", '"\\ud800"'):
        for name in ("WORK", "REGISTER", "SUBMIT"):
            body = b'{"worker":"w1","instance":"i1","job":"j1","wait":' + text.encode() + b"}"
            enemy.send(subject(SERVED[name].template, ANYBODY), body)
    await enemy.heard()
    await unhurt(office)


@pytest.mark.hostile
@pytest.mark.parametrize("name", SERVED)
async def test_no_bytes_under_any_subject_end_an_actor(office: Office, name: str) -> None:
    """From far off to nearly right, in the names of a worker and a job that there are."""
    row = SERVED[name]
    await busy(office)
    known = {"worker": "w1", "job": "j1", "instance": "i1", "epoch": 1, "wait": 0.0}
    good = [
        {key: known.get(key, value) for key, value in cast("dict[str, Json]", sample).items()}
        for sample in samples(row.carries)
    ]
    rng = generator(f"subject {name}")
    enemy = Enemy(office.parts.broker)
    for number, body in enumerate(payloads(rng, good)):
        enemy.send(subject(row.template, ANYBODY), body)
        if number % 100 == 99:
            await enemy.heard()
    await enemy.heard()
    for reply in enemy.answers:
        assert reply is not None
        json.loads(reply.body)
    office.tick()
    await unhurt(office)
