"""Which nodes are left alone, for how long, and when the job is to blame."""

import msgspec
import pytest

from relaymd.core.checkpoint import Checkpoint
from relaymd.core.events import (
    Checkpointed,
    Completed,
    Failed,
    HandedOff,
    Interrupted,
    JobEvent,
)
from relaymd.core.ids import Epoch, Generation, InstanceId, JobId, UnixTime, WorkerId
from relaymd.core.job import Job, JobState
from relaymd.core.lease import Lease
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.quarantine import (
    FIRST,
    LONGEST,
    MOST,
    REMEMBERED,
    Node,
    Quarantine,
    Strike,
    hosts_in_quarantine,
    note,
    quarantine,
)
from relaymd.core.worker import Worker, node_of
from tests.core.jobs import job_in

UNFIT, FAILED = Outcome.NODE_UNFIT, Outcome.ENGINE_FAILED
HERE, THERE, YONDER = "c/here", "c/there", "c/yonder"


def struck(id: str, *strikes: tuple[str, float], outcome: Outcome = FAILED) -> Node:
    """A node on which these jobs ended badly at these times."""
    return Node(
        id=id,
        strikes=tuple(
            Strike(at=UnixTime(at), job=JobId(job), outcome=outcome, reason=f"{job} broke")
            for job, at in strikes
        ),
    )


def judged(*nodes: Node, now: float, present: tuple[str, ...] = (HERE, THERE)) -> Quarantine | None:
    known = {node.id: node for node in nodes}
    return quarantine(HERE, known, present, now=UnixTime(now))


def test_the_hosts_of_one_cluster_that_are_left_alone_are_told_by_their_names() -> None:
    bad = [("a", 1.0), ("b", 2.0)]
    nodes = {
        id: struck(id, *bad, outcome=UNFIT) for id in ("c/n2.site", "c/n1", "other/n1", "cc/n1")
    }
    nodes["c/n3"] = struck("c/n3", ("a", 1.0), outcome=UNFIT)
    present = {*nodes, "c/n4"}
    found = hosts_in_quarantine("c", nodes, {*present}, now=UnixTime(3.0))
    assert found == ()  # these jobs fail everywhere

    nodes = {
        "c/n2.site": struck("c/n2.site", *bad, outcome=UNFIT),
        "c/n1": struck("c/n1", ("d", 1.0), ("e", 2.0), outcome=UNFIT),
        "cc/n1": struck("cc/n1", ("f", 1.0), ("g", 2.0), outcome=UNFIT),
        "c/n3": struck("c/n3", ("h", 1.0), outcome=UNFIT),
    }
    assert hosts_in_quarantine("c", nodes, present, now=UnixTime(3.0)) == ("n1", "n2.site")
    assert hosts_in_quarantine("c", nodes, present, now=UnixTime(2.0 + FIRST)) == ()


# -- who is left alone --------------------------------------------------------------------------


def test_a_node_on_which_job_after_job_fails_is_left_alone_for_a_minute() -> None:
    node = struck(HERE, ("a", 1.0), ("b", 2.0), ("c", 3.0))
    found = judged(node, now=3.0)
    assert found == Quarantine(
        until=UnixTime(3.0 + FIRST), reason="3 jobs ended badly there: c broke"
    )
    assert judged(node, now=3.0 + FIRST) is None


def test_two_jobs_that_find_it_unfit_are_enough_also_where_there_is_no_other_node() -> None:
    node = struck(HERE, ("a", 1.0), ("b", 2.0), outcome=UNFIT)
    assert judged(node, now=2.0, present=(HERE,)) is not None


@pytest.mark.parametrize("outcome", [UNFIT, FAILED])
def test_one_job_alone_proves_nothing_however_often(outcome: Outcome) -> None:
    node = struck(HERE, *(("a", float(at)) for at in range(20)), outcome=outcome)
    assert judged(node, now=20.0) is None


def test_where_nothing_works_anywhere_the_jobs_are_to_blame() -> None:
    """As with a hundred jobs of one broken bundle."""
    here = struck(HERE, ("a", 1.0), ("b", 2.0), ("c", 3.0))
    there = struck(THERE, ("d", 1.0), ("e", 2.0), ("f", 3.0))
    assert judged(here, there, now=3.0) is None
    assert judged(here, now=3.0, present=(HERE,)) is None, "there is nothing to compare with"
    assert judged(here, there, now=3.0, present=(HERE, THERE, YONDER)) is not None


def test_one_bad_job_on_many_nodes_quarantines_none_of_them() -> None:
    """It fails everywhere; what else failed here was one short of enough."""
    here = struck(HERE, ("a", 1.0), ("bad", 2.0), ("b", 3.0))
    others = [struck(f"c/{n}", ("bad", 1.0)) for n in range(2)]
    present = (HERE, "c/0", "c/1", YONDER)
    assert judged(here, now=3.0, present=present) is not None
    assert judged(here, *others, now=3.0, present=present) is None


