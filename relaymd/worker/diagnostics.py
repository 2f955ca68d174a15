"""What a failed attempt leaves beside the files that its specification names."""

import msgspec

from relaymd.core.ids import Epoch, JobId, UnixTime, WorkerId
from relaymd.core.outcome import AttemptEnd
from relaymd.worker import files
from relaymd.worker.place import Place
from relaymd.worker.running import Running

LINES = 256 * 1024
"""Bytes of each stream's end."""

MOST_FILES = 1000


class Diagnostics(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how an attempt failed, for a person."""

    job: JobId
    epoch: Epoch
    worker: WorkerId
    host: str
    at: UnixTime
    end: AttemptEnd
    disk_free: int | None
    """Bytes, on the disk of the job's folder."""

    files: dict[str, int]
    """What lay in the job's folder: bytes by path, of a thousand files at most."""


async def of(running: Running, end: AttemptEnd) -> dict[str, bytes]:
    """Files by name. A file of the engine's that is called so counts instead."""
    tools, held, place = running.tools, running.held, running.place
    told = Diagnostics(
        job=held.job,
        epoch=held.epoch,
        worker=tools.me.worker,
        host=tools.me.host,
        at=tools.wall(),
        end=end,
        disk_free=await tools.offload(files.free_bytes, place.folder),
        files=await tools.offload(_sizes, place),
    )
    return {
        "relaymd-diagnostics.json": msgspec.json.format(msgspec.json.encode(told), indent=2),
        "relaymd-stdout.txt": await tools.offload(files.tail, place.stdout, LINES),
        "relaymd-stderr.txt": await tools.offload(files.tail, place.stderr, LINES),
    }


def _sizes(place: Place) -> dict[str, int]:
    found: dict[str, int] = {}
    for path in sorted(place.work.rglob("*")):
        if len(found) == MOST_FILES:
            break
        if (status := files.status_of(path)) is not None:
            name = str(path.relative_to(place.work)).encode(errors="surrogateescape")
            found[name.decode(errors="replace")] = status.st_size
    return found
