"""Chunks on their way into objects: made smaller where that pays, small ones put together."""

import zstandard

from relaymd.core.ids import Epoch
from relaymd.storage.manifest import CHUNK_SIZE, Chunk, Member, Pack

ALONE = 1024 * 1024
"""Bytes from which on a chunk is an object by itself."""

PAYS = 0.9
"""Compressed chunks are taken where they have at most this share of their bytes."""

SAMPLE = 16 * 1024
"""Bytes that are tried, at the begin, in the middle and at the end of a chunk."""

LEVEL = 3


class Shrinker:
    """Makes chunks smaller, one after the other. Not for two threads at a time."""

    def __init__(self) -> None:
        self._trial = zstandard.ZstdCompressor(level=1)
        self._whole = zstandard.ZstdCompressor(level=LEVEL)

    def shrunk(self, data: bytes) -> bytes:
        """A zstd frame of the data where it pays, as a sample says; else the data."""
        if len(data) > 4 * SAMPLE and not _pays(self._trial, _sample(data)):
            return data
        frame = self._whole.compress(data)
        return frame if len(frame) <= PAYS * len(data) else data


def grown(data: bytes, member: Member) -> bytes:
    """A chunk from the bytes that a pack holds of it. Raises ValueError where they are none."""
    if member.stored == member.size:
        return data
    try:
        if zstandard.frame_content_size(data) != member.size:
            raise ValueError("it is not what was compressed")
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as exc:
        raise ValueError(f"it cannot be decompressed: {exc}") from exc


class Packer:
    """Puts small chunks together, in the order in which they come."""

    def __init__(self, epoch: Epoch, round: int = 0) -> None:
        self._epoch = epoch
        self._round = round
        self._members: list[Member] = []
        self._data: list[bytes] = []
        self._size = 0

    def add(self, chunk: Chunk, data: bytes) -> tuple[Pack, bytes] | None:
        """data: as the shrinker returned it. The pack that is complete now, if one is."""
        member = Member(chunk.digest, chunk.size, len(data))
        if len(data) >= ALONE:
            return Pack(self._epoch, self._round, (member,)), data
        full = self.rest() if self._size + len(data) > CHUNK_SIZE else None
        self._members.append(member)
        self._data.append(data)
        self._size += len(data)
        return full

    def rest(self) -> tuple[Pack, bytes] | None:
        """What was put together so far and is not complete."""
        if not self._members:
            return None
        packed = Pack(self._epoch, self._round, tuple(self._members)), b"".join(self._data)
        self._members, self._data, self._size = [], [], 0
        return packed


def _sample(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:SAMPLE] + data[middle : middle + SAMPLE] + data[-SAMPLE:]


def _pays(compressor: zstandard.ZstdCompressor, data: bytes) -> bool:
    return len(compressor.compress(data)) <= PAYS * len(data)
