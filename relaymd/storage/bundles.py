"""Bundles: a folder becomes one archive that is the same for the same folder, and is fetched.

Taking an archive apart is in `unpacking`.
"""

import errno
import gzip
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import msgspec
from blake3 import blake3

from relaymd.core.job import Bundle
from relaymd.core.specification import FILE_NAMES, Specification, decode, encode
from relaymd.core.strict import InvalidDocumentError
from relaymd.process import Offload
from relaymd.storage.store import DamagedObjectError, Store

LEFT_OUT = {".git", "__pycache__"}
"""Folders that no simulation needs, at any depth."""

MTIME = 315532800
"""1980: the time of every file in every archive, so that the same folder gives the same bytes."""


DEEPEST = 100
"""Folders within folders: far deeper ones cannot even be deleted by `shutil`."""


class InvalidBundleError(Exception):
    """A folder or an archive is no bundle. The message is one sentence."""


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    path: Path
    size: int
    digest: str
    """BLAKE3 of the archive, in hexadecimal."""

    specification: Specification


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive may become, so that a small one cannot fill a node."""

    size: int = 256 * 1024**3
    """Bytes of all files together."""

    members: int = 500_000
    ratio: float = 200.0
    """Unpacked bytes for each byte of the archive."""

    ratio_from: int = 64 * 1024**2
    """Unpacked bytes below which the ratio does not matter."""

    def check_contents(self, *, size: int, members: int) -> None:
        """Raises InvalidBundleError."""
        if members > self.members:
            raise InvalidBundleError(f"the bundle holds more than {self.members} files")
        if size > self.size:
            raise InvalidBundleError(f"the bundle unpacks to more than {self.size} bytes")

    def check_ratio(self, *, unpacked: int, archive: int) -> None:
        """Raises InvalidBundleError."""
        if unpacked > max(self.ratio_from, self.ratio * archive):
            reason = f"the bundle unpacks to more than {self.ratio:.0f} times its size"
            raise InvalidBundleError(reason)


def pack(
    folder: Path,
    target: Path,
    specification: Specification | None = None,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Packed:
    """Write the folder as an archive. Blocks. Raises InvalidBundleError.

    specification: stands in the archive in place of the one in the folder, if there is any.
    """
    before = _scan(folder)
    specs = {f"./{name}" for name in FILE_NAMES}
    if not [path for path, status in before.items() if not stat.S_ISDIR(status.st_mode)]:
        raise InvalidBundleError(f"{folder} is empty")
    spec = specification or read_specification(folder)
    replaced = specs if specification is not None else set[str]()
    with open(target, "wb") as raw:
        _write(raw, folder, {p: s for p, s in before.items() if p not in replaced}, specification)
    _check_unchanged(folder, before)
    unpacked = sum(s.st_size for s in before.values() if stat.S_ISREG(s.st_mode))
    size = target.stat().st_size
    limits.check_contents(size=unpacked, members=len(before) + 1)
    limits.check_ratio(unpacked=unpacked, archive=size)
    return Packed(path=target, size=size, digest=digest_of(target), specification=spec)


def read_specification(folder: Path) -> Specification:
    """The one specification in the folder's root. Raises InvalidBundleError."""
    found = [name for name in FILE_NAMES if (folder / name).is_file()]
    if not found:
        raise InvalidBundleError(
            f"{folder} has no specification: write {FILE_NAMES[0]}, or give a command"
        )
    if len(found) > 1:
        raise InvalidBundleError(f"{folder} has several specifications: {', '.join(found)}")
    try:
        return decode(found[0], (folder / found[0]).read_bytes())
    except OSError as exc:
        raise InvalidBundleError(f"{found[0]} cannot be read: {exc.strerror}") from exc
    except InvalidDocumentError as exc:
        raise InvalidBundleError(str(exc)) from exc


def digest_of(path: Path) -> str:
    """BLAKE3 of a file, in hexadecimal. Blocks."""
    hasher = blake3()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
    return hasher.hexdigest()


async def fetch(store: Store, bundle: Bundle, target: Path, offload: Offload) -> None:
    """Download a bundle's archive. Raises StorageError; DamagedObjectError if it differs."""
    await store.get_file(bundle.key, target)
    if await offload(digest_of, target) != bundle.digest:
        raise DamagedObjectError(bundle.key, "it is not the archive that was submitted")


