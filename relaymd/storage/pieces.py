"""The pieces of a restore: which are wanted, where they lie, where they go. Blocking."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import msgspec

from relaymd.storage import keys
from relaymd.storage.manifest import Chunk, FileEntry, Manifest, Member, digest
from relaymd.storage.packing import grown

Place = tuple[FileEntry, Path]
"""A file and where it waits until all are right."""


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """One object to be downloaded."""

    key: str
    size: int
    members: tuple[Member, ...]
    """All it holds, in order."""

    targets: dict[str, list[tuple[Path, int]]]
    """Where each chunk goes: file and offset."""


def wrong(root: Path, places: Sequence[Place]) -> list[Place]:
    """Those files that are not at their own places yet as they should be. Raises OSError."""
    return [(file, place) for file, place in places if not _is_right(root / file.path, file)]


def lacking(places: Sequence[Place]) -> set[str]:
    """Chunks that the waiting files lack. Makes those files, if they are not there.

    Raises OSError.
    """
    found = set[str]()
    for file, place in places:
        there = place.exists()
        with open(place, "ab") as content:
            content.truncate(file.size)
        found |= _missing(place, file) if there else {chunk.digest for chunk in file.chunks}
    return found


def fetches(manifest: Manifest, places: Sequence[Place], wanted: set[str]) -> Iterator[Fetch]:
    """The objects that hold the wanted chunks of the files."""
    targets = defaultdict[str, list[tuple[Path, int]]](list)
    sizes: dict[str, int] = {}
    for file, place in places:
        for offset, chunk in _offsets(file.chunks):
            if chunk.digest in wanted:
                targets[chunk.digest].append((place, offset))
                sizes[chunk.digest] = chunk.size
    for pack in manifest.packs:
        held = {member.digest for member in pack.members} & targets.keys()
        if held:
            yield Fetch(
                key=keys.pack(manifest.job, pack.epoch, pack.round, pack.name),
                size=pack.size,
                members=pack.members,
                targets={name: targets.pop(name) for name in held},
            )
    for name, where in targets.items():
        yield Fetch(
            key=keys.chunk(manifest.job, name),
            size=sizes[name],
            members=(Member(name, sizes[name], sizes[name]),),
            targets={name: where},
        )


def take_in(fetch: Fetch, data: bytes) -> str | None:
    """Write an object's chunks to their places, if all are right; else say what is wrong.

    Raises OSError.
    """
    if len(data) != fetch.size:
        return f"it has {len(data)} of {fetch.size} bytes"
    try:
        if any(digest(content) != member.digest for member, content in _unpacked(fetch, data)):
            return "its hash is not the one it is called by"
    except ValueError as exc:
        return str(exc)
    for member, content in _unpacked(fetch, data):
        for path, offset in fetch.targets.get(member.digest, ()):
            _write(path, content, offset)
    return None


def _unpacked(fetch: Fetch, data: bytes) -> Iterator[tuple[Member, bytes]]:
    if len(fetch.members) == 1:
        yield fetch.members[0], grown(data, fetch.members[0])
        return
    starts = accumulate((member.stored for member in fetch.members), initial=0)
    for start, member in zip(starts, fetch.members, strict=False):
        yield member, grown(data[start : start + member.stored], member)


def _offsets(chunks: Iterable[Chunk]) -> Iterator[tuple[int, Chunk]]:
    at = 0
    for chunk in chunks:
        yield at, chunk
        at += chunk.size


def _is_right(path: Path, file: FileEntry) -> bool:
    try:
        if path.is_symlink() or path.stat().st_size != file.size:
            return False
        return not _missing(path, file)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False


def _missing(path: Path, file: FileEntry) -> set[str]:
    with open(path, "rb") as content:
        wanted = [chunk.digest for chunk in file.chunks]
        return {
            name
            for name, chunk in zip(wanted, file.chunks, strict=True)
            if digest(content.read(chunk.size)) != name
        }


def _write(path: Path, data: bytes, offset: int) -> None:
    # Opened anew for each chunk: a thread that outlives the cancelled task that waited for it
    # must not find its descriptor in use for another file.
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        view = memoryview(data)
        while view:
            offset += (count := os.pwrite(handle, view, offset))
            view = view[count:]
    finally:
        os.close(handle)
