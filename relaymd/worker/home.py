"""The worker's own folder: held by one process at a time, and cleaned up after the dead.

    {worker_dir}/{worker}/lock                 held while the process lives; names its host
    {worker_dir}/{worker}/{job}-{epoch}/       one lease
    {worker_dir}/{worker}/outbox/              last words not yet heard

All of it blocks and is done before the worker's loop has anything to do.
"""

import fcntl
import os
import re
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from relaymd.worker import files

LEASE = re.compile(r"[A-Za-z0-9_-]{1,64}-[0-9]+")
"""What the folder of a lease is called."""


class HomeTakenError(Exception):
    """Another process is this worker already, or the folder cannot be used."""


@contextmanager
def claimed(folder: Path) -> Generator[Path]:
    """Hold the folder; folders of leases that a dead process left in it are removed.

    Raises HomeTakenError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise HomeTakenError(f"the worker's folder {folder} cannot be used: {exc}") from exc
    try:
        if not _held(lock):
            raise HomeTakenError(f"another worker process holds {folder}")
        os.truncate(lock, 0)
        os.write(lock, socket.gethostname().encode())
        _remove_leases(folder)
        yield folder
    finally:
        os.close(lock)


def adopt(folder: Path) -> None:
    """Take over what dead workers beside this folder could not say, and remove their leases.

    Only those of this host: whether a process elsewhere lives cannot be told from here.
    """
    for other in sorted(folder.parent.iterdir()):
        if other == folder or not (other / "lock").is_file():
            continue
        lock = os.open(other / "lock", os.O_RDWR | os.O_CLOEXEC)
        try:
            if os.read(lock, 256).decode(errors="replace") == socket.gethostname() and _held(lock):
                _move_letters(other / "outbox", folder / "outbox")
                _remove_leases(other)
        finally:
            os.close(lock)


def _held(lock: int) -> bool:
    """Whether the lock is ours now. A file system without locks lets nobody in."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _move_letters(source: Path, target: Path) -> None:
    if not source.is_dir():
        return
    target.mkdir(exist_ok=True)
    for letter in source.glob("*.json"):
        letter.replace(target / letter.name)


def _remove_leases(folder: Path) -> None:
    for place in folder.iterdir():
        if place.is_dir() and LEASE.fullmatch(place.name):
            files.remove_tree(place)
