import msgspec
import pytest

from relaymd.bus import contract
from relaymd.bus import messages as m
from relaymd.bus.subjects import Event
from relaymd.core.ids import InstanceId, WorkerId


def test_a_hole_that_is_no_field_is_an_error_at_import() -> None:
    with pytest.raises(TypeError, match="HeartbeatAck has no"):
        Event("relaymd.output.{job}", m.HeartbeatAck)


def test_a_subject_is_filled_from_the_message_it_carries() -> None:
    beat = m.Heartbeat(worker=WorkerId("w1"), instance=InstanceId("i"))
    assert contract.HEARTBEAT.of(beat) == "relaymd.worker.w1.heartbeat"


@pytest.mark.parametrize("unfit", ["", "a.b", "*", ">", "a b", "a\r\nPUB x 0\r\n", "x" * 65, "ü"])
def test_an_identifier_that_could_change_the_subject_is_refused(unfit: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a subject"):
        contract.HEARTBEAT.of(m.Heartbeat(worker=WorkerId(unfit), instance=InstanceId("i")))
    with pytest.raises(ValueError, match="cannot be part of a subject"):
        contract.JOB_CHANGED.at(job=unfit)


def test_holes_that_are_not_named_stay_open() -> None:
    assert contract.JOB_CHANGED.at(job="j1") == "relaymd.event.job.j1.*"
    assert isinstance(contract.JOB_CHANGED.carries, type)
    assert issubclass(contract.JOB_CHANGED.carries, msgspec.Struct)
