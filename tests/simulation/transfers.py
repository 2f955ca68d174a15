"""What storage does with files when a generation is stored or restored, on files in memory."""

from collections.abc import Callable, Sequence
from pathlib import Path

from relaymd.storage.manifest import Chunk, FileEntry, digest
from relaymd.storage.packing import Shrinker, grown
from relaymd.storage.pieces import Fetch, Place
from relaymd.storage.reading import Got, Piece
from tests.simulation.filetable import FileTable


class Transfers(FileTable):
    """As `relaymd.storage.reading`, `pieces` and `restore` do it."""

    def read_pieces(self, batch: Sequence[Piece], is_stored: Callable[[str], bool]) -> list[Got]:
        return [self._read_piece(piece, is_stored) for piece in batch]

    def _read_piece(self, piece: Piece, is_stored: Callable[[str], bool]) -> Got:
        file = self.found(piece.source.place)
        data = file.data[piece.offset : piece.offset + piece.size] if file else b""
        chunk = Chunk(digest(data), len(data))
        same = file is not None and file.print() == piece.source.print
        sure = len(data) == piece.size and (same or chunk == piece.before)
        return Got(piece, chunk, None if is_stored(chunk.digest) else Shrinker().shrunk(data), sure)

    def wrong(self, root: Path, places: Sequence[Place]) -> list[Place]:
        return [
            (file, place)
            for file, place in places
            if self._lacks(root / file.path, file) is not None
        ]

    def lacking(self, places: Sequence[Place]) -> set[str]:
        found = set[str]()
        for file, place in places:
            there = self.made(str(place))
            there.data = there.data[: file.size].ljust(file.size, b"\0")
            found |= self._lacks(place, file) or set()
        return found

    def take_in(self, fetch: Fetch, data: bytes) -> str | None:
        if len(data) != fetch.size:
            return f"it has {len(data)} of {fetch.size} bytes"
        contents: list[tuple[str, bytes]] = []
        at = 0
        for member in fetch.members:
            stored = data if len(fetch.members) == 1 else data[at : at + member.stored]
            at += member.stored
            try:
                contents.append((member.digest, grown(stored, member)))
            except ValueError as exc:
                return str(exc)
            if digest(contents[-1][1]) != member.digest:
                return "its hash is not the one it is called by"
        for name, content in contents:
            for path, offset in fetch.targets.get(name, ()):
                file = self.file(path)
                file.data = file.data[:offset] + content + file.data[offset + len(content) :]
        return None

    def _lacks(self, path: Path, file: FileEntry) -> set[str] | None:
        """The chunks that are not there as they should be; None: all of the file is right."""
        found = self.found(path)
        if found is None:
            return {chunk.digest for chunk in file.chunks}
        lacks, at = set[str](), 0
        for chunk in file.chunks:
            if digest(found.data[at : at + chunk.size]) != chunk.digest:
                lacks.add(chunk.digest)
            at += chunk.size
        return lacks or (None if at == len(found.data) else lacks)

    def move(self, root: Path, staged: Sequence[Place]) -> None:
        for entry, place in staged:
            target = root / entry.path
            self.folders.setdefault(str(target.parent), {})
            self.rename(place, target)

    def finish(self, root: Path, entries: tuple[FileEntry, ...]) -> None:
        for entry in entries:
            file = self.file_at(root, entry.path)
            file.mode, file.mtime_ns = (entry.mode & 0o777) | 0o400, entry.mtime_ns
