"""Packs on their way into the store, within a bound on memory and on disk.

Who reads files must be quick, since their engine goes on; who sends is as slow as the line.
Between the two a pack waits in memory while there is room, else in a folder while there is
room, else its reader waits.
"""

import asyncio
import errno
from pathlib import Path

from relaymd.core.ids import JobId
from relaymd.process import Offload
from relaymd.storage import keys
from relaymd.storage.manifest import CHUNK_SIZE, Pack
from relaymd.storage.parallel import AT_ONCE
from relaymd.storage.store import Store
from relaymd.storage.stored import Stored

MEMORY = 256 * 1024 * 1024
"""Bytes that a transfer may take, unless the configuration says otherwise."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


def at_once(memory: int) -> int:
    """How many objects may be on their way within so many bytes.

    Each counts four times: as it was read, as it is stored, and twice in what libraries hold.
    """
    return max(1, min(AT_ONCE, memory // (4 * CHUNK_SIZE)))


class Spill:
    """A folder, which must be there, where packs may wait up to so many bytes."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = folder
        self.most = most


class Sender:
    """Sends what it is given, a few objects at a time, in the group of tasks that it is given.

    All is sent when `close` was called and that group has ended.
    """

    def __init__(
        self,
        store: Store,
        job: JobId,
        stored: Stored,
        tasks: asyncio.TaskGroup,
        offload: Offload,
        *,
        memory: int,
        spill: Spill | None,
    ) -> None:
        self._store = store
        self._job = job
        self._stored = stored
        self._offload = offload
        self._spill = spill
        self._most_held = memory // 4
        self._held = 0
        self._spilled = 0
        self._count = 0
        self._freed = asyncio.Event()
        self._waiting = asyncio.Queue[tuple[Pack, bytes | Path] | None]()
        self._tasks = tasks
        self._most_lines = at_once(memory)
        self._lines = 0
        self._idle = 0
        self.uploaded = 0
        """Bytes that arrived."""

    async def give(self, pack: Pack, data: bytes) -> None:
        """Return when the pack is on its way, or waits for it. Raises OSError."""
        while True:
            self._freed.clear()
            if not self._held or self._held + pack.size <= self._most_held:
                self._held += pack.size
                self._line_up(pack, data)
                return
            if self._spill and self._spilled + pack.size <= self._spill.most:
                if place := await self._set_aside(self._spill, data):
                    self._line_up(pack, place)
                    return
                continue
            await self._freed.wait()

    def close(self) -> None:
        """Nothing more will be given."""
        for _ in range(self._lines):
            self._waiting.put_nowait(None)

    def _line_up(self, pack: Pack, data: bytes | Path) -> None:
        """Most generations are one pack: a line is opened when the others are busy."""
        self._waiting.put_nowait((pack, data))
        if self._waiting.qsize() > self._idle and self._lines < self._most_lines:
            line = self._send()
            try:
                self._tasks.create_task(line)
            except RuntimeError:  # another line failed, and all of this is being cancelled
                return line.close()
            self._lines += 1
            self._idle += 1

    async def _set_aside(self, spill: Spill, data: bytes) -> Path | None:
        """None where the disk has no more room, which then is all the room there is."""
        self._spilled += len(data)
        self._count += 1
        place = spill.folder / f"{self._count}.pack"
        try:
            await self._offload(place.write_bytes, data)
        except OSError as exc:
            self._spilled -= len(data)
            if exc.errno not in _FULL:
                raise
            spill.most = 0
            await self._offload(place.unlink, missing_ok=True)
            return None
        return place

    async def _send(self) -> None:
        while waiting := await self._waiting.get():
            self._idle -= 1
            pack, data = waiting
            if isinstance(data, bytes):
                await self._put(pack, data)
                self._held -= pack.size
            else:
                await self._put(pack, await self._offload(data.read_bytes))
                await self._offload(data.unlink)
                self._spilled -= pack.size
            del waiting, data  # so that nothing is held while we wait for more
            self._freed.set()
            self._idle += 1

    async def _put(self, pack: Pack, data: bytes) -> None:
        await self._store.put(keys.pack(self._job, pack.epoch, pack.round, pack.name), data)
        self._stored.add(pack)
        self.uploaded += len(data)
