"""Keys that a store lists among the pieces of a log."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from relaymd.core.ids import Epoch, JobId, UnixTime
from relaymd.storage import keys
from relaymd.storage.logs import logged_epochs, read_log
from relaymd.storage.store import DamagedObjectError, ObjectInfo
from tests.hostile.decoders import Decoder, at_once

JOB = JobId("j-0")


class Listing:
    """A store that lists these keys, each of an object of five bytes."""

    def __init__(self, *keys: str) -> None:
        self._keys = keys

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        for key in self._keys:
            if key.startswith(prefix):
                yield ObjectInfo(key=key, size=5, modified=UnixTime(0))

    async def get(self, key: str) -> bytes:
        return b"hello"


def _epochs(_: Path, data: bytes) -> None:
    """Of each epoch that is named, something is found."""
    key = keys.logs(JOB) + os.fsdecode(data)
    store: Any = Listing(key)
    for epoch in at_once(logged_epochs(store, JOB)):
        assert key.startswith(keys.logs(JOB) + f"{epoch:06d}/")


def _log_piece(_: Path, data: bytes) -> None:
    piece = os.fsdecode(data)
    good = keys.log_piece(JOB, Epoch(1), "stdout", 0, 5)
    store: Any = Listing(good, good.rpartition("/")[0] + "/" + piece)
    at_once(_read_whole(store))


async def _read_whole(store: Any) -> None:
    end = 0
    async for piece in read_log(store, JOB, Epoch(1), "stdout"):
        msgspec.json.encode(piece)
        assert piece.offset == end + piece.missing >= end
        end = piece.offset + len(piece.data)


LOGS: tuple[Decoder, ...] = (
    Decoder("storage.logs epochs", [b"000003/stdout/000000000000000-000000005"], _epochs),
    Decoder(
        "storage.logs pieces", [b"000000000000005-000000005"], _log_piece, (DamagedObjectError,)
    ),
)
