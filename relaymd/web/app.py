"""The bridge as one aiohttp application: routes, who may use them, and how errors look."""

from importlib import resources

from aiohttp import web
from aiohttp.typedefs import Handler

from relaymd.bus.bus import Bus, Journal
from relaymd.web.access import COOKIE, cookie_of, guard, shows_token
from relaymd.web.api import Api
from relaymd.web.feed import HEARTBEAT, Feed
from relaymd.web.problems import in_one_shape

LARGEST = 1024 * 1024
"""Bytes of a request's body. Bundles travel to the store, never through here."""

LEAVE_WITHIN = 0.5
"""Seconds that open requests get when the bridge ends; event streams never end by themselves."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

PAGES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}


def build(
    bus: Bus, journal: Journal, *, token: str, heartbeat: float = HEARTBEAT
) -> web.Application:
    """The application; `heartbeat` in seconds is that of the event stream."""
    app = web.Application(middlewares=[in_one_shape, guard(token)], client_max_size=LARGEST)
    app.add_routes(Api(bus).routes())
    app.add_routes(Feed(journal, heartbeat=heartbeat).routes())
    app.add_routes([web.get(path, _page(token, *page)) for path, page in PAGES.items()])
    app.router.add_get("/healthz", _health)
    app.on_response_prepare.append(_add_headers)
    return app


def runner(app: web.Application) -> web.AppRunner:
    """How the application is run: a reader that leaves is noticed at once, not at a write."""
    return web.AppRunner(
        app, access_log=None, shutdown_timeout=LEAVE_WITHIN, handler_cancellation=True
    )


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _page(token: str, name: str, kind: str) -> Handler:
    content = (resources.files("relaymd.web") / "static" / name).read_bytes()

    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.Response(body=content, content_type=kind, charset="utf-8")
        if shows_token(request, token):
            response.set_cookie(COOKIE, cookie_of(token), httponly=True, samesite="Strict")
        return response

    return serve


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
