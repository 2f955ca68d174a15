"""Facts as the outbox holds them, for tests of the journal."""

from dataclasses import dataclass

import msgspec

from relaymd.bus import contract
from relaymd.bus.facts import JobChanged
from relaymd.core.events import Started
from relaymd.core.ids import Epoch, JobId, UnixTime
from relaymd.core.job import JobState


@dataclass(frozen=True)
class Fact:
    seq: int
    subject: str
    body: bytes

    @classmethod
    def of(cls, seq: int, job: str = "j1") -> "Fact":
        changed = JobChanged(
            seq=seq,
            at=UnixTime(1000.0 + seq),
            job=JobId(job),
            kind="started",
            state=JobState.RUNNING,
            event=Started(epoch=Epoch(1)),
        )
        return cls(seq, contract.JOB_CHANGED.of(changed), msgspec.json.encode(changed))

    @classmethod
    def next_after(cls, seq: int) -> "Fact":
        return cls.of(seq + 1)


def facts(*seqs: int) -> list[Fact]:
    return [Fact.of(seq) for seq in seqs]
