"""Blocking work on the worker's own files. Call it through the offload."""

import os
import shutil
import stat
from pathlib import Path

NO_ROOM = 1024 * 1024
"""Bytes."""


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file so that it is whole, and on disk, when this returns. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_all(folder: Path) -> dict[str, bytes]:
    """The folder's finished files by name; one that does not exist has none. Raises OSError."""
    if not folder.is_dir():
        return {}
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(".")
    }


def read_part(path: Path, offset: int, size: int) -> bytes:
    """Up to `size` bytes from an offset; a file that is not there has none."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except FileNotFoundError:
        return b""


def sizes(*paths: Path) -> list[int]:
    """In bytes; a file that is not there has none."""
    found: list[int] = []
    for path in paths:
        try:
            found.append(path.stat().st_size)
        except OSError:
            found.append(0)
    return found


def read_small(path: Path, largest: int = 65536) -> bytes | None:
    """A small file's content; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(largest)
    except OSError:
        return None


def tail(path: Path, size: int) -> bytes:
    """The last bytes of a file; one that cannot be read has none."""
    try:
        with path.open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - size, 0))
            return file.read(size)
    except OSError:
        return b""


def free_bytes(folder: Path) -> int | None:
    """What may still be written on the disk under the folder; None where nobody can tell."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize


def status_of(path: Path) -> os.stat_result | None:
    """Of a plain file; None for anything else, and for what cannot be looked at."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def is_full(folder: Path) -> bool:
    """Whether the disk under the folder has no room to speak of; False where nobody can tell."""
    free = free_bytes(folder)
    return free is not None and free < NO_ROOM


def remove_tree(folder: Path) -> None:
    """Remove what can be removed; what cannot is left for the next process to try."""
    shutil.rmtree(folder, ignore_errors=True)


def make_folders(*folders: Path) -> None:
    """Raises OSError."""
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
