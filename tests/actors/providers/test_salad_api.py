"""Salad's HTTP API: what we send, and the sentence for whatever comes back."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from relaymd.actors.providers.provider import ProviderError, ProviderRefusedError
from relaymd.actors.providers.salad_api import SaladApi, UnknownToSaladError, opened
from relaymd.core.clusters import SaladConfig
from relaymd.core.replicas import Instance, InstanceState
from tests.salad_server import GROUP, KEY, ORGANIZATION, PROJECT, Container, SaladServer


def config(url: str, **changes: str | float | None) -> SaladConfig:
    made = SaladConfig(
        organization=ORGANIZATION,
        project=PROJECT,
        container_group=GROUP,
        api_key=KEY,
        api_url=url,
        request_seconds=5,
    )
    return msgspec.structs.replace(made, **changes)


@asynccontextmanager
async def salad(**changes: str | float | None) -> AsyncGenerator[tuple[SaladServer, SaladApi]]:
    async with (
        SaladServer(Container()).serving() as server,
        opened(config(server.url, **changes), rng=lambda: 0.0) as api,
    ):
        yield server, api


@asynccontextmanager
async def answering(
    status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> AsyncGenerator[SaladApi]:
    """A server that answers everything alike."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with opened(
            config(f"http://127.0.0.1:{runner.addresses[0][1]}"), rng=lambda: 0.5
        ) as api:
            yield api
    finally:
        await runner.cleanup()


async def refusal(what: Awaitable[object]) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        await what
    return raised.value


# -- what is asked ------------------------------------------------------------------------------


async def test_a_group_is_scaled_started_and_looked_at() -> None:
    async with salad() as (server, api):
        assert (await api.group()).replicas == 0
        await api.scale(2)
        await api.start()
        group = await api.group()
        assert (group.replicas, group.current_state.status) == (2, "running")
        assert len(await api.instances()) == 2
        assert server.requests[1][:2] == ("PATCH", "")
        assert server.requests[1][2] == '{"replicas":2}'


async def test_an_instance_is_priced_and_exchanged() -> None:
    async with salad() as (server, api):
        await api.scale(1)
        await api.start()
        (one,) = await api.instances()
        await api.price(one.id, 1000)
        assert (await api.instances())[0].deletion_cost == 1000
        await api.reallocate(one.id)
        assert {each.id for each in server.instances if each.state != "stopping"} != {one.id}


async def test_an_instance_that_is_gone_is_told_from_other_refusals() -> None:
    async with salad() as (_, api):
        assert isinstance(await refusal(api.price("gone", 1)), UnknownToSaladError)


async def test_a_machine_that_is_not_chosen_yet_has_no_name_and_new_states_do_not_hurt() -> None:
    body = b"""{"instances": [
        {"id": "i1", "machine_id": "00000000-0000-0000-0000-000000000000", "state": "allocating",
         "update_time": "2026-01-01T00:00:00Z", "version": 1},
        {"instance_id": "i2", "machine_id": "m2", "state": "asleep", "deletion_cost": null}]}"""
    async with answering(200, body) as api:
        assert await api.instances() == [
            Instance(id="i1", machine="", state=InstanceState.ALLOCATING),
            Instance(id="i2", machine="m2", state=InstanceState.OTHER),
        ]


# -- what comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, "Salad refuses (400): the quota is 10"),
        (401, "Salad does not know our API key (salad.api_key)"),
        (403, "Salad forbids it for acme/md/workers: the quota is 10"),
        (404, "Salad does not have it, for acme/md/workers: the quota is 10"),
        (302, "Salad refuses (302): the quota is 10"),
    ],
)
async def test_a_refusal_is_one_sentence_and_certain(status: int, said: str) -> None:
    body = b'{"title": "Bad", "detail": "the quota\\n is 10"}'
    async with answering(status, body, {"Location": "http://elsewhere.invalid/"}) as api:
        error = await refusal(api.scale(1))

    assert isinstance(error, ProviderRefusedError)
    assert str(error) == said