def _scan(folder: Path) -> Mapping[str, os.stat_result]:
    """Everything that goes into the archive, by its path in it, in the archive's order."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise InvalidBundleError(f"{folder} {what}")
    try:
        return dict(sorted(_entries(folder, "./")))
    except OSError as exc:
        raise InvalidBundleError(f"{exc.filename} cannot be read: {exc.strerror}") from exc


def _entries(folder: Path, above: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as found:
        entries = [*found]
    if entries and above.count("/") > DEEPEST:
        raise InvalidBundleError(f"the bundle nests folders more than {DEEPEST} deep")
    for entry in entries:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            if entry.name in LEFT_OUT:
                continue
            yield from _entries(folder / entry.name, f"{above}{entry.name}/")
        yield above + entry.name, status


def _write(
    raw: BinaryIO,
    folder: Path,
    entries: Mapping[str, os.stat_result],
    specification: Specification | None,
) -> None:
    root = folder.resolve()
    with (
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        if specification is not None:
            data = encode(specification)
            tar.addfile(_member(f"./{FILE_NAMES[0]}", 0o644, len(data)), BytesIO(data))
        for path, status in entries.items():
            _add(tar, root, path, status)


def _add(tar: tarfile.TarFile, root: Path, path: str, status: os.stat_result) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = path.encode(errors="surrogateescape").decode(errors="replace")
        raise InvalidBundleError(f"the name of {shown!r} is not UTF-8") from None
    member = _member(path, stat.S_IMODE(status.st_mode) & 0o777)
    if stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    elif stat.S_ISLNK(status.st_mode):
        member.type = tarfile.SYMTYPE
        member.linkname = _checked_link(root, path)
        tar.addfile(member)
    elif stat.S_ISREG(status.st_mode):
        member.size = status.st_size
        _add_content(tar, root, member)
    else:
        raise InvalidBundleError(f"{_shown(path)} is a device, a socket or a pipe")


def _add_content(tar: tarfile.TarFile, root: Path, member: tarfile.TarInfo) -> None:
    try:
        source = open(root / member.name, "rb")  # noqa: SIM115 - closed just below
    except OSError as exc:
        raise InvalidBundleError(f"{_shown(member.name)} cannot be read: {exc.strerror}") from exc
    with source:
        held = os.fstat(source.fileno())
        if not stat.S_ISREG(held.st_mode) or held.st_size != member.size:
            raise _changed(member.name)
        tar.addfile(member, _Exactly(source, member.name))


class _Exactly:
    """A source that tells which file it was that ended too soon, or could not be read."""

    def __init__(self, source: BinaryIO, name: str) -> None:
        self._source = source
        self._name = name

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._source.read(size)
        except OSError as exc:
            reason = f"{_shown(self._name)} cannot be read: {exc.strerror}"
            raise InvalidBundleError(reason) from exc
        if len(data) < size:
            raise _changed(self._name)
        return data


def _member(path: str, mode: int, size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.mode, member.size, member.mtime = mode, size, MTIME
    return member


def _checked_link(root: Path, path: str) -> str:
    target = os.readlink(root / path)
    if os.path.isabs(target) or not Path(os.path.realpath(root / path)).is_relative_to(root):
        raise InvalidBundleError(f"the link {_shown(path)} leaves the folder: {target!r}")
    if circles(root / path):
        raise InvalidBundleError(f"the link {_shown(path)} leads to itself: {target!r}")
    return target


def circles(link: Path) -> bool:
    """Whether a link leads, maybe by way of others, to itself."""
    try:
        os.stat(link)
    except OSError as exc:
        return exc.errno == errno.ELOOP
    return False


def _check_unchanged(folder: Path, before: Mapping[str, os.stat_result]) -> None:
    after = _scan(folder)
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old is None or new is None or _identity(old) != _identity(new):
            raise _changed(path)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    kind = (status.st_mode, status.st_ino)
    if stat.S_ISDIR(status.st_mode):
        return kind
    return (*kind, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _changed(path: str) -> InvalidBundleError:
    return InvalidBundleError(f"{_shown(path)} changed while the folder was packed; try again")


def _shown(path: str) -> str:
    return path.removeprefix("./")
