"""Who the bridge lets in, and to what."""

import pytest

from relaymd.web.access import COOKIE, cookie_of
from tests.cli.desk import submission
from tests.web.conftest import TOKEN, Bridge

GUARDED = ["/", "/api/v1/jobs", "/api/v1/workers", "/api/v1/status", "/api/v1/events", "/nothing"]


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": f"{COOKIE}={TOKEN}"},
        {"Cookie": f"{COOKIE}="},
    ],
)
async def test_nobody_without_the_token_is_let_in(
    bridge: Bridge, path: str, headers: dict[str, str]
) -> None:
    async with bridge.stranger.get(bridge.url + path, headers=headers) as answer:
        assert answer.status == 401
        assert (await answer.json())["error"] == "unauthorized"


async def test_health_needs_no_token(bridge: Bridge) -> None:
    async with bridge.stranger.get(bridge.url + "/healthz") as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})


async def test_opening_the_page_with_the_token_once_lets_a_browser_read(bridge: Bridge) -> None:
    async with bridge.stranger.get(f"{bridge.url}/?token={TOKEN}") as answer:
        assert answer.status == 200
        cookie = answer.cookies[COOKIE]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        assert TOKEN not in cookie.value
    headers = {"Cookie": f"{COOKIE}={cookie_of(TOKEN)}"}
    for path in ("/", "/api/v1/jobs"):
        async with bridge.stranger.get(bridge.url + path, headers=headers) as answer:
            assert answer.status == 200


async def test_a_cookie_which_other_ports_see_too_changes_nothing(bridge: Bridge) -> None:
    bridge.desk.add(submission("j-1"))
    headers = {"Cookie": f"{COOKIE}={cookie_of(TOKEN)}"}
    url = f"{bridge.url}/api/v1/jobs/j-1/cancel"
    async with bridge.stranger.post(url, headers=headers) as answer:
        assert answer.status == 401
    assert bridge.desk.jobs[submission("j-1").job].state == "queued"


async def test_a_token_in_an_address_opens_the_page_and_nothing_else(bridge: Bridge) -> None:
    async with bridge.stranger.get(f"{bridge.url}/api/v1/jobs?token={TOKEN}") as answer:
        assert answer.status == 401


@pytest.mark.parametrize("path", ["/", "/page.js", "/page.css", "/api/v1/jobs", "/nothing"])
async def test_every_answer_carries_a_strict_policy(bridge: Bridge, path: str) -> None:
    async with bridge.client.get(bridge.url + path) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_the_page_needs_nothing_from_elsewhere(bridge: Bridge) -> None:
    for path in ("/", "/page.js", "/page.css"):
        async with bridge.client.get(bridge.url + path) as answer:
            text = await answer.text()
            assert answer.status == 200
            assert "http://" not in text
            assert "https://" not in text
            assert "style=" not in text
            assert "innerHTML" not in text
