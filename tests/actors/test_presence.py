"""When each worker was last heard, and what it said: per worker, per lease, soon forgotten."""

from relaymd.actors.presence import Presence
from relaymd.actors.sightings import Sightings
from relaymd.bus.messages import HeldLease
from relaymd.core.allocation import Sighting, Whereabouts
from relaymd.core.checkpoint import Progress
from relaymd.core.ids import AllocationId, Epoch, JobId, WorkerId
from relaymd.core.reaping import Evidence
from tests.actors.office import Clock

W1, W2 = WorkerId("w1"), WorkerId("w2")
J1 = JobId("j1")


def test_who_was_never_heard_is_as_old_as_our_own_start() -> None:
    clock = Clock()
    presence = Presence(clock.monotonic)
    begun = clock.monotonic()
    clock.advance(100)

    assert presence.heard(W1) == begun
    presence.reset()
    assert presence.heard(W1) == clock.monotonic()


def test_a_word_ends_a_disconnection_and_a_second_one_does_not_begin_it_anew() -> None:
    clock = Clock()
    presence = Presence(clock.monotonic)
    presence.disconnect(W1)
    first = presence.vital(W1).disconnected
    clock.advance(1)
    presence.disconnect(W1)

    assert presence.vital(W1).disconnected == first
    assert not presence.is_disconnected(W2)
    presence.hear(W1)
    assert presence.vital(W1).disconnected is None


def test_a_word_ends_a_hang_up_and_the_probes_that_found_nobody() -> None:
    clock = Clock()
    presence = Presence(clock.monotonic)
    presence.disconnect(W1, hung_up=True)
    presence.miss(W1, clock.monotonic())
    vital = presence.vital(W1)
    assert vital.hung_up
    assert vital.missed == clock.monotonic()

    presence.hear(W1)
    presence.disconnect(W1)
    assert not presence.vital(W1).hung_up
    assert presence.vital(W1).missed is None


def test_a_lease_is_lost_only_by_a_list_that_came_later_and_lacks_it() -> None:
    clock = Clock()
    presence = Presence(clock.monotonic)
    asked = clock.monotonic()
    assert not presence.has_lost(W1, J1, Epoch(1), since=asked), "nothing was listed"
    presence.list(W1, ())
    assert not presence.has_lost(W1, J1, Epoch(1), since=asked), "not later"
    clock.advance(1)
    presence.list(W1, (HeldLease(job=J1, epoch=Epoch(1)),))
    assert not presence.has_lost(W1, J1, Epoch(1), since=asked)
    assert presence.has_lost(W1, J1, Epoch(2), since=asked)


def test_progress_belongs_to_one_lease_and_absent_is_not_zero() -> None:
    presence = Presence(Clock().monotonic)
    presence.note(J1, Epoch(1), Progress(step=5))
    presence.note(J1, Epoch(1), None)

    assert presence.progress(J1, Epoch(1)) == Progress(step=5)
    assert presence.progress(J1, Epoch(2)) is None
    presence.retain([])
    assert presence.progress(J1, Epoch(1)) is None


def test_a_worker_that_is_forgotten_leaves_nothing_behind() -> None:
    clock = Clock()
    presence = Presence(clock.monotonic)
    begun = clock.monotonic()
    clock.advance(1)
    presence.hear(W1)
    presence.list(W1, ())
    presence.disconnect(W1)
    presence.forget(W1)

    assert presence.heard(W1) == begun
    assert not presence.is_disconnected(W1)
    assert not presence.has_lost(W1, J1, Epoch(1), since=begun)


def test_what_no_provider_has_seen_is_unknown() -> None:
    sightings, a1 = Sightings(), AllocationId("a1")
    assert sightings.of(None) is sightings.of(a1) is Evidence.UNKNOWN
    sightings.note({a1: Sighting(where=Whereabouts.GONE)})
    assert sightings.of(a1) is Evidence.GONE
    sightings.retain(frozenset())
    assert sightings.of(a1) is Evidence.UNKNOWN
