"""Where files are cut into chunks: pure arithmetic, which looks at no content."""

from collections.abc import Sequence
from itertools import accumulate

from relaymd.storage.manifest import CHUNK_SIZE, Chunk

MOST_SHORT = 32
"""Chunks of a file that may be shorter than the longest, until the file is cut anew."""


def cuts(size: int, stored: Sequence[Chunk] = ()) -> list[tuple[int, int]]:
    """Offset and length of each chunk of a file of this size.

    stored: the chunks that the file had last time. Their boundaries stay, so that what was
    appended since is all that is new, down to the byte; what is left is cut at multiples of
    the longest chunk. A file that grows by little gathers short chunks: when they are too
    many, it is cut at multiples throughout, and the pieces between two of them travel again.
    """
    lengths = _kept(size, stored)
    at = sum(lengths)
    while at < size:
        lengths.append(min(CHUNK_SIZE - at % CHUNK_SIZE, size - at))
        at += lengths[-1]
    if sum(length < CHUNK_SIZE for length in lengths) > MOST_SHORT:
        return cuts(size)
    return [*zip(accumulate(lengths, initial=0), lengths, strict=False)]


def _kept(size: int, stored: Sequence[Chunk]) -> list[int]:
    lengths: list[int] = []
    for chunk in stored:
        size -= chunk.size
        if size < 0:
            break
        lengths.append(chunk.size)
    return lengths
