"""Whatever bytes come under whatever subject of the contract: an answer, and no crash."""

import asyncio
from typing import cast

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from relaymd.bus.broker import Broker
from relaymd.bus.codec import ERROR_CODE, Reply, decode
from relaymd.bus.memory import MemoryBus
from relaymd.bus.subjects import Binding, Request
from tests.bus.actors import serving
from tests.bus.samples import requests as contract_requests
from tests.bus.samples import samples

REQUESTS = [*contract_requests().values()]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[str, bytes]:
    """A subject somebody serves, with bytes from far off to nearly right."""
    row = draw(st.sampled_from(REQUESTS))
    subject = row.pattern.replace("*", draw(st.sampled_from(["text-1", "w1", "x" * 70])))
    near = cast(dict[str, object], samples(row.carries)[0])
    changed = {**near, draw(st.sampled_from(sorted(near) or ["x"])): draw(JSON)}
    right = msgspec.json.encode(near)
    cut = right[: draw(st.integers(0, len(right)))]
    body = draw(
        st.one_of(st.binary(), JSON.map(_written), st.just(_written(changed)), st.just(cut))
    )
    return subject, body


def _written(value: object) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return b'"\\ud800" 1e999'


def _binding(row: Request[msgspec.Struct, msgspec.Struct]) -> Binding:
    answer = msgspec.convert(samples(row.answers)[0], row.answers)
    return row.answered_by(lambda _: answer)


@given(asked=st.lists(deliveries(), min_size=1, max_size=4))
@settings(max_examples=1000, deadline=None)
def test_nothing_that_arrives_crashes_an_actor(asked: list[tuple[str, bytes]]) -> None:
    for reply in asyncio.run(_replies(asked)):
        assert reply is not None
        if reply.headers:
            assert reply.headers[ERROR_CODE] == "400"
        assert isinstance(msgspec.json.decode(reply.body), dict)


async def _replies(asked: list[tuple[str, bytes]]) -> list[Reply | None]:
    broker = Broker()
    replies: asyncio.Queue[Reply | None] = asyncio.Queue()
    async with serving(MemoryBus(broker), *map(_binding, REQUESTS)), asyncio.timeout(10):
        for subject, body in asked:
            broker.request("peer", subject, body, replies.put_nowait)
        return [await replies.get() for _ in asked]


@given(body=st.binary() | JSON.map(_written))
@settings(max_examples=1000, deadline=None)
def test_decoding_raises_one_kind_of_error(body: bytes) -> None:
    for row in REQUESTS:
        try:
            decode(body, row.answers)
        except msgspec.DecodeError:
            continue