async def test_trouble_at_salad_is_not_certain_and_its_page_is_not_shown() -> None:
    async with answering(502, b"<html>" + b"x" * 5000, {"Retry-After": "30"}) as api:
        error = await refusal(api.scale(1))

    assert not isinstance(error, ProviderRefusedError)
    assert str(error) == "Salad is in trouble (502)"
    assert error.retry_after == 30


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"[]", b'{"replicas": "many"}', b"\xff\xfe", b'{"replicas": 1}']
)
async def test_an_answer_that_makes_no_sense_is_an_error(body: bytes) -> None:
    async with answering(200, body) as api:
        assert "what we do not understand" in str(await refusal(api.group()))


async def test_an_endless_answer_is_an_error() -> None:
    async with answering(200, b"x" * 5_000_000) as api:
        assert "more than" in str(await refusal(api.group()))


async def test_a_silent_server_is_given_up_in_time() -> None:
    async with salad(request_seconds=0.2) as (server, api):
        server.mute = True
        async with asyncio.timeout(10):
            error = await refusal(api.group())

    assert str(error) == "Salad did not answer within 0.2 s"


async def test_nobody_there_is_one_sentence() -> None:
    async with opened(config("http://127.0.0.1:9")) as api:
        assert str(await refusal(api.group())).startswith("Salad was not reached: ")


async def test_one_failure_is_survived_without_a_word() -> None:
    async with salad() as (server, api):
        server.storm = 1
        server.retry_after = "0"
        assert (await api.group()).replicas == 0


async def test_a_storm_is_told_with_the_pause_that_salad_wants() -> None:
    async with salad() as (server, api):
        server.storm = 1
        server.retry_after = "77"
        error = await refusal(api.group())
        assert error.retry_after == pytest.approx(77, abs=1)
        asked = len(server.requests)
        assert (await refusal(api.scale(1))).retry_after == pytest.approx(77, abs=1)
        assert len(server.requests) == asked, "while it lasts nothing is sent"


async def test_a_pause_may_be_given_as_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    async with answering(429, b"", {"Retry-After": date}) as api:
        assert (await refusal(api.group())).retry_after == pytest.approx(40, abs=2)


@pytest.mark.parametrize(
    "text", ["", "soon", "-5", "nan", "inf", "9" * 400, "Thu, 99 Foo", "12\x1f"]
)
async def test_a_pause_that_makes_no_sense_is_ours_to_choose(text: str) -> None:
    async with answering(503, b"", {"Retry-After": text}) as api:
        assert 0 < ((await refusal(api.reallocate("i"))).retry_after or 0) <= 600


async def test_an_exchange_is_not_asked_for_twice() -> None:
    async with salad() as (server, api):
        server.down = True
        await refusal(api.reallocate("i"))
        assert len(server.requests) == 1


# -- the key ------------------------------------------------------------------------------------


async def test_the_key_is_in_the_header_and_nowhere_else() -> None:
    faults: list[Callable[[SaladServer], None]] = [
        lambda server: None,
        lambda server: setattr(server, "down", True),
        lambda server: setattr(server, "storm", 9),
        lambda server: setattr(server, "mute", True),
    ]
    said: list[str] = []
    with capture_logs() as logs:
        for fault in faults:
            async with salad(request_seconds=0.2) as (server, api):
                fault(server)
                for call in (api.group(), api.scale(1), api.reallocate("x")):
                    try:
                        await call
                    except ProviderError as exc:
                        said += [str(exc), repr(exc), repr(exc.__cause__), repr(exc.__context__)]
                said.append(repr(api))
    assert said
    assert not [text for text in [*said, repr(logs)] if KEY in text]


async def test_another_key_is_refused() -> None:
    async with salad(api_key="wrong") as (_, api):
        assert "does not know our API key" in str(await refusal(api.group()))


@pytest.mark.parametrize("name", ["../x", "i 1", "a\nb", "x" * 201, "\0"])
async def test_a_name_that_can_be_none_is_not_understood(name: str) -> None:
    said = {"instances": [{"id": "i-1", "machine_id": name, "state": "running"}]}
    async with answering(200, msgspec.json.encode(said)) as api:
        assert "do not understand" in str(await refusal(api.instances()))


async def test_what_salad_says_of_a_group_is_one_short_line() -> None:
    state = {"status": "pending", "description": "no\nquota " * 999}
    async with answering(200, msgspec.json.encode({"replicas": 1, "current_state": state})) as api:
        told = (await api.group()).current_state.description or ""
        assert told.startswith("no quota no")
        assert len(told) == 200
