"""The folder of one lease: where its engine works, and what lies beside that."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from relaymd.core.ids import Epoch, JobId


def name_of(job: JobId, epoch: Epoch) -> str:
    return f"{job}-{epoch}"


@dataclass(frozen=True)
class Place:
    folder: Path

    @cached_property
    def work(self) -> Path:
        """The engine's current folder: the bundle, unpacked, and the restored checkpoint."""
        return self.folder / "work"

    @cached_property
    def bundle(self) -> Path:
        return self.folder / "bundle.tar.gz"

    @cached_property
    def staging(self) -> Path:
        """Copies of the files that a cycle is about to upload."""
        return self.folder / "staging"

    @cached_property
    def notices(self) -> Path:
        """The pipe on which the engine may say that a checkpoint lies there."""
        return self.folder / "notices"

    @cached_property
    def stdout(self) -> Path:
        return self.folder / "stdout"

    @cached_property
    def stderr(self) -> Path:
        return self.folder / "stderr"
