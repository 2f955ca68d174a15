"""What happened in one run, line by line: told when it went wrong, and its digest always."""

import asyncio
from collections import deque
from hashlib import blake2b

from relaymd.bus.broker import Kind, Parcel

ARROWS = {Kind.REQUEST: "->", Kind.ANSWER: "=>", Kind.EVENT: "~>"}


class Story:
    """Keeps the latest lines, and the hash of all: two runs of one seed have the same."""

    def __init__(self, keep: int = 4000) -> None:
        self._lines: deque[tuple[float, str, Parcel | None]] = deque(maxlen=keep)
        self._hash = blake2b(digest_size=8)

    def note(self, text: str) -> None:
        at = asyncio.get_running_loop().time()
        self._lines.append((at, text, None))
        self._hash.update(f"{at!r} {text}".encode())

    def tell(self, parcel: Parcel, fate: str = "") -> None:
        at = asyncio.get_running_loop().time()
        self._lines.append((at, fate, parcel))
        way = f"{at!r} {parcel.kind} {parcel.sender} {parcel.receiver} {parcel.subject} {fate}"
        self._hash.update(way.encode())
        self._hash.update(parcel.body)

    def add(self, body: bytes) -> None:
        """Something that is in the digest only."""
        self._hash.update(body)

    def digest(self) -> str:
        return self._hash.hexdigest()

    def lines(self) -> list[str]:
        return [
            f"{at:9.4f}  {_spelled(parcel, text) if parcel else text}"
            for at, text, parcel in self._lines
        ]


def _spelled(parcel: Parcel, fate: str) -> str:
    body = parcel.body.decode(errors="replace")
    way = f"{parcel.sender or 'server'} {ARROWS[parcel.kind]} {parcel.receiver or 'nobody'}"
    return f"{way:28} {parcel.subject} {body[:200]} {fate}".rstrip()
