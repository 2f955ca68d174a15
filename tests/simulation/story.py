"""What happened in one run, line by line, to be printed when it went wrong."""

import asyncio
from collections import deque

from relaymd.bus.broker import Kind, Parcel


class Story:
    """Keeps the latest lines; costs next to nothing until it is told."""

    def __init__(self, keep: int = 4000) -> None:
        self._lines: deque[tuple[float, str, Parcel | None, str]] = deque(maxlen=keep)

    def note(self, text: str) -> None:
        self._lines.append((asyncio.get_running_loop().time(), text, None, ""))

    def tell(self, parcel: Parcel, fate: str = "") -> None:
        self._lines.append((asyncio.get_running_loop().time(), "", parcel, fate))

    def lines(self) -> list[str]:
        return [
            f"{at:9.4f}  {_spelled(parcel, fate) if parcel else text}"
            for at, text, parcel, fate in self._lines
        ]


def _spelled(parcel: Parcel, fate: str) -> str:
    arrow = {Kind.REQUEST: "->", Kind.ANSWER: "=>", Kind.EVENT: "~>"}[parcel.kind]
    body = parcel.body.decode(errors="replace")
    way = f"{parcel.sender or 'server'} {arrow} {parcel.receiver or 'nobody'}"
    return f"{way:24} {parcel.subject} {body[:160]} {fate}".rstrip()
