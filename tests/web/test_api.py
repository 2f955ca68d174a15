"""The bridge's routes: what they answer, and that all errors have one shape."""

import asyncio
import json
from io import BytesIO
from typing import Any

import msgspec
import pytest

from relaymd.core.ids import JobId
from tests.cli.desk import submission
from tests.web.conftest import Bridge


async def get(bridge: Bridge, path: str) -> tuple[int, Any]:
    async with bridge.client.get(bridge.url + path) as answer:
        return answer.status, await answer.json()


async def post(bridge: Bridge, path: str, body: bytes = b"") -> tuple[int, Any]:
    async with bridge.client.post(bridge.url + path, data=body) as answer:
        return answer.status, await answer.json()


async def test_a_submitted_job_is_listed_and_shown(bridge: Bridge) -> None:
    status, view = await post(bridge, "/api/v1/jobs", msgspec.json.encode(submission("j-1")))
    assert (status, view["job"]["id"]) == (201, "j-1")
    status, page = await get(bridge, "/api/v1/jobs")
    assert [one["job"]["id"] for one in page["jobs"]] == ["j-1"]
    status, details = await get(bridge, "/api/v1/jobs/j-1")
    assert details["view"]["job"]["title"] == "villin"
    assert details["history"][0]["event"]["type"] == "submitted"


async def test_a_submit_sent_twice_is_one_job(bridge: Bridge) -> None:
    body = msgspec.json.encode(submission("j-1"))
    first = await post(bridge, "/api/v1/jobs", body)
    assert await post(bridge, "/api/v1/jobs", body) == first
    assert len(bridge.desk.jobs) == 1


async def test_jobs_come_in_pages_and_by_state(bridge: Bridge) -> None:
    for number in range(3):
        bridge.desk.add(submission(f"j-{number}"))
    _, page = await get(bridge, "/api/v1/jobs?limit=2")
    assert [one["job"]["id"] for one in page["jobs"]] == ["j-2", "j-1"]
    _, page = await get(bridge, f"/api/v1/jobs?limit=2&after={page['next']}")
    assert [one["job"]["id"] for one in page["jobs"]] == ["j-0"]
    assert "next" not in page
    _, page = await get(bridge, "/api/v1/jobs?state=running,failed&state=completed")
    assert page["jobs"] == []


async def test_cancel_and_requeue_keep_the_id(bridge: Bridge) -> None:
    bridge.desk.add(submission("j-1"))
    status, view = await post(bridge, "/api/v1/jobs/j-1/cancel")
    assert (status, view["job"]["state"]) == (200, "cancelled")
    status, view = await post(bridge, "/api/v1/jobs/j-1/requeue")
    assert (status, view["job"]["state"], view["job"]["id"]) == (200, "queued", "j-1")


async def test_a_conflict_names_the_job_and_both_states(bridge: Bridge) -> None:
    bridge.desk.add(submission("j-1"))
    await post(bridge, "/api/v1/jobs/j-1/cancel")
    status, problem = await post(bridge, "/api/v1/jobs/j-1/cancel")
    assert status == 409
    assert problem.pop("message")
    assert problem == {
        "error": "job_transition_conflict",
        "job_id": "j-1",
        "current_status": "cancelled",
        "requested_status": "cancelled",
    }


async def test_workers_and_status_are_told(bridge: Bridge) -> None:
    assert await get(bridge, "/api/v1/workers") == (200, {"workers": []})
    status, found = await get(bridge, "/api/v1/status")
    assert (status, found["version"]) == (200, "test")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error", "says"),
    [
        ("GET", "/api/v1/nothing", b"", 404, "not_found", ""),
        ("GET", "/nothing.html", b"", 404, "not_found", ""),
        ("DELETE", "/api/v1/jobs", b"", 405, "method_not_allowed", ""),
        ("GET", "/api/v1/jobs/none", b"", 404, "job_not_found", ""),
        ("GET", "/api/v1/jobs/a%20b", b"", 404, "job_not_found", ""),
        ("GET", "/api/v1/jobs/%2e%2e%2fx", b"", 404, "job_not_found", ""),
        ("GET", "/api/v1/jobs/*", b"", 404, "job_not_found", ""),
        ("POST", "/api/v1/jobs/x.y/cancel", b"", 404, "job_not_found", ""),
        ("GET", "/api/v1/jobs?limit=0", b"", 400, "invalid_request", "from 1 to 1000"),
        ("GET", "/api/v1/jobs?limit=ten", b"", 400, "invalid_request", "limit"),
        ("GET", "/api/v1/jobs?limit=" + "9" * 400, b"", 400, "invalid_request", "limit"),
        ("GET", "/api/v1/jobs?limit=%C2%B2", b"", 400, "invalid_request", "limit"),
        ("GET", "/api/v1/jobs?state=lost", b"", 400, "invalid_request", "queued, assigned"),
        ("GET", "/api/v1/events?after=-1", b"", 400, "invalid_request", "after"),
        ("POST", "/api/v1/jobs", b"", 400, "invalid_request", "not JSON"),
        ("POST", "/api/v1/jobs", b"{", 400, "invalid_request", "not JSON"),
        ("POST", "/api/v1/jobs", b'{"job": "\xff\xfe"}', 400, "invalid_request", "not JSON"),
        ("POST", "/api/v1/jobs", b"[" * 100_000, 400, "invalid_request", "not JSON"),
        ("POST", "/api/v1/jobs", b"[]", 400, "invalid_request", "expected keys and values"),
        ("POST", "/api/v1/jobs", b"{}", 400, "invalid_request", "'job' is missing"),
        ("POST", "/api/v1/jobs", b'{"jb": "x"}', 400, "invalid_request", "did you mean 'job'"),
        ("POST", "/api/v1/jobs", b"x" * 2_000_000, 413, "request_too_large", ""),
    ],
)
async def test_wrong_requests_get_the_one_error_shape(
    bridge: Bridge, method: str, path: str, body: bytes, status: int, error: str, says: str
) -> None:
    request = bridge.client.request(method, bridge.url + path, data=BytesIO(body))
    async with request as answer:
        text = await answer.text()
        problem = json.loads(text)
        assert (answer.status, problem["error"]) == (status, error)
        assert answer.content_type == "application/json"
    assert says in problem["message"]
    assert "Traceback" not in text
    assert not bridge.desk.submits


async def test_a_job_id_that_no_subject_can_carry_is_refused(bridge: Bridge) -> None:
    wanted = msgspec.structs.replace(submission("j-1"), job=JobId("a.b >"))
    status, problem = await post(bridge, "/api/v1/jobs", msgspec.json.encode(wanted))
    assert (status, problem["error"]) == (400, "invalid_request")


async def test_a_refusal_of_the_orchestrator_is_handed_on(bridge: Bridge) -> None:
    body = msgspec.json.encode(submission("j-1", title="refuse me"))
    status, problem = await post(bridge, "/api/v1/jobs", body)
    assert status == 400
    assert problem == {"error": "invalid_request", "message": "the title is not wanted here"}


@pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\0"])
async def test_what_is_no_http_at_all_gets_no_traceback(bridge: Bridge, raw: bytes) -> None:
    port = int(bridge.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    assert b"Traceback" not in answer
    assert (await get(bridge, "/api/v1/workers"))[0] == 200
