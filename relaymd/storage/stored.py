"""What is certainly in the store, and where: the memory of one lease."""

from collections.abc import Iterable, Sequence

from relaymd.storage.manifest import FileEntry, Manifest, Pack


class Stored:
    """Chunks of which this process knows that they are stored, by what it read or stored itself.

    What others may have uploaded and never committed is not among them.
    """

    def __init__(self) -> None:
        self._places: dict[str, Pack | None] = {}
        """By digest; None: an object of its own, as format 1 has it."""

        self.round = 0
        """Of the packs that are made now. A removal that lands late meets none of them."""

    @staticmethod
    def of(manifest: Manifest | None) -> "Stored":
        """What a manifest needs whose chunks were read."""
        stored = Stored()
        if manifest is not None:
            stored._places = dict.fromkeys(
                chunk.digest for file in manifest.files for chunk in file.chunks
            )
            for pack in manifest.packs:
                stored.add(pack)
        return stored

    def __contains__(self, digest: object) -> bool:
        return digest in self._places

    def add(self, pack: Pack) -> None:
        """Call it when the store has confirmed the pack."""
        self._places |= dict.fromkeys((member.digest for member in pack.members), pack)

    def packs_of(self, files: Iterable[FileEntry]) -> tuple[Pack, ...]:
        """The packs that hold the files' chunks, in a fixed order. Raises KeyError."""
        found = {self._places[chunk.digest] for file in files for chunk in file.chunks}
        packs = [pack for pack in found if pack is not None]
        return tuple(sorted(packs, key=lambda pack: (pack.epoch, pack.round, pack.name)))

    def keep(self, packs: Sequence[Pack]) -> None:
        """Forget every chunk that lies in another pack: those may be removed from now on."""
        self.round += 1
        kept = {*packs}
        self._places = {
            digest: pack for digest, pack in self._places.items() if pack is None or pack in kept
        }
