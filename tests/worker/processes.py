"""Looking at real processes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(condition: Callable[[], T], within: float = 10.0) -> T:
    """Wait for something that happens outside of this process."""
    async with asyncio.timeout(within):
        while not (found := condition()):  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)
    return found


def number_in(path: Path) -> int:
    """The number in a file; 0 while it is not there."""
    try:
        return int(path.read_text() or 0)
    except FileNotFoundError:
        return 0


def engine_in(folder: Path) -> int:
    """The fake engine that runs in a folder; 0 if there is none."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
            is_engine = b"fake_engine" in words and b"guardian" not in words
            if is_engine and (process / "cwd").readlink() == folder:
                return int(process.name)
        except OSError:
            continue
    return 0
