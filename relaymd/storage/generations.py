"""Manifests of checkpoint generations, in the store and back, checked before they are believed."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import msgspec

from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import JobId
from relaymd.core.strict import decode_json
from relaymd.storage import keys
from relaymd.storage.manifest import CHUNK_SIZE, FORMAT, FileEntry, Manifest, Pack, digest
from relaymd.storage.patterns import OURS
from relaymd.storage.store import (
    DamagedObjectError,
    MissingObjectError,
    StorageDeniedError,
    Store,
)

_DEEPEST = 500
_LONGEST = 255
"""Bytes in a name, as every file system of Linux has it."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class _Versioned(msgspec.Struct):
    format: int = 0


async def put_manifest(
    store: Store, manifest: Manifest, *, size: int = 0, uploaded: int = 0
) -> Checkpoint:
    """Store the manifest, after all its chunks, and say what is to be reported.

    size, uploaded: bytes, as the upload told them.
    """
    data = msgspec.json.encode(msgspec.structs.replace(manifest, format=FORMAT))
    found = digest(data)
    key = keys.manifest(manifest.job, manifest.generation, manifest.epoch, found)
    await store.put(key, data)
    return Checkpoint(
        generation=manifest.generation,
        epoch=manifest.epoch,
        manifest=key,
        digest=found,
        at=manifest.at,
        files=len(manifest.files),
        size=size,
        uploaded=uploaded,
        progress=manifest.progress,
    )


async def put_latest(store: Store, job: JobId, checkpoint: Checkpoint) -> None:
    """Point people to a generation that was committed. Nothing of ours reads it."""
    data = msgspec.json.format(msgspec.json.encode(checkpoint), indent=2)
    await store.put(keys.latest(job), data + b"\n")


async def load_manifest(store: Store, job: JobId, checkpoint: Checkpoint) -> Manifest:
    """Read a committed generation's manifest.

    Raises DamagedObjectError where it is not what was committed, or is gone, and
    StorageDeniedError where a newer release wrote it: an elder generation is no remedy for that.
    """
    key = checkpoint.manifest
    try:
        data = await store.get(key)
        if digest(data) != checkpoint.digest:
            data = await store.get(key)  # what was damaged may have been the way here
    except MissingObjectError as exc:
        raise DamagedObjectError(key, exc.reason) from exc
    if digest(data) != checkpoint.digest:
        raise DamagedObjectError(key, "its hash is not the one that was committed")
    manifest = _checked(key, data)
    if (manifest.job, manifest.generation) != (job, checkpoint.generation):
        whose = f"generation {manifest.generation} of {manifest.job}"
        raise DamagedObjectError(key, f"it is the manifest of {whose}")
    return manifest


async def read_manifest(store: Store, key: str) -> Manifest:
    """Read a manifest, committed or not, that is what its key says; raises as `load_manifest`."""
    data = await store.get(key)
    if digest(data)[:16] not in key:
        raise DamagedObjectError(key, "its hash is not the one in its key")
    return _checked(key, data)


def is_inside(path: str) -> bool:
    """Whether a path is relative, in its plainest spelling, and stays in its folder."""
    plain = PurePosixPath(path)
    inside = not plain.is_absolute() and ".." not in plain.parts and "\0" not in path
    return inside and path == str(plain) != "."


def _checked(key: str, data: bytes) -> Manifest:
    manifest = _decoded(key, data)
    _check_files(key, manifest.files)
    _check_packs(key, manifest)
    return manifest


def _decoded(key: str, data: bytes) -> Manifest:
    try:
        version = decode_json(data, _Versioned).format
        if version > FORMAT:
            raise StorageDeniedError(key, f"a newer release wrote it, in format {version}")
        return decode_json(data, Manifest)
    except msgspec.DecodeError as exc:
        raise DamagedObjectError(key, f"it cannot be read: {exc}") from exc


def _check_packs(key: str, manifest: Manifest) -> None:
    sizes = {chunk.digest: chunk.size for file in manifest.files for chunk in file.chunks}
    for pack in manifest.packs:
        if not _is_sound(pack):
            raise DamagedObjectError(key, "it holds a pack that cannot be")
        for member in pack.members:
            if sizes.get(member.digest, member.size) != member.size:
                raise DamagedObjectError(key, f"the chunk {member.digest} has two sizes")


def _is_sound(pack: Pack) -> bool:
    sound = all(
        0 < member.stored <= member.size <= CHUNK_SIZE and _DIGEST.fullmatch(member.digest)
        for member in pack.members
    )
    return sound and min(pack.epoch, pack.round) >= 0 and 0 < pack.size <= CHUNK_SIZE


def check_paths(key: str, paths: Sequence[str]) -> None:
    """Whether files of these paths can lie beside each other in a folder.

    Raises DamagedObjectError.
    """
    known = {*paths}
    if len(known) != len(paths):
        raise DamagedObjectError(key, "it holds a file twice")
    for path in paths:
        shown = repr(path[:200])
        if not is_inside(path) or path.startswith(OURS):
            raise DamagedObjectError(key, f"{shown} leaves the folder")
        parts = path.split("/")
        if len(parts) > _DEEPEST or max(len(part.encode()) for part in parts) > _LONGEST:
            raise DamagedObjectError(key, f"{shown} is no path that a file can have")
        if any(str(parent) in known for parent in PurePosixPath(path).parents):
            raise DamagedObjectError(key, f"{shown} lies within a file")


def _check_files(key: str, files: tuple[FileEntry, ...]) -> None:
    check_paths(key, [file.path for file in files])
    for file in files:
        if abs(file.mtime_ns) >= 2**63:
            raise DamagedObjectError(key, f"{file.path!r} was written at no time that there is")
        sound = all(0 < c.size <= CHUNK_SIZE and _DIGEST.fullmatch(c.digest) for c in file.chunks)
        if not sound or sum(chunk.size for chunk in file.chunks) != file.size:
            raise DamagedObjectError(key, f"the chunks of {file.path!r} do not make up the file")
