"""The checkpoint's files at one moment, and sources from which that moment can be read.

Two looks one after the other that are equal make the moment: each file was the same from the
one to the other. What is read later is of that moment where the file has not changed since, or
where its content is the same as before the look; see `relaymd.storage.reading`. Where the file
system can, files are cloned at once, and read from the clones. Blocking; offload it.
"""

import fcntl
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from relaymd.storage import patterns
from relaymd.storage.reading import Print, Source
from relaymd.storage.reading import print_of as printed

FICLONE = 0x40049409
"""The ioctl that copies a file by sharing its blocks, where the file system can."""

RACY_NS = 12_000_000
"""A file changed this recently could change again without its time of change differing."""


class Look(msgspec.Struct, frozen=True):
    """The checkpoint's files at one moment."""

    files: dict[str, Print]
    marker: Print | None


class Moment(msgspec.Struct, frozen=True):
    root: Path
    look: Look
    changed: tuple[Source, ...]
    """Files that differ from what was known."""


class UnsettledError(Exception):
    """Files changed while they were looked at or read. Another try may succeed."""


class NotValidError(Exception):
    """The marker is not there: what lies there now is no checkpoint."""


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    root: Path
    patterns: tuple[str, ...]
    marker: str | None = None


def look(watched: Watched) -> Look:
    """Raises OSError or UnfitNameError."""
    files: dict[str, Print] = {}
    root = f"{watched.root}/"
    for path in patterns.match(watched.root, watched.patterns):
        seen = print_of(root + path)
        if seen is not None:
            files[path] = seen
    marker = print_of(watched.root / watched.marker) if watched.marker else None
    return Look(files, marker)


def print_of(path: Path | str) -> Print | None:
    """None for what is not there. Raises OSError for what cannot be looked at."""
    try:
        return printed(os.stat(path))
    except FileNotFoundError:
        return None


def take(watched: Watched, known: Mapping[str, Print], staging: Path) -> Moment:
    """Find what differs from the known prints, and clone it into the staging folder if possible.

    Raises UnsettledError, NotValidError, OSError or UnfitNameError.
    """
    seen = look(watched)
    if watched.marker and seen.marker is None:
        raise NotValidError(f"the marker {watched.marker} is not there")
    changed = changes(seen.files, known)
    if changed:
        staging.mkdir(parents=True, exist_ok=True)
        _check_settled(watched, seen, changed, staging)
    places = _cloned(watched.root, changed, seen.files, staging)
    sources = [
        Source(
            path=path,
            print=seen.files[path],
            place=places.get(path, watched.root / path),
            quiet=path in places,
        )
        for path in changed
    ]
    return Moment(watched.root, seen, tuple(sources))


def check(watched: Watched, seen: Look, unsure: Sequence[str]) -> None:
    """Find out, when all is read, whether it is of one moment. Raises UnsettledError, OSError."""
    if watched.marker and print_of(watched.root / watched.marker) != seen.marker:
        raise UnsettledError(f"the marker {watched.marker} changed during the copy")
    if unsure:
        raise UnsettledError(f"{unsure[0]} changed during the copy")


def changes(now: Mapping[str, Print], known: Mapping[str, Print]) -> list[str]:
    return [path for path, seen in now.items() if known.get(path) != seen]


def is_newer(now: Look, before: Look, *, marked: bool) -> bool:
    """Whether a checkpoint was written since: a new marker if there is one, else a file rewritten.

    A file that only grew is a log or a trajectory, and says nothing of a checkpoint.
    """
    if marked:
        return now.marker is not None and now.marker != before.marker
    return any(_is_rewritten(seen, before.files.get(path)) for path, seen in now.files.items())


def _is_rewritten(now: Print, before: Print | None) -> bool:
    if before is None or now.inode != before.inode or now.size < before.size:
        return True
    return now.size == before.size and now.mtime_ns != before.mtime_ns


def _check_settled(watched: Watched, seen: Look, changed: Sequence[str], staging: Path) -> None:
    """Whether a change after this moment would show, and none came before it."""
    now = _clock(staging)
    for path in changed:
        if abs(now - seen.files[path].mtime_ns) < RACY_NS:
            raise UnsettledError(f"{path} is being written")
    again = look(watched)
    if again.marker != seen.marker:
        raise UnsettledError(f"the marker {watched.marker} changed during the copy")
    for path in (*changes(again.files, seen.files), *changes(seen.files, again.files)):
        raise UnsettledError(f"{path} changed during the copy")


def _clock(folder: Path) -> int:
    """The file system's own idea of now, whoever's clock that is; nanoseconds."""
    probe = folder / ".clock"
    probe.touch()
    return probe.stat().st_mtime_ns


def _cloned(
    root: Path, paths: Sequence[str], prints: Mapping[str, Print], staging: Path
) -> dict[str, Path]:
    """Clones of those files that were still as they had been looked at; none without reflinks."""
    clones: dict[str, Path] = {}
    for number, path in enumerate(paths):
        clone = staging / f"{number}.clone"
        try:
            if _clone(root / path, clone) == prints[path]:
                clones[path] = clone
        except FileNotFoundError:
            continue  # it is found to be missing when it is read
        except OSError:
            clone.unlink(missing_ok=True)
            return clones  # a file system that cannot, or has no room even for that
    return clones


def _clone(source: Path, target: Path) -> Print:
    """Raises OSError."""
    with source.open("rb") as reader, target.open("wb") as writer:
        fcntl.ioctl(writer.fileno(), FICLONE, reader.fileno())
        return printed(os.fstat(reader.fileno()))
