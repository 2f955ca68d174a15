"""What workers are told at once. All of it is said again by the answer to their heartbeat."""

import structlog

from relaymd.bus import contract
from relaymd.bus.bus import Bus, BusError
from relaymd.bus.messages import Drain, Standing, StopJob
from relaymd.core.ids import JobId, WorkerId
from relaymd.core.lease import Lease

log = structlog.get_logger(__name__)


async def stop(bus: Bus, job: JobId, lease: Lease, standing: Standing) -> None:
    """Tell the holder of a lease that it is over, or that its job is cancelled."""
    message = StopJob(worker=lease.worker, job=job, epoch=lease.epoch, standing=standing)
    try:
        await bus.ask(contract.STOP, message)
    except BusError as exc:
        log.info("push.lost", worker=lease.worker, job=job, error=str(exc))


async def drain(bus: Bus, worker: WorkerId, reason: str) -> None:
    """Tell a worker to give back what it holds and leave."""
    try:
        await bus.ask(contract.DRAIN, Drain(worker=worker, reason=reason))
    except BusError as exc:
        log.info("push.lost", worker=worker, error=str(exc))
