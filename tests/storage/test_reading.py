"""Which pieces of a file that is being written are certainly of the moment of the look."""

import os
from pathlib import Path

import pytest

from relaymd.storage.manifest import CHUNK_SIZE, Chunk, FileEntry, digest
from relaymd.storage.reading import MOST_PIECES, Got, Source, batches, print_of, read


def source(path: Path, quiet: bool = False) -> Source:
    return Source(path=path.name, print=print_of(path.stat()), place=path, quiet=quiet)


def entry(path: str, *pieces: bytes) -> FileEntry:
    chunks = tuple(Chunk(digest(piece), len(piece)) for piece in pieces)
    size = sum(chunk.size for chunk in chunks)
    return FileEntry(path=path, size=size, mode=0o644, mtime_ns=1, chunks=chunks)


def nothing(digest: str) -> bool:
    return False


def all_of(file: Source, before: FileEntry | None = None) -> list[Got]:
    known = {file.path: before} if before else {}
    return [got for batch in batches([file], known) for got in read(batch, nothing)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "f"
    path.write_bytes(b"frame1")
    os.utime(path, (1, 1))
    return path


def test_a_file_that_rests_is_sure(file: Path) -> None:
    (got,) = all_of(source(file))
    assert (got.sure, got.data) == (True, b"frame1")


def test_what_changed_since_the_look_is_not_sure(file: Path) -> None:
    looked = source(file)
    file.write_bytes(b"FRAME1")
    assert [got.sure for got in all_of(looked)] == [False]


def test_what_was_the_same_before_the_look_is_sure_and_what_came_since_is_not(file: Path) -> None:
    before = entry("f", b"frame1")
    file.write_bytes(b"frame1frame2")
    os.utime(file, (2, 2))
    looked = source(file)
    file.write_bytes(b"frame1frame2frame3")
    assert [(got.piece.offset, got.sure) for got in all_of(looked, before)] == [
        (6, False),
        (0, True),
    ]
    again = all_of(looked, entry("f", b"frame1", b"frame2"))
    assert [got.sure for got in again] == [True, True]


def test_a_counter_that_was_rewritten_within_what_is_stored_is_not_sure(file: Path) -> None:
    """Some trajectories say in their first bytes how many frames follow."""
    before = entry("f", b"1", b"frame1")
    file.write_bytes(b"1frame1")
    os.utime(file, (2, 2))
    looked = source(file)
    file.write_bytes(b"2frame1frame2")
    assert [got.sure for got in all_of(looked, before)] == [True, False]


def test_what_vanished_or_became_shorter_is_not_sure(file: Path) -> None:
    looked = source(file)
    file.write_bytes(b"f")
    assert [got.sure for got in all_of(looked)] == [False]
    file.unlink()
    assert [got.sure for got in all_of(looked)] == [False]
    with pytest.raises(FileNotFoundError):
        all_of(Source(path="f", print=looked.print, place=file, quiet=True))


def test_many_small_files_are_one_batch_and_a_batch_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    small = [source(tmp_path / "f")] * 1000
    assert [len(batch) for batch in batches(small, {})] == [MOST_PIECES] * 3 + [232]
    (tmp_path / "big").write_bytes(bytes(2 * CHUNK_SIZE + 1))
    mixed = [*small[:3], source(tmp_path / "big"), *small[:3]]
    found = [*batches(mixed, {})]
    assert all(sum(piece.size for piece in batch) <= CHUNK_SIZE for batch in found)
    assert len(found) == 4
