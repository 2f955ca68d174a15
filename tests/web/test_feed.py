"""The event stream over HTTP: from the stored to the coming, resumable, with signs of life."""

import asyncio

import msgspec
from aiohttp import ClientResponse

from relaymd.core.events import CancelRequested
from tests.cli.desk import submission
from tests.web.conftest import Bridge

WITHIN = 5.0


async def read_event(answer: ClientResponse) -> dict[str, str]:
    """The next event, comments passed over."""
    async with asyncio.timeout(WITHIN):
        while True:
            found: dict[str, str] = {}
            while (line := (await answer.content.readline()).decode().rstrip("\n")) != "":
                name, _, value = line.partition(": ")
                found[name] = value
            if "data" in found:
                return found


async def test_stored_facts_come_first_and_then_those_that_happen(bridge: Bridge) -> None:
    job = bridge.desk.add(submission("j-1"))
    async with bridge.client.get(f"{bridge.url}/api/v1/events") as answer:
        assert answer.content_type == "text/event-stream"
        first = await read_event(answer)
        bridge.desk.record(job.id, CancelRequested())
        second = await read_event(answer)
    assert (first["id"], first["event"]) == ("1", "job")
    assert msgspec.json.decode(first["data"])["kind"] == "submitted"
    assert msgspec.json.decode(second["data"])["state"] == "cancelled"


async def test_a_reader_resumes_after_the_last_fact_it_saw(bridge: Bridge) -> None:
    for number in range(3):
        bridge.desk.add(submission(f"j-{number}"))
    headers = {"Last-Event-ID": "2"}
    url = f"{bridge.url}/api/v1/events?after=0"
    async with bridge.client.get(url, headers=headers) as answer:
        assert (await read_event(answer))["id"] == "3"
    async with bridge.client.get(f"{bridge.url}/api/v1/events?after=1") as answer:
        assert (await read_event(answer))["id"] == "2"


async def test_a_last_id_that_is_no_number_is_refused(bridge: Bridge) -> None:
    headers = {"Last-Event-ID": "last one"}
    async with bridge.client.get(f"{bridge.url}/api/v1/events", headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")


async def test_a_silent_line_shows_that_it_is_alive(bridge: Bridge) -> None:
    async with bridge.client.get(f"{bridge.url}/api/v1/events") as answer:
        async with asyncio.timeout(WITHIN):
            lines = [await answer.content.readline() for _ in range(3)]
    assert lines == [b"retry: 1000\n", b"\n", b": still here\n"]


async def test_readers_that_leave_make_room_for_others(bridge: Bridge) -> None:
    for _ in range(70):
        async with bridge.client.get(f"{bridge.url}/api/v1/events") as answer:
            assert answer.status == 200
            await answer.content.readline()
        answer.close()
