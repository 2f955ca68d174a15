"""A copy of the checkpoint's files in which no two moments are mixed. Blocking; offload it.

The files are looked at, copied, and looked at again: if anything differs, or if the marker was
not there all the time, the copy is void. Files that are as they were at the last stored
generation are not even read.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from relaymd.storage import patterns

FICLONE = 0x40049409
"""The ioctl that copies a file by sharing its blocks, where the file system can."""

RACY_NS = 12_000_000
"""A file changed this recently could change again without its time of change differing."""


class Print(msgspec.Struct, frozen=True):
    """What a file looks like from outside; equal prints, equal content."""

    size: int
    mtime_ns: int
    inode: int
    mode: int


class Look(msgspec.Struct, frozen=True):
    """The checkpoint's files at one moment."""

    files: dict[str, Print]
    marker: Print | None


class Copied(msgspec.Struct, frozen=True):
    look: Look
    changed: tuple[str, ...]
    """Paths that differ from what was known; their copies lie in the staging folder."""


class UnsettledError(Exception):
    """Files changed while they were copied. The copy is void; another may succeed."""


class NotValidError(Exception):
    """The marker is not there: what lies there now is no checkpoint."""


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    root: Path
    patterns: tuple[str, ...]
    marker: str | None = None


def look(watched: Watched) -> Look:
    """Raises OSError or UnfitNameError."""
    files: dict[str, Print] = {}
    for path in patterns.match(watched.root, watched.patterns):
        seen = print_of(watched.root / path)
        if seen is not None:
            files[path] = seen
    marker = print_of(watched.root / watched.marker) if watched.marker else None
    return Look(files, marker)


def print_of(path: Path) -> Print | None:
    """None for what is not there. Raises OSError for what cannot be looked at."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return Print(found.st_size, found.st_mtime_ns, found.st_ino, found.st_mode & 0o7777)


def copy(watched: Watched, known: Mapping[str, Print], staging: Path) -> Copied:
    """Copy what differs from the known prints into an empty staging folder.

    Raises UnsettledError, NotValidError, OSError (such as a full disk) or UnfitNameError.
    """
    before = look(watched)
    if watched.marker and before.marker is None:
        raise NotValidError(f"the marker {watched.marker} is not there")
    changed = changes(before.files, known)
    for path in changed:
        _copy_file(watched.root / path, staging / path, path)
    after = look(watched)
    if after.marker != before.marker:
        raise UnsettledError(f"the marker {watched.marker} changed during the copy")
    if differing := changes(after.files, before.files) or changes(before.files, after.files):
        raise UnsettledError(f"{differing[0]} changed during the copy")
    return Copied(before, tuple(changed))


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


def _copy_file(source: Path, target: Path, name: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        reader = source.open("rb")
    except FileNotFoundError:
        raise UnsettledError(f"{name} vanished during the copy") from None
    with reader, target.open("wb") as writer:
        if not _clone(reader.fileno(), writer.fileno()):
            shutil.copyfileobj(reader, writer, 1024 * 1024)
        status = os.fstat(reader.fileno())
        writer.flush()
        os.utime(writer.fileno())  # the file system's own idea of now, whoever's clock that is
        if abs(os.fstat(writer.fileno()).st_mtime_ns - status.st_mtime_ns) < RACY_NS:
            raise UnsettledError(f"{name} is being written")
        os.fchmod(writer.fileno(), status.st_mode & 0o7777)
        os.utime(writer.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def _clone(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return False  # another file system, or one that cannot
    return True
