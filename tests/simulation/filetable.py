"""Files in memory: by the path of their folder, and their name in it."""

import os
import stat
from pathlib import Path

from relaymd.storage import patterns
from relaymd.storage.reading import Print


class File:
    """What a path leads to."""

    __slots__ = ("data", "inode", "mode", "mtime_ns")

    def __init__(self, data: bytes, inode: int, mode: int = 0o644, mtime_ns: int = 0) -> None:
        self.data = data
        self.inode = inode
        self.mode = mode
        self.mtime_ns = mtime_ns

    def status(self) -> os.stat_result:
        size = len(self.data)
        seconds = self.mtime_ns // 10**9
        known = (stat.S_IFREG | self.mode, self.inode, 0, 1, 0, 0, size, seconds, seconds, seconds)
        return os.stat_result(known, {"st_mtime_ns": self.mtime_ns})

    def print(self) -> Print:
        return Print(len(self.data), self.mtime_ns, self.inode, self.mode)


class FileTable:
    """Folders by their path, files in them by their name."""

    def __init__(self) -> None:
        self.folders: dict[str, dict[str, File]] = {}
        self._inodes = 0

    def read(self, path: Path) -> bytes:
        return self.file(path).data

    def write(self, path: Path, data: bytes, at: float) -> None:
        file = self.made(str(path))
        file.data = data
        file.mtime_ns = int(at * 1e9) + 10**18

    def rename(self, path: Path, target: Path) -> None:
        folder, _, name = str(path).rpartition("/")
        there, _, called = str(target).rpartition("/")
        self.folders[there][called] = self.folders[folder].pop(name)

    def remove(self, folder: Path) -> None:
        top = str(folder)
        inside = top + "/"
        for known in [one for one in self.folders if one == top or one.startswith(inside)]:
            del self.folders[known]

    def names(self, folder: Path) -> list[str]:
        top = str(folder)
        found = {*self.folders.get(top, ())}
        found.update(
            one[len(top) + 1 :].partition("/")[0]
            for one in self.folders
            if one.startswith(top + "/")
        )
        return sorted(found)

    def tree(self, root: Path) -> list[str]:
        """The files under the root, relative to it, without RelayMD's own."""
        top = str(root)
        if top not in self.folders:
            raise FileNotFoundError(top)
        found: list[str] = []
        for folder, inside in self.folders.items():
            if folder == top:
                found += inside
            elif folder.startswith(top + "/"):
                found += [f"{folder[len(top) + 1 :]}/{name}" for name in inside]
        return [path for path in found if not path.startswith(patterns.OURS)]

    def new(self, data: bytes) -> File:
        self._inodes += 1
        return File(data, self._inodes)

    def made(self, path: str) -> File:
        """The file of that path, with the folders that it lies in."""
        folder, _, name = path.rpartition("/")
        files = self.folders.setdefault(folder, {})
        if name not in files:
            files[name] = self.new(b"")
        return files[name]

    def found(self, path: Path | str) -> File | None:
        folder, _, name = str(path).rpartition("/")
        return self.folders.get(folder, {}).get(name)

    def file(self, path: Path) -> File:
        found = self.found(path)
        if found is None:
            raise FileNotFoundError(str(path))
        return found

    def file_at(self, root: Path, path: str) -> File:
        folder, _, name = f"{root}/{path}".rpartition("/")
        return self.folders[folder][name]