def test_two_broken_nodes_do_not_excuse_each_other_while_a_third_is_clean() -> None:
    strikes = (("a", 1.0), ("b", 2.0), ("c", 3.0))
    nodes = struck(HERE, *strikes), struck(THERE, *strikes)
    assert judged(*nodes, now=3.0, present=(HERE, THERE, YONDER)) is not None
    assert judged(*nodes, now=3.0, present=(HERE, THERE)) is None


def test_each_quarantine_is_twice_as_long_as_the_one_before_and_they_have_an_end() -> None:
    strikes = [("a", 0.0), ("b", 0.0), ("c", 0.0)]
    lengths: list[float] = []
    for n in range(9):
        found = judged(struck(HERE, *strikes), now=strikes[-1][1])
        assert found is not None
        lengths.append(found.until - strikes[-1][1])
        strikes.append((f"d{n}", found.until))
    assert lengths == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert lengths[-1] == LONGEST


def test_what_still_ran_when_the_quarantine_began_does_not_lengthen_it() -> None:
    strikes = (("a", 0.0), ("b", 0.0), ("c", 0.0))
    longer = (*strikes, ("d", 1.0), ("e", 2.0))
    first, second = (judged(struck(HERE, *each), now=2.0) for each in (strikes, longer))
    assert first is not None
    assert second is not None
    assert first.until == second.until


def test_strikes_are_forgotten_after_a_day() -> None:
    node = struck(HERE, ("a", 0.0), ("b", REMEMBERED), ("c", REMEMBERED))
    assert judged(node, now=REMEMBERED - 1) is not None
    assert judged(node, now=REMEMBERED + 1) is None


def test_a_node_without_a_record_is_never_left_alone() -> None:
    assert quarantine(HERE, {}, (), now=UnixTime(0.0)) is None


# -- what counts --------------------------------------------------------------------------------

NOW = UnixTime(100.0)


def running(job: str = "a", *, since: float = 0.0) -> Job:
    lease = Lease(epoch=Epoch(1), worker=WorkerId("w"), granted_at=UnixTime(since))
    return msgspec.structs.replace(job_in(JobState.RUNNING), id=JobId(job), lease=lease, epoch=1)


def ended(outcome: Outcome) -> Interrupted:
    return Interrupted(epoch=Epoch(1), end=AttemptEnd(outcome=outcome, reason="r"))


def checkpoint() -> Checkpoint:
    return Checkpoint(
        generation=Generation(1), epoch=Epoch(1), manifest="m", digest="d", at=UnixTime(0.0)
    )


@pytest.mark.parametrize("outcome", Outcome)
def test_only_what_may_be_the_nodes_fault_speaks_against_it(outcome: Outcome) -> None:
    node = note(None, HERE, running(), ended(outcome), at=NOW)
    assert (node is not None) is (outcome in (UNFIT, FAILED))


def test_the_last_failure_of_a_job_counts_like_the_others() -> None:
    event = Failed(epoch=Epoch(1), end=AttemptEnd(outcome=FAILED, reason="r"))
    node = note(None, HERE, running("z"), event, at=NOW)
    assert node is not None
    assert node.strikes == (Strike(at=NOW, job=JobId("z"), outcome=FAILED, reason="r"),)


def test_an_engine_that_failed_after_a_checkpoint_of_its_own_does_not_count() -> None:
    job = msgspec.structs.replace(running(), checkpoints=(checkpoint(),))
    assert note(None, HERE, job, ended(FAILED), at=NOW) is None
    assert note(None, HERE, job, ended(UNFIT), at=NOW) is not None


@pytest.mark.parametrize(
    "event", [Completed(epoch=Epoch(1)), Checkpointed(epoch=Epoch(1), checkpoint=checkpoint())]
)
def test_a_lease_that_began_later_and_comes_to_something_wipes_out_what_was(
    event: JobEvent,
) -> None:
    node = struck(HERE, ("x", 50.0))
    assert note(node, HERE, running(since=60.0), event, at=NOW) is None
    assert note(node, HERE, running(since=40.0), event, at=NOW) == node, "it began before"
    assert note(None, HERE, running(), event, at=NOW) is None


def test_a_handover_says_nothing_of_the_node() -> None:
    node = struck(HERE, ("x", 50.0))
    event = HandedOff(epoch=Epoch(1), reason="r")
    assert note(node, HERE, running(since=60.0), event, at=NOW) is node


def test_a_record_does_not_grow_without_end() -> None:
    node: Node | None = None
    for n in range(2 * MOST):
        node = note(node, HERE, running(f"j{n}"), ended(UNFIT), at=UnixTime(float(n)))
    assert node is not None
    assert len(node.strikes) == MOST
    later = note(node, HERE, running(), ended(UNFIT), at=UnixTime(2 * REMEMBERED))
    assert later is not None
    assert len(later.strikes) == 1


def test_workers_of_one_host_are_one_node() -> None:
    def worker(id: str, host: str) -> Worker:
        return Worker(
            id=WorkerId(id),
            instance=InstanceId("i"),
            cluster="c",
            host=host,
            registered_at=UnixTime(0.0),
        )

    assert node_of(worker("w1", "n7")) == node_of(worker("w2", "n7")) == "c/n7"
    assert node_of(worker("w1", "")) != node_of(worker("w2", ""))
