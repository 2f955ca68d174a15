"""Taking a bundle's archive apart, trusting nothing in it.

Links are made last, when nothing is written any more, so nothing can be written through one;
and everything happens in a folder beside the target, which appears only when all is well.
"""

import errno
import gzip
import os
import shutil
import tarfile
import uuid
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from relaymd.storage.bundles import DEEPEST, InvalidBundleError, Limits, circles

_PIECE = 1024 * 1024
"""Bytes read at once; a header that is longer is an attack."""

_BROKEN = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    OverflowError,
    RecursionError,
    LookupError,
)
"""All that `tarfile` and `gzip` have been seen to raise for bytes that are no archive."""


def unpack(archive: Path, target: Path, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
    """Unpack into a folder that does not exist yet. Blocks.

    Raises InvalidBundleError for what the archive is to blame for, and OSError for what this
    machine is, such as a full disk.
    """
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    part.mkdir(parents=True)
    try:
        with open(archive, "rb") as raw:
            _unpack(raw, archive.stat().st_size, part, limits)
        os.rename(part, target)
    except _BROKEN as exc:
        raise InvalidBundleError(f"the archive cannot be read: {exc}") from exc
    except OSError as exc:
        if exc.errno == errno.ENAMETOOLONG:
            raise InvalidBundleError("a name in the archive is too long") from exc
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _unpack(raw: BinaryIO, size: int, part: Path, limits: Limits) -> None:
    with (
        _Bounded(raw, size, limits) as zipped,
        tarfile.open(fileobj=zipped, mode="r:") as tar,
    ):
        tree = _Tree(part)
        for count, member in enumerate(tar, 1):
            zipped.declare(member.size, max(count, tree.size))
            tree.add(tar, member)
            kept: list[Any] = getattr(tar, "members", [])
            kept.clear()  # or it keeps half a million of them in memory
        zipped.declare(0, tree.size)
        _check_end(zipped, tar.offset)
        tree.finish()


class _Bounded(gzip.GzipFile):
    """A decompressed stream that ends in an error where a bomb would go off."""

    def __init__(self, raw: BinaryIO, size: int, limits: Limits) -> None:
        super().__init__(fileobj=raw, mode="rb")
        self._archive = size
        self._limits = limits
        self._declared = 0

    def declare(self, size: int, members: int) -> None:
        """Count what a member says of itself, before it is believed."""
        if size < 0:
            raise InvalidBundleError("the archive holds a file of negative size")
        self._declared += size
        self._limits.check_contents(size=self._declared, members=members)
        self._limits.check_ratio(unpacked=self._declared, archive=self._archive)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _PIECE:
            raise InvalidBundleError("the archive has a header of unreasonable size")
        data = super().read(size)
        self._limits.check_ratio(unpacked=self.tell(), archive=self._archive)
        return data


class _Tree:
    """What was unpacked so far, by the path of each member."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: set[str] = set()
        self._folders: dict[str, int | None] = {".": None}
        """With the mode to set at the end, so that a read-only folder can still be filled."""

        self._links: dict[str, str] = {}

    @property
    def size(self) -> int:
        """Files, links and folders, those too that no member names but stand in a path."""
        return len(self._files) + len(self._links) + len(self._folders) - 1

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = _inside(member.name)
        if member.isdir():
            self._add_folder(path, member.mode)
            return
        if path == "." or path in self._files or path in self._links or path in self._folders:
            raise InvalidBundleError(f"the archive holds {path!r} twice")
        self._add_folder(str(PurePosixPath(path).parent), None)
        if member.issym():
            self._links[path] = member.linkname
        elif member.islnk():
            self._link_file(path, _inside(member.linkname))
        elif member.issparse():
            raise InvalidBundleError(f"{path!r} in the archive is a sparse file")
        elif member.isreg():
            self._write(path, tar, member)
        else:
            raise InvalidBundleError(f"{path!r} in the archive is a device or a pipe")

    def finish(self) -> None:
        """Make the links, check where they lead, and give the folders their modes."""
        for path, target in self._links.items():
            if os.path.isabs(target) or not target:
                raise InvalidBundleError(f"the link {path!r} leaves the bundle: {target!r}")
            os.symlink(target, self._root / path)
        root = os.path.realpath(self._root)
        for path, target in self._links.items():
            if os.path.commonpath([root, os.path.realpath(self._root / path)]) != root:
                raise InvalidBundleError(f"the link {path!r} leaves the bundle: {target!r}")
            if circles(self._root / path):
                raise InvalidBundleError(f"the link {path!r} leads to itself: {target!r}")
        for path, mode in sorted(self._folders.items(), reverse=True):
            if mode is not None and path != ".":
                os.chmod(self._root / path, (mode & 0o777) | 0o700)

    def _add_folder(self, path: str, mode: int | None) -> None:
        for folder in reversed([path, *map(str, PurePosixPath(path).parents)]):
            if folder in self._files or folder in self._links:
                raise InvalidBundleError(f"{folder!r} in the archive is a file and a folder")
            if folder not in self._folders:
                os.mkdir(self._root / folder)
                self._folders[folder] = None
        self._folders[path] = mode if mode is not None else self._folders[path]

    def _link_file(self, path: str, source: str) -> None:
        if source not in self._files:
            raise InvalidBundleError(f"{path!r} in the archive is a link to nothing before it")
        os.link(self._root / source, self._root / path)
        self._files.add(path)

    def _write(self, path: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        content = tar.extractfile(member)
        assert content is not None, "a regular member has content"
        with open(self._root / path, "xb") as file:
            while piece := content.read(_PIECE):
                file.write(piece)
            os.fchmod(file.fileno(), (member.mode & 0o777) | 0o400)
        os.utime(self._root / path, (max(member.mtime, 0), max(member.mtime, 0)))
        self._files.add(path)


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise InvalidBundleError(f"{name!r} in the archive leaves the bundle")
    if len(path.parts) > DEEPEST:
        raise InvalidBundleError(f"the archive nests folders more than {DEEPEST} deep")
    return str(path)


def _check_end(zipped: _Bounded, offset: int) -> None:
    """`tarfile` takes a torn header for the end; the end is a block of zeros, and nothing less."""
    zipped.seek(offset)
    if zipped.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise InvalidBundleError("the archive is cut off or damaged")
    while zipped.read(_PIECE):
        pass
