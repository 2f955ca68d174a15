"""The right to run a job: one slot of one worker has it at a time, under an epoch of its own."""

import msgspec

from relaymd.core.ids import Epoch, UnixTime, WorkerId


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right of one slot of one worker to run the job and to speak for it."""

    epoch: Epoch
    worker: WorkerId
    slot: int = 0
    cluster: str = "local"
    granted_at: UnixTime
    also: tuple[int, ...] = ()
    """Further slots of the worker whose devices the job has; no other job runs there."""

    launched: bool = False
    """Whether its worker has said that the engine runs."""

    @property
    def slots(self) -> tuple[int, ...]:
        return (self.slot, *self.also)
