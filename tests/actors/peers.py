"""Those who talk to the orchestrator: a worker and an operator, message by message."""

from typing import Any

from relaymd.bus import contract
from relaymd.bus import messages as m
from relaymd.bus.bus import Bus
from relaymd.bus.operating import (
    AskStatus,
    CancelJob,
    DrainWorker,
    JobDetails,
    JobPage,
    ListJobs,
    ListWorkers,
    RequeueJob,
    ShowJob,
    Status,
    Submit,
    WorkerView,
)
from relaymd.core.checkpoint import Checkpoint, Progress
from relaymd.core.devices import Load
from relaymd.core.ids import Epoch, Generation, InstanceId, JobId, UnixTime, WorkerId
from relaymd.core.job import Bundle, Job
from relaymd.core.outcome import AttemptEnd, Outcome

BUNDLE = Bundle(key="jobs/x/input/bundle.tar.gz", digest="d", size=1)
ASSIGNMENT_WAIT = 5.0


class WorkerPeer:
    """One worker process as the actors hear it. It remembers nothing and checks nothing."""

    def __init__(self, bus: Bus, id: WorkerId, instance: InstanceId) -> None:
        self.bus = bus
        self.id = id
        self.instance = instance

    async def register(self, **said: Any) -> m.Registered:
        message = m.Register(worker=self.id, instance=self.instance, **said)
        return await self.bus.ask(contract.REGISTER, message)

    async def ask(self, slot: int = 0, wait: float = ASSIGNMENT_WAIT) -> m.Assignment | m.NoWork:
        message = m.AskForWork(worker=self.id, instance=self.instance, slot=slot, wait=wait)
        return (await self.bus.ask(contract.WORK, message)).work

    async def work(self, slot: int = 0) -> m.Assignment:
        """Ask for a job that is known to wait."""
        answer = await self.ask(slot)
        assert isinstance(answer, m.Assignment)
        return answer

    async def begin(self, slot: int = 0) -> m.Assignment:
        """Get a job and start it."""
        assignment = await self.work(slot)
        assert await self.start(assignment) is m.Standing.ACCEPTED
        return assignment

    async def start(self, it: m.Assignment) -> m.Standing:
        message = m.Start(worker=self.id, job=it.job, epoch=it.epoch)
        return (await self.bus.ask(contract.START, message)).standing

    async def launched(self, it: m.Assignment, **said: Any) -> m.Standing:
        message = m.LaunchReport(worker=self.id, job=it.job, epoch=it.epoch, **said)
        return (await self.bus.ask(contract.LAUNCHED, message)).standing

    async def checkpoint(self, it: m.Assignment, generation: int = 1) -> m.Standing:
        message = m.CheckpointReport(
            worker=self.id, job=it.job, checkpoint=checkpoint(generation, it.epoch)
        )
        return (await self.bus.ask(contract.CHECKPOINT, message)).standing

    async def missed(self, it: m.Assignment, reason: str = "storage answers 500") -> m.Standing:
        message = m.CheckpointMiss(worker=self.id, job=it.job, epoch=it.epoch, reason=reason)
        return (await self.bus.ask(contract.CHECKPOINT_MISSED, message)).standing

    async def complete(self, it: m.Assignment) -> m.Standing:
        message = m.Complete(worker=self.id, job=it.job, epoch=it.epoch)
        return (await self.bus.ask(contract.COMPLETE, message)).standing

    async def fail(
        self,
        it: m.Assignment,
        outcome: Outcome = Outcome.BUNDLE_INVALID,
        reason: str = "exit code 1",
    ) -> m.Standing:
        end = AttemptEnd(outcome=outcome, reason=reason)
        message = m.Fail(worker=self.id, job=it.job, epoch=it.epoch, end=end)
        return (await self.bus.ask(contract.FAIL, message)).standing

    async def draining(self, it: m.Assignment, reason: str = "SIGTERM") -> m.Standing:
        message = m.DrainReport(worker=self.id, job=it.job, epoch=it.epoch, reason=reason)
        return (await self.bus.ask(contract.DRAINING, message)).standing

    async def handoff(self, it: m.Assignment, reason: str = "SIGTERM") -> m.Standing:
        message = m.Handoff(worker=self.id, job=it.job, epoch=it.epoch, reason=reason)
        return (await self.bus.ask(contract.HANDOFF, message)).standing

    async def cancelled(self, it: m.Assignment) -> m.Standing:
        message = m.CancelReport(worker=self.id, job=it.job, epoch=it.epoch)
        return (await self.bus.ask(contract.CANCELLED, message)).standing

    async def beat(
        self, *held: m.Assignment, progress: Progress | None = None, load: Load | None = None
    ) -> m.HeartbeatAck:
        leases = tuple(m.HeldLease(job=it.job, epoch=it.epoch, progress=progress) for it in held)
        message = m.Heartbeat(worker=self.id, instance=self.instance, leases=leases, load=load)
        return await self.bus.ask(contract.HEARTBEAT, message)

    async def drains(self, reason: str = "SIGTERM") -> m.Done:
        message = m.WorkerDrains(worker=self.id, instance=self.instance, reason=reason)
        return await self.bus.ask(contract.WORKER_DRAINS, message)

    async def heartbeat(self, *leases: m.HeldLease) -> m.HeartbeatAck:
        message = m.Heartbeat(worker=self.id, instance=self.instance, leases=leases)
        return await self.bus.ask(contract.HEARTBEAT, message)

    async def leave(self, reason: str = "no work") -> m.Done:
        message = m.Leave(worker=self.id, instance=self.instance, reason=reason)
        return await self.bus.ask(contract.LEAVE, message)


class Operator:
    """Somebody at a terminal."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    async def submit(self, id: str = "j1", title: str = "t", **said: Any) -> Job:
        message = Submit(job=JobId(id), title=title, bundle=BUNDLE, **said)
        return (await self.bus.ask(contract.SUBMIT, message)).job

    async def details(self, id: str = "j1") -> JobDetails:
        return await self.bus.ask(contract.SHOW, ShowJob(job=JobId(id)))

    async def show(self, id: str = "j1") -> Job:
        return (await self.details(id)).view.job

    async def cancel(self, id: str = "j1") -> Job:
        return (await self.bus.ask(contract.CANCEL, CancelJob(job=JobId(id), by="me"))).job

    async def requeue(self, id: str = "j1") -> Job:
        return (await self.bus.ask(contract.REQUEUE, RequeueJob(job=JobId(id), by="me"))).job

    async def drain(self, worker: str = "w1") -> m.Done:
        return await self.bus.ask(contract.DRAIN_WORKER, DrainWorker(worker=WorkerId(worker)))

    async def status(self) -> Status:
        return await self.bus.ask(contract.STATUS, AskStatus())

    async def workers(self) -> list[WorkerView]:
        return [*(await self.bus.ask(contract.WORKERS, ListWorkers())).workers]

    async def page(self, **said: Any) -> JobPage:
        return await self.bus.ask(contract.JOBS, ListJobs(**said))


def checkpoint(generation: int, epoch: int) -> Checkpoint:
    return Checkpoint(
        generation=Generation(generation),
        epoch=Epoch(epoch),
        manifest=f"jobs/j1/checkpoints/{generation}",
        digest="d",
        at=UnixTime(1.0),
        progress=Progress(step=generation * 100),
    )
