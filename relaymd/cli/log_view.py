"""One stream of one segment from two sources: what is stored, and what is said live. Pure.

Live messages come at once and may be lost; stored pieces come later and do not get lost. The
offsets of their bytes put them together without a gap and without repetition.
"""

from collections.abc import Iterator

from relaymd.bus.facts import Output
from relaymd.storage.logs import LogPiece

HELD = 10_000
"""Live messages kept behind a gap; beyond it the oldest are left to the store."""


class LogView:
    def __init__(self) -> None:
        self.position = 0
        """Offset of the first byte that has not been shown."""

        self._held: dict[int, Output] = {}

    @property
    def gap(self) -> bool:
        """Whether something said live waits for what came before it."""
        return bool(self._held)

    def stored(self, piece: LogPiece) -> bytes:
        """What of a stored piece is new."""
        fresh = piece.data[max(self.position - piece.offset, 0) :]
        self.position = max(self.position, piece.offset + len(piece.data))
        return fresh

    def live(self, said: Output) -> Iterator[bytes]:
        """What can be shown now that this was said."""
        if said.offset + said.size > self.position:
            self._held[said.offset] = said
            if len(self._held) > HELD:
                del self._held[min(self._held)]
        yield from self.ready()

    def ready(self) -> Iterator[bytes]:
        """What was said live and follows what was shown."""
        for offset in sorted(self._held):
            said = self._held[offset]
            if offset + said.size <= self.position:
                del self._held[offset]
                continue
            data = said.text.encode()
            if offset > self.position:
                return
            if offset < self.position and len(data) != said.size:
                return  # where its bytes were replaced, only the store knows which are new
            del self._held[offset]
            yield data[self.position - offset :]
            self.position = offset + said.size
