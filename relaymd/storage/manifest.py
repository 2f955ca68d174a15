"""One checkpoint generation: every file, the chunks that make it up, and the packs these lie in.

Format 1, of earlier releases, has no packs: each chunk is an object under its own hash. Such
manifests are read, and what they name is taken over into new ones.
"""

from functools import cached_property

import msgspec
from blake3 import blake3

from relaymd.core.checkpoint import Progress
from relaymd.core.ids import Epoch, Generation, JobId, UnixTime

FORMAT = 2

CHUNK_SIZE = 4 * 1024 * 1024
"""Bytes of the largest chunk."""


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    digest: str
    """BLAKE3 of the content, in hexadecimal."""

    size: int


class Member(msgspec.Struct, frozen=True, array_like=True):
    """A chunk in a pack."""

    digest: str
    """BLAKE3 of the chunk, as it is read and not as it is stored."""

    size: int
    stored: int
    """Bytes it takes there; fewer than `size`: they are one zstd frame."""


class Pack(msgspec.Struct, frozen=True, array_like=True, dict=True):
    """One object that holds chunks, one behind the other."""

    epoch: Epoch
    """Of the lease that stored it: no other lease writes or replaces it."""

    round: int
    """How often that lease had collected before: what it removed it never stores again."""

    members: tuple[Member, ...]

    @cached_property
    def name(self) -> str:
        """By its members, so that what is uploaded twice is the same object twice."""
        if len(self.members) == 1:
            return self.members[0].digest
        return digest(msgspec.json.encode(self.members))

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return sum(member.stored for member in self.members)


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    """Relative to the job's folder, with `/`."""

    size: int
    mode: int
    mtime_ns: int
    chunks: tuple[Chunk, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    format: int = 1
    """Absent in what releases wrote that knew only one."""

    job: JobId
    generation: Generation
    epoch: Epoch
    at: UnixTime
    files: tuple[FileEntry, ...]
    progress: Progress | None = None
    packs: tuple[Pack, ...] = ()
    """Every chunk lies in one of them, or in an object of its own that format 1 stored."""


def digest(data: bytes) -> str:
    """BLAKE3 in hexadecimal: how chunks, manifests and bundles are addressed."""
    return blake3(data).hexdigest()
