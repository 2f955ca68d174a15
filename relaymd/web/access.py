"""Who may ask: the bearer of the token, and, for reading only, a browser that once showed it.

A cookie is sent to every port of a host, and a login node is shared: what another user's server
gets to see that way must not let it cancel a job. So the cookie is not the token, and it opens
nothing that changes anything.
"""

import hashlib
import hmac

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from relaymd.web.problems import NAMES, Problem, ProblemError

COOKIE = "relaymd"

OPEN = frozenset({"/healthz", "/page.js", "/page.css"})
"""Says nothing about anybody's work."""


def guard(token: str) -> Middleware:
    """A middleware that lets in whoever knows the token."""
    cookie = cookie_of(token)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN or _knows(request, token, cookie):
            return await handler(request)
        raise ProblemError(
            401,
            Problem(
                error=NAMES[401],
                message="a token is needed: send `Authorization: Bearer …`, or open the address "
                "that `relaymd status --link` prints",
            ),
        )

    return check


def cookie_of(token: str) -> str:
    """What the browser keeps in place of the token."""
    return hmac.new(token.encode(), b"status page", hashlib.sha256).hexdigest()


def shows_token(request: web.Request, token: str) -> bool:
    """Whether the address carries the token: the first visit of the status page."""
    return request.path == "/" and _equal(request.query.get("token", ""), token)


def _knows(request: web.Request, token: str, cookie: str) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and _equal(given.strip(), token):
        return True
    if request.method not in ("GET", "HEAD"):
        return False
    return shows_token(request, token) or _equal(request.cookies.get(COOKIE, ""), cookie)


def _equal(given: str, expected: str) -> bool:
    """In a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())
