"""Who fails is asked again later and later; who succeeds, at once."""

from relaymd.core.breaker import CLOSED, LONGEST, Breaker
from relaymd.core.ids import Monotonic

NOW = Monotonic(100.0)


def after(failures: int) -> Breaker:
    breaker = CLOSED
    for _ in range(failures):
        breaker = breaker.failed(NOW, "no route")
    return breaker


def test_nobody_waits_for_who_never_failed() -> None:
    assert CLOSED.allows(Monotonic(-5.0))
    assert CLOSED.words(NOW) == ""


def test_the_rest_doubles_up_to_a_limit() -> None:
    rests = [after(count).until - NOW for count in (1, 2, 3, 4, 99)]
    assert rests == [1.0, 2.0, 4.0, 8.0, LONGEST]


def test_it_is_tried_again_when_the_time_is_over() -> None:
    breaker = after(3)
    assert not breaker.allows(Monotonic(103.9))
    assert breaker.allows(Monotonic(104.0))
    assert breaker.words(Monotonic(101.0)) == "no route; asked again in 3 s"


def test_what_the_provider_asks_for_counts_where_it_is_longer() -> None:
    assert CLOSED.failed(NOW, "429", retry_after=60.0).until == 160.0
    assert after(7).failed(NOW, "429", retry_after=1.0).until == NOW + 128.0
