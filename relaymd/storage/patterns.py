"""Which files of a job's folder a specification means.

`*`, `?` and `[…]` stay within one name, `**` crosses folders, hidden files are files like any
other, and a pattern that names a folder means everything in it. Links to folders are not
followed, and links to files only where they stay inside.
"""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

OURS = ".relaymd-"
"""Names at the top of a job's folder that begin so are RelayMD's own, and never matched."""


class UnfitNameError(Exception):
    """A file whose name is not UTF-8 matches: neither a manifest nor a key can hold it."""

    def __init__(self, path: str) -> None:
        readable = path.encode(errors="surrogateescape").decode(errors="replace")
        super().__init__(f"the name of the file {readable!r} is not UTF-8")
        self.path = path


def match(root: Path, patterns: Sequence[str]) -> list[str]:
    """The files that any of the patterns means: relative to the root, with `/`, sorted.

    A folder that cannot be read raises OSError: it is not an empty one. Raises UnfitNameError.
    """
    wanted = compiled(patterns)
    if wanted is None:
        return []
    found = sorted(path for path in _files(root, "", root.resolve()) if wanted.fullmatch(path))
    for path in found:
        if not _is_utf8(path):
            raise UnfitNameError(path)
    return found


def compiled(patterns: Sequence[str]) -> re.Pattern[str] | None:
    """One expression for relative paths of files; None where there is no pattern."""
    if not patterns:
        return None
    return re.compile("|".join(f"(?:{_translated(pattern)})" for pattern in patterns), re.DOTALL)


def _files(folder: Path, above: str, root: Path) -> Iterator[str]:
    try:
        entries = [*os.scandir(folder)]
    except FileNotFoundError:
        if not above:
            raise
        return  # the engine removed it while we looked
    for entry in entries:
        path = above + entry.name
        if not above and entry.name.startswith(OURS):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(folder / entry.name, f"{path}/", root)
        elif _is_file(entry) and (not entry.is_symlink() or _stays_inside(entry, root)):
            yield path


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError as exc:
        if exc.errno == errno.ELOOP:  # a link to itself is nothing to store
            return False
        raise


def _stays_inside(link: os.DirEntry[str], root: Path) -> bool:
    return Path(link.path).resolve().is_relative_to(root)


@lru_cache(maxsize=1024)  # the same few, each time that an engine's folder is looked at
def _translated(pattern: str) -> str:
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    last = len(parts) - 1
    words: list[str] = []
    for index, part in enumerate(parts):
        if part != "**":
            words.append(_segment(part) + ("/" if index < last else ""))
        else:
            words.append("(?:[^/]+/)*" if index < last else ".+")
    folder = pattern.endswith("/") or (bool(parts) and not re.search(r"[*?\[]", parts[-1]))
    return "".join(words) + ("(?:/.+)?" if folder else "")


def _segment(part: str) -> str:
    """One name of a pattern, as `fnmatch` has it, without the power to match a `/`."""
    words: list[str] = []
    at = 0
    while at < len(part):
        letter = part[at]
        at += 1
        if letter in "*?":
            words.append("[^/]*" if letter == "*" else "[^/]")
            continue
        end = part.find("]", at + 1 + part.startswith("!", at)) if letter == "[" else -1
        if end < 0:
            words.append(re.escape(letter))
        else:
            words.append(_letters(part[at:end]))
            at = end + 1
    return "".join(words)


def _letters(inside: str) -> str:
    """The inside of `[…]`: single letters and ranges; a range backwards matches nothing."""
    negated = inside.startswith("!")
    rest = inside.removeprefix("!")
    words: list[str] = []
    while rest:
        if len(rest) > 2 and rest[1] == "-":
            if rest[0] <= rest[2]:
                words.append(f"{re.escape(rest[0])}-{re.escape(rest[2])}")
            rest = rest[3:]
        else:
            words.append(re.escape(rest[0]))
            rest = rest[1:]
    if not words:
        return "[^/]" if negated else "(?!)"
    return f"(?!/)[{'^' if negated else ''}{''.join(words)}]"


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
