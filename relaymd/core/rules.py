"""What the values of a specification must satisfy beyond their types, one sentence each.

What passes here can be given to the operating system: no NUL, no path that leaves the bundle's
folder, no time that never comes.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath

from relaymd.core.resources import Requirements
from relaymd.core.strict import InvalidDocumentError


def check_command(key: str, command: str | tuple[str, ...]) -> None:
    words = (command,) if isinstance(command, str) else command
    if not any(word.strip() for word in words):
        raise InvalidDocumentError(f"{key}: it is empty", key=key)
    if not words[0].strip():
        raise InvalidDocumentError(f"{key}: its first word names no program", key=key)
    for word in words:
        _check_text(key, word)


def check_inside(key: str, pattern: str) -> None:
    """A path or a glob has to name something below the job's folder."""
    path = PurePosixPath(pattern)
    _check_text(key, pattern)
    if not PurePosixPath(pattern.strip()).parts:
        raise InvalidDocumentError(f"{key}: an empty path names no file", key=key)
    if path.is_absolute() or pattern.startswith("~"):
        raise InvalidDocumentError(f"{key}: {pattern!r} must be relative to the bundle", key=key)
    if ".." in path.parts:
        raise InvalidDocumentError(f"{key}: {pattern!r} leaves the bundle's folder", key=key)


def check_seconds(key: str, value: float | None) -> None:
    if value is not None and not 0 < value < float("inf"):
        raise InvalidDocumentError(f"{key}: it must be more than 0 seconds", key=key)


def check_share(key: str, value: float | None) -> None:
    if value is not None and not 0 <= value < 1:
        raise InvalidDocumentError(f"{key}: it must be at least 0 and less than 1", key=key)


def check_environment(variables: Mapping[str, str]) -> None:
    key = "environment"
    for name, value in variables.items():
        if not name or "=" in name:
            raise InvalidDocumentError(f"{key}: {name!r} cannot name a variable", key=key)
        _check_text(key, name)
        _check_text(key, value)


def check_fatal_patterns(patterns: tuple[str, ...]) -> None:
    if not all(pattern.strip() for pattern in patterns):
        key = "fatal_log_patterns"
        raise InvalidDocumentError(f"{key}: an empty pattern is found in every line", key=key)


def check_resources(need: Requirements) -> None:
    """need: the bundle's, or a submit's, which says nothing of disks."""
    for name in ("gpus", "vram_gb", "disk_gb"):
        key = f"resources.{name}"
        if not 0 <= getattr(need, name, 0) < float("inf"):
            raise InvalidDocumentError(f"{key}: it cannot be less than 0, or endless", key=key)


def _check_text(key: str, text: str) -> None:
    if "\0" in text:
        raise InvalidDocumentError(f"{key}: {text!r} contains a NUL", key=key)
