"""Checkpoints and progress, as the ledger and the wire carry them."""

import msgspec
import pytest

from relaymd.core.checkpoint import KEPT, Checkpoint, Progress
from relaymd.core.ids import Epoch, Generation, UnixTime


def test_absent_progress_is_not_zero() -> None:
    assert Progress().step is None
    assert Progress(step=0).step == 0
    assert msgspec.json.encode(Progress(step=0)) != msgspec.json.encode(Progress())


def test_a_checkpoint_survives_the_wire_unchanged() -> None:
    checkpoint = Checkpoint(
        generation=Generation(3),
        epoch=Epoch(2),
        manifest="jobs/j/checkpoints/manifests/00000003-000002.json",
        digest="ab" * 32,
        at=UnixTime(12.5),
        progress=Progress(fraction=0.5, step=50, total_steps=100),
    )

    assert msgspec.json.decode(msgspec.json.encode(checkpoint), type=Checkpoint) == checkpoint


def test_a_checkpoint_is_never_edited() -> None:
    checkpoint = Checkpoint(
        generation=Generation(1), epoch=Epoch(1), manifest="m", digest="d", at=UnixTime(0.0)
    )

    with pytest.raises(AttributeError):
        checkpoint.generation = Generation(2)  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # that is the test


def test_more_than_one_generation_is_kept() -> None:
    assert KEPT >= 2
