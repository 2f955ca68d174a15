"""What is published: the facts of the event stream, and engines' live output.

The same rules as in `messages`: grow at the end, with defaults.
"""

from enum import StrEnum

import msgspec

from relaymd.core.events import JobEvent
from relaymd.core.ids import AllocationId, Epoch, JobId, UnixTime, WorkerId
from relaymd.core.job import JobState
from relaymd.core.worker import WorkerEvent


class JobChanged(msgspec.Struct, frozen=True, kw_only=True):
    """One event of one job, as it stands in the ledger. `seq` counts all events, without gaps."""

    seq: int
    at: UnixTime
    job: JobId
    kind: str
    state: JobState
    """After the event."""

    event: JobEvent


class WorkerChanged(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    at: UnixTime
    worker: WorkerId
    kind: str
    event: WorkerEvent


class ProviderChanged(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    at: UnixTime
    cluster: str
    kind: str
    """Of an allocation: requested, submitted, started, moved, requeued, active, ended.

    Of the cluster itself: enabled, disabled, unreachable, reachable.
    """

    allocation: AllocationId = AllocationId("")
    """Empty: it is about the cluster itself."""

    reason: str = ""


class OutputStream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an engine's output while it runs. Storage gets every piece as well."""

    job: JobId
    epoch: Epoch
    stream: OutputStream
    offset: int
    """Of the first byte, within this segment's stream."""

    text: str
    """Undecodable bytes are replaced; `size` says how many bytes it stands for."""

    size: int
