"""Reading files that their owner may go on writing, and knowing which bytes are of one moment.

The moment is that of the look which the caller took of all files. A piece is *sure* where its
file was still as at the look after the piece had been read, or where its content was read at
the same place before the look too: hash, look, hash. Only a set of sure pieces is one moment.
Blocking; offload it.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from relaymd.storage.cutting import cuts
from relaymd.storage.manifest import CHUNK_SIZE, Chunk, FileEntry, digest
from relaymd.storage.packing import Shrinker

MOST_PIECES = 256
"""In one batch: small files are read many at a time."""


class Print(msgspec.Struct, frozen=True):
    """What a file looks like from outside; equal prints, equal content."""

    size: int
    mtime_ns: int
    inode: int
    mode: int


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was when it was looked at."""

    path: str
    """Relative to the job's folder, with `/`."""

    print: Print
    place: Path
    quiet: bool = False
    """A copy that nobody writes: all of it is of the moment of the look."""


class Piece(msgspec.Struct, frozen=True):
    source: Source
    offset: int
    size: int
    before: Chunk | None
    """What was read there before the look."""


class Got(msgspec.Struct, frozen=True):
    piece: Piece
    chunk: Chunk
    data: bytes | None
    """To be stored; None where it is already."""

    sure: bool


def print_of(status: os.stat_result) -> Print:
    return Print(status.st_size, status.st_mtime_ns, status.st_ino, status.st_mode & 0o7777)


def sources_of(root: Path, paths: Iterable[str]) -> list[Source]:
    """Files that nobody writes. Raises OSError."""
    return [
        Source(path=path, print=print_of(os.stat(root / path)), place=root / path, quiet=True)
        for path in paths
    ]


def batches(
    sources: Sequence[Source], before: Mapping[str, FileEntry]
) -> Iterator[tuple[Piece, ...]]:
    """Pieces to be read together: small ones of many files, up to the longest chunk's size.

    before: of each path what was read of it before the look, if anything was.
    """
    batch: list[Piece] = []
    size = 0
    for piece in (piece for source in sources for piece in _pieces(source, before)):
        if batch and (size + piece.size > CHUNK_SIZE or len(batch) == MOST_PIECES):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(piece)
        size += piece.size
    if batch:
        yield tuple(batch)


def read(batch: Sequence[Piece], is_stored: Callable[[str], bool]) -> list[Got]:
    """Read and hash; what is not stored is made ready for it. Raises OSError."""
    shrinker = Shrinker()
    return [_read(piece, is_stored, shrinker) for piece in batch]


def _pieces(source: Source, before: Mapping[str, FileEntry]) -> Iterator[Piece]:
    """The last first: what an engine appends now lies there, and is soon followed by more."""
    entry = before.get(source.path)
    chunks = entry.chunks if entry else ()
    size = source.print.size
    for index, (offset, length) in reversed([*enumerate(cuts(size, chunks))]):
        known = chunks[index] if index < len(chunks) and chunks[index].size == length else None
        yield Piece(source, offset, length, known)


def _read(piece: Piece, is_stored: Callable[[str], bool], shrinker: Shrinker) -> Got:
    source = piece.source
    try:
        with open(source.place, "rb") as file:
            file.seek(piece.offset)
            data = file.read(piece.size)
            sure = source.quiet or print_of(os.fstat(file.fileno())) == source.print
    except FileNotFoundError:
        if source.quiet:
            raise
        data, sure = b"", False
    chunk = Chunk(digest(data), len(data))
    sure = len(data) == piece.size and (sure or chunk == piece.before)
    return Got(piece, chunk, None if is_stored(chunk.digest) else shrinker.shrunk(data), sure)
