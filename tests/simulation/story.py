"""What happened in one run, line by line: told when it went wrong, and its digest always."""

import asyncio
from collections.abc import Iterable
from hashlib import blake2b

from relaymd.bus.broker import Kind, Parcel

ARROWS = {Kind.REQUEST: "->", Kind.ANSWER: "=>", Kind.EVENT: "~>"}


class Story:
    """Keeps every line; their hash is the same in two runs of one seed."""

    def __init__(self) -> None:
        self._lines: list[tuple[float, str, Parcel | None]] = []

    def note(self, text: str) -> None:
        self._lines.append((asyncio.get_running_loop().time(), text, None))

    def tell(self, parcel: Parcel, fate: str = "") -> None:
        self._lines.append((asyncio.get_running_loop().time(), fate, parcel))

    def digest(self, more: Iterable[bytes] = ()) -> str:
        """Of all that was told, to the byte, and of more."""
        found = blake2b(digest_size=8)
        for at, text, parcel in self._lines:
            found.update(f"{at!r} {text}".encode())
            if parcel is not None:
                way = f"{parcel.kind} {parcel.sender} {parcel.receiver} {parcel.subject}"
                found.update(way.encode())
                found.update(parcel.body)
        for body in more:
            found.update(body)
        return found.hexdigest()

    def lines(self) -> list[str]:
        return [
            f"{at:9.4f}  {_spelled(parcel, text) if parcel else text}"
            for at, text, parcel in self._lines
        ]


def _spelled(parcel: Parcel, fate: str) -> str:
    body = parcel.body.decode(errors="replace")
    way = f"{parcel.sender or 'server'} {ARROWS[parcel.kind]} {parcel.receiver or 'nobody'}"
    return f"{way:28} {parcel.subject} {body[:200]} {fate}".rstrip()
