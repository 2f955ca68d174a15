"""One stack a state folder: a lock that ends with the process, and that says who holds it."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from relaymd.cli.failures import REFUSED, CommandError
from relaymd.cli.words import date
from relaymd.core.ids import UnixTime
from relaymd.core.strict import decode_json


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the lock, as it wrote into it."""

    pid: int
    host: str
    since: UnixTime


class StateHeldError(CommandError):
    """Another stack runs on this state folder."""

    def __init__(self, state: Path, holder: Holder | None) -> None:
        self.holder = holder
        who = "somebody who did not leave a name"
        if holder is not None:
            who = f"process {holder.pid} on {holder.host}, since {date(holder.since)}"
        super().__init__(f"a stack already runs on {state}: {who}", REFUSED)


@contextmanager
def hold(state: Path, holder: Holder) -> Generator[None]:
    """Hold `lock` in the folder. Raises StateHeldError at once if another process does.

    The kernel releases it when the process ends, however that happens; the file stays.
    """
    file = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateHeldError(state, read(file)) from None
        os.ftruncate(file, 0)
        os.pwrite(file, msgspec.json.encode(holder) + b"\n", 0)
        yield
        os.ftruncate(file, 0)
    finally:
        os.close(file)


def read(file: int) -> Holder | None:
    try:
        return decode_json(os.pread(file, 4096, 0), Holder)
    except (OSError, msgspec.DecodeError):
        return None
