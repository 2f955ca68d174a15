"""Whether a folder lies on a file system that keeps SQLite's promises."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

SAFE = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs"}
    | {"tmpfs", "ramfs", "overlay", "fuseblk", "vfat"}
)
"""Local file systems. What is not here may lose locks or order of writes between machines."""

MOUNTS = Path("/proc/self/mountinfo")


def unsafe(path: Path, mounts: Iterable[str] | None = None) -> str | None:
    """The type of the file system under the path if it is not known to be safe, else None.

    mounts: the lines of `/proc/self/mountinfo`. Where a system has none, nothing is known and
    nothing is refused.
    """
    if mounts is None:
        try:
            mounts = os.fsdecode(MOUNTS.read_bytes()).splitlines()
        except OSError:
            return None
    best, kind = -1, None
    for line in mounts:
        before, _, behind = line.partition(" - ")
        left, right = before.split(), behind.split()
        if len(left) < 5 or not right:
            continue
        point = Path(_plain(left[4]))
        # The later mount hides the earlier one at the same place.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), right[0]
    return None if kind is None or kind in SAFE else kind


def _plain(escaped: str) -> str:
    """The kernel writes spaces in paths as `\\040`."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), escaped)
