"""Bringing the checkpoint's files, as they are at one moment, into the store. One lease's memory.

What a void try read is remembered: where the next one finds the same, that content lay there
all the time in between, so files that never rest are stored as soon as what is new in them can
be read between two writes.
"""

from itertools import accumulate
from pathlib import Path

import msgspec

from relaymd.core.checkpoint import Progress
from relaymd.core.ids import Epoch, JobId
from relaymd.core.specification import Specification
from relaymd.storage.manifest import FileEntry, Manifest, Pack, digest
from relaymd.storage.reading import Print
from relaymd.storage.sending import Spill
from relaymd.storage.stored import Stored
from relaymd.storage.upload import Read, upload
from relaymd.worker import files, progress, snapshot
from relaymd.worker.snapshot import Look, Moment, UnsettledError, Watched
from relaymd.worker.tools import Tools


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the store now; committed is nothing of it."""

    look: Look
    files: tuple[FileEntry, ...]
    """All of the generation, those that did not change included, by path."""

    packs: tuple[Pack, ...]
    uploaded: int
    """Bytes that had to travel."""

    progress: Progress | None

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


class Gathering:
    def __init__(
        self,
        tools: Tools,
        job: JobId,
        epoch: Epoch,
        spec: Specification,
        restored: Manifest | None,
    ) -> None:
        self._tools = tools
        self._job = job
        self._epoch = epoch
        self._spec = spec
        self._entries = {entry.path: entry for entry in restored.files} if restored else {}
        self._read: dict[str, FileEntry] = {}
        """What tries read since, that came to nothing."""

        self._known: dict[str, Print] = {}
        self._refused = False
        self.stored = Stored.of(restored)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever stored."""
        return not self._entries

    def learn(self, seen: Look) -> None:
        """Take the files as what is stored: nobody has written them since the restore."""
        self._known = {path: seen.files[path] for path in self._entries if path in seen.files}

    def refuse(self) -> None:
        """What was kept last was not committed: it has to be gathered once more."""
        self._known.clear()
        self._refused = True

    def keep(self, gathered: Gathered) -> None:
        """What was gathered is in a manifest now."""
        self._entries = {entry.path: entry for entry in gathered.files}
        self._known.update(gathered.look.files)
        self._read.clear()
        self._refused = False

    def _is_committed(self, files: tuple[FileEntry, ...]) -> bool:
        """Whether the content is stored, whatever the files' times say."""
        return not self._refused and all(
            _same(file, self._entries.get(file.path)) for file in files
        )

    async def gather(self, watched: Watched, staging: Path) -> Gathered | None:
        """Store what changed; None where the content is what is stored already.

        staging: a folder of this try's own. Raises UnsettledError, NotValidError,
        UnfitNameError, StorageError, OSError.
        """
        tools = self._tools
        moment = await tools.offload(snapshot.take, watched, self._known, staging)
        if not moment.changed:
            return None
        told: list[Progress | None] = []

        async def settled(read: Read) -> None:
            self._remember(read)
            told.append(await self._progress(moment, read))
            await tools.offload(snapshot.check, watched, moment.look, read.unsure)

        sent = await upload(
            tools.store,
            self._job,
            self._epoch,
            moment.changed,
            stored=self.stored,
            before={**self._entries, **self._read},
            settled=settled,
            memory=tools.room.memory,
            spill=Spill(staging, tools.room.staging),
            offload=tools.offload,
        )
        if self._is_committed(sent.files):
            self._known.update(moment.look.files)
            return None
        entries = {**self._entries, **{entry.path: entry for entry in sent.files}}
        every = tuple(entries[path] for path in sorted(entries))
        return Gathered(
            look=moment.look,
            files=every,
            packs=self.stored.packs_of(every),
            uploaded=sent.uploaded,
            progress=told[0],
        )

    def _remember(self, read: Read) -> None:
        whole = (file for file in read.files if sum(c.size for c in file.chunks) == file.size)
        self._read.update({file.path: file for file in whole})

    async def _progress(self, moment: Moment, read: Read) -> Progress | None:
        """As the files of the moment say it, where they do: the engine went on meanwhile."""
        path, offload = self._spec.progress_file_path, self._tools.offload
        source = next((source for source in moment.changed if source.path == path), None)
        if source is None:
            return await progress.read(offload, moment.root, self._spec)
        data = await offload(files.read_small, source.place)
        entry = next(file for file in read.files if file.path == path)
        if data is None or not _begins(entry, data[: entry.size]):
            raise UnsettledError(f"{path} changed during the copy")
        return progress.parse(data[: entry.size])


def _begins(entry: FileEntry, data: bytes) -> bool:
    """Whether the file's content begins with the data, as far as its chunks can tell."""
    ends = [*accumulate(chunk.size for chunk in entry.chunks)]
    return all(
        digest(data[end - chunk.size : end]) == chunk.digest
        for end, chunk in zip(ends, entry.chunks, strict=True)
        if end <= len(data)
    )


def _same(entry: FileEntry, stored: FileEntry | None) -> bool:
    return stored is not None and (entry.chunks, entry.mode) == (stored.chunks, stored.mode)
