"""Removing what no generation needs any more.

Who holds the lease does it, between two cycles of its own. It may be a zombie without knowing:
so it removes only what was stored under its own lease or an earlier one, and keeps every
generation that was committed, or may have been, when its lease ended. All that a successor
relies on is in one of those, or carries the successor's own epoch. See decision 8.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import Epoch, JobId
from relaymd.storage import keys
from relaymd.storage.generations import load_manifest, read_manifest
from relaymd.storage.manifest import Manifest
from relaymd.storage.store import DamagedObjectError, Store
from relaymd.storage.stored import Stored

log = structlog.get_logger()

_MANIFEST = re.compile(r"manifests/(?P<generation>\d{8,})-(?P<epoch>\d{6,})-[0-9a-f]{16}\.json")
_PACK = re.compile(r"packs/(?P<epoch>\d{6,})-\d{6,}/[0-9a-f]{64}")


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    objects: int
    size: int
    """Bytes."""


async def collect(
    store: Store, job: JobId, epoch: Epoch, keep: Sequence[Checkpoint], stored: Stored
) -> Collected:
    """Remove what neither the generations to keep nor the first one need.

    epoch: of the lease that we hold, or held. Objects of later leases are not touched, nor
        those that are not ours by their names.
    keep: all that may be committed, as far as this lease knows; at least one.
    stored: forgets what is removed, before it is.
    Raises StorageError; DamagedObjectError where a generation that is to be kept cannot be
    read, and so nobody can say what it needs. Then nothing was removed.
    """
    top = keys.checkpoints(job)
    sizes = {info.key: info.size async for info in store.list(top)}
    names = {key.removeprefix(top): key for key in sizes}
    kept = {one.manifest: await load_manifest(store, job, one) for one in keep}
    kept |= await _first(store, names, kept)
    packs = [pack for manifest in kept.values() for pack in manifest.packs]
    needed = kept.keys() | {keys.pack(job, pack.epoch, pack.round, pack.name) for pack in packs}
    doomed = [key for name, key in names.items() if key not in needed and _is_past(name, epoch)]
    stored.keep(packs)
    # Manifests first: one that is left without its packs would look like damage.
    manifests = [key for key in doomed if _MANIFEST.fullmatch(key.removeprefix(top))]
    await store.delete(manifests)
    await store.delete([key for key in doomed if key not in {*manifests}])
    return Collected(objects=len(doomed), size=sum(sizes[key] for key in doomed))


async def _first(
    store: Store, names: Mapping[str, str], kept: Mapping[str, Manifest]
) -> dict[str, Manifest]:
    """Manifests of the first generation; several where leases ended before their report."""
    numbered = {
        key: int(found["generation"])
        for name, key in names.items()
        if (found := _MANIFEST.fullmatch(name))
    }
    first = [key for key, number in numbered.items() if number == min(numbered.values())]
    manifests: dict[str, Manifest] = {}
    for key in first:
        if key not in kept:
            try:
                manifests[key] = await read_manifest(store, key)
            except DamagedObjectError as exc:
                log.warning("checkpoint.first_is_damaged", key=key, reason=exc.reason)
    return manifests


def _is_past(name: str, epoch: Epoch) -> bool:
    """Whether it is ours by its name, and was stored under this lease or an earlier one."""
    found = _MANIFEST.fullmatch(name) or _PACK.fullmatch(name)
    return found is not None and int(found["epoch"]) <= epoch
