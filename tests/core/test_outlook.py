"""Which sentence a job is told, by how many come before it."""

from relaymd.core.outlook import sentence
from relaymd.core.provisioning import Coming, Outlook
from tests.core.plans import NOW


def told(position: int, ahead: int = 0) -> str:
    outlook = Outlook(
        ahead=ahead,
        idle=1,
        coming=(Coming(cluster="a", jobs=1, pending=False),),
        asked=(("b", 1),),
        obstacles=("c: full",),
    )
    return sentence(outlook, position=position, now=NOW)


def test_each_job_is_told_what_is_left_after_those_before_it() -> None:
    assert told(0) == "it is next for an idle slot"
    assert "an allocation of a has started" in told(1)
    assert told(2) == "an allocation is being asked of b"
    assert told(3) == "nothing is asked for it: c: full"


def test_jobs_of_other_classes_that_come_first_count() -> None:
    assert [told(0, ahead=n) for n in range(4)] == [told(n) for n in range(4)]
