"""Work on files in memory that nobody has modelled: done for real, on a copy on a real disk."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.simulation.filetable import File, FileTable


def mirrored(table: FileTable, root: Path, work: Callable[[], Any]) -> Any:
    """Write the table's files under their own paths, do the work, and take in what it left.

    root: the folder above all of them, which does not exist outside of this call. Slow, and an
    inode that the work is told of is not the one that it meets.
    """
    root.mkdir(parents=True)
    try:
        written = _write(table)
        try:
            return work()
        finally:
            table.folders = _read(table, root, written)
    finally:
        shutil.rmtree(root)


def _write(table: FileTable) -> dict[int, File]:
    """Every file by its inode on the real disk."""
    written: dict[int, File] = {}
    for folder, files in table.folders.items():
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, file in files.items():
            path = Path(folder) / name
            path.write_bytes(file.data)
            path.chmod(file.mode)
            os.utime(path, ns=(file.mtime_ns, file.mtime_ns))
            written[path.stat().st_ino] = file
    return written


def _read(table: FileTable, root: Path, written: dict[int, File]) -> dict[str, dict[str, File]]:
    found: dict[str, dict[str, File]] = {}
    for folder, _, names in os.walk(root):
        found[folder] = {}
        for name in names:
            path = Path(folder) / name
            status = path.stat()
            file = written.get(status.st_ino) or table.new(b"")
            file.data, file.mode = path.read_bytes(), status.st_mode & 0o7777
            file.mtime_ns = status.st_mtime_ns
            found[folder][name] = file
    return found
