"""How often an actor may crash."""

from relaymd.core.ids import Monotonic
from relaymd.core.restarts import RestartPolicy

POLICY = RestartPolicy(intensity=2, period=60.0, backoff=0.25)


def crashes(*at: float) -> list[Monotonic]:
    return [Monotonic(moment) for moment in at]


def test_as_many_crashes_as_the_intensity_are_forgiven_and_not_one_more() -> None:
    assert POLICY.allows(crashes(1.0, 2.0), now=Monotonic(2.0))
    assert not POLICY.allows(crashes(1.0, 2.0, 3.0), now=Monotonic(3.0))


def test_crashes_before_the_period_are_forgotten() -> None:
    assert POLICY.recent(crashes(0.0, 30.0, 61.0), now=Monotonic(61.0)) == crashes(30.0, 61.0)
    assert POLICY.allows(crashes(0.0, 30.0, 61.0), now=Monotonic(61.0))


def test_the_wait_doubles_with_each_crash_and_has_an_end() -> None:
    delays = [
        POLICY.delay(crashes(*[float(moment) for moment in range(count)]), now=Monotonic(10.0))
        for count in (1, 2, 3, 30)
    ]
    assert delays == [0.25, 0.5, 1.0, 30.0]


def test_the_policy_can_be_reached_by_waiting_as_it_says() -> None:
    """Else a loop of crashes would outlast its period for ever, and never end the process."""
    policy, now, seen = RestartPolicy(), 0.0, crashes()
    for _ in range(policy.intensity + 1):
        seen.append(Monotonic(now))
        now += policy.delay(seen, now=Monotonic(now))
    assert not policy.allows(seen, now=seen[-1])
