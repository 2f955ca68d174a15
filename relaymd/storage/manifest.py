"""One checkpoint generation: every file, its mode, and the chunks that make it up."""

import msgspec
from blake3 import blake3

from relaymd.core.checkpoint import Progress
from relaymd.core.ids import Epoch, Generation, JobId, UnixTime

FORMAT = 1

CHUNK_SIZE = 4 * 1024 * 1024
"""Bytes. Files are cut at multiples of it, so that what was appended is all that is new."""


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    digest: str
    """BLAKE3 of the content, in hexadecimal."""

    size: int


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    """Relative to the job's folder, with `/`."""

    size: int
    mode: int
    mtime_ns: int
    chunks: tuple[Chunk, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    format: int = FORMAT
    job: JobId
    generation: Generation
    epoch: Epoch
    at: UnixTime
    files: tuple[FileEntry, ...]
    progress: Progress | None = None


def digest(data: bytes) -> str:
    """BLAKE3 in hexadecimal: how chunks, manifests and bundles are addressed."""
    return blake3(data).hexdigest()
