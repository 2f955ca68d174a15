"""Whatever happens to a job in whatever order: what must never change does not."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from relaymd.core import events as e
from relaymd.core.events import JobEvent
from relaymd.core.ids import Epoch, UnixTime
from relaymd.core.job import IllegalTransitionError, JobState, StaleLeaseError, apply
from tests.core.jobs import EVENTS, LEASED, checkpoint, event_of, job_in, lease

KINDS = [kind for kind in EVENTS if kind not in (e.Assigned, e.Checkpointed)]


class JobWalk(RuleBasedStateMachine):
    """One job, and everybody who has ever held it, talking out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.job = self.before = job_in(JobState.QUEUED)
        self.now = 1000.0
        self.stale = False

    def happen(self, event: JobEvent) -> None:
        self.now += 1
        self.before = self.job
        live = self.job.lease.epoch if self.job.lease else None
        self.stale = isinstance(event, e.LeaseEvent) and event.epoch != live
        try:
            self.job = apply(self.job, event, at=UnixTime(self.now))
        except (IllegalTransitionError, StaleLeaseError):
            return
        assert not self.stale, "a zombie was heard"

    @rule(kind=st.sampled_from(KINDS), behind=st.sampled_from([0, 0, 0, 1, 2]))
    def report(self, kind: type[JobEvent], behind: int) -> None:
        self.happen(event_of(kind, Epoch(self.job.epoch - behind)))

    @rule(ahead=st.integers(-1, 2))
    def assign(self, ahead: int) -> None:
        self.happen(e.Assigned(lease=lease(self.job.epoch + ahead)))

    @rule(behind=st.sampled_from([0, 0, 1]), ahead=st.sampled_from([0, 1, 1, 1, 2]))
    def commit(self, behind: int, ahead: int) -> None:
        epoch = Epoch(self.job.epoch - behind)
        made = checkpoint(self.job.generation + ahead, epoch)
        self.happen(e.Checkpointed(epoch=epoch, checkpoint=made))

    @invariant()
    def the_epoch_never_decreases(self) -> None:
        assert self.job.epoch >= self.before.epoch

    @invariant()
    def the_generation_only_grows_and_by_one(self) -> None:
        assert 0 <= self.job.generation - self.before.generation <= 1
        assert self.job.generation >= 2, "the committed checkpoint went back"

    @invariant()
    def a_lease_is_there_exactly_while_somebody_works(self) -> None:
        assert (self.job.lease is not None) == (self.job.state in LEASED)
        if self.job.lease is not None:
            assert self.job.lease.epoch == self.job.epoch

    @invariant()
    def the_job_is_the_same_job(self) -> None:
        assert self.job.id == self.before.id
        assert self.job.bundle == self.before.bundle
        assert self.job.submitted_at == self.before.submitted_at

    @invariant()
    def the_remembered_generations_follow_each_other(self) -> None:
        found = [c.generation for c in self.job.checkpoints]
        assert found == [*range(found[0], found[0] + len(found))]


TestJobWalk = JobWalk.TestCase
TestJobWalk.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
