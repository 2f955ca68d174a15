"""What the server itself tells about connections that ended."""

import msgspec

from relaymd.core.strict import decode_json

DISCONNECTS = "$SYS.ACCOUNT.*.DISCONNECT"

HANGING_UP = ("Client Closed", "Read Error")
"""The end of the stream, and a reset in place of it where something lay there unread."""


class Disconnection(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """What the connection called itself: of a worker, its id. Empty where it did not."""

    reason: str
    """In the server's words, such as `Client Closed` or `Stale Connection`."""

    @property
    def hung_up(self) -> bool:
        """Whether the far end closed it, as a kernel does for a process that was killed.

        A network that fails closes nothing: then it is the server who gives up, after a while.
        """
        return self.reason in HANGING_UP


class _Client(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""


class _Advisory(msgspec.Struct, frozen=True, kw_only=True):
    client: _Client = _Client()
    reason: str = ""


def read(body: bytes) -> Disconnection | None:
    """None for what a newer server may say and we do not understand."""
    try:
        advisory = decode_json(body, _Advisory)
    except msgspec.DecodeError:
        return None
    return Disconnection(name=advisory.client.name, reason=advisory.reason)
