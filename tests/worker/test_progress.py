"""What engines write about how far they are."""

import pytest

from relaymd.core.checkpoint import Progress
from relaymd.worker.progress import parse


@pytest.mark.parametrize(
    ("data", "progress"),
    [
        (b"0.25", Progress(fraction=0.25)),
        (b"0.25\n", Progress(fraction=0.25)),
        (b"1", Progress(fraction=1.0)),
        (b"sample 3: 0.75\n", Progress(fraction=0.75)),
        (b'{"fraction": 0.5}', Progress(fraction=0.5)),
        (b'{"step": 5, "total_steps": 20}', Progress(fraction=0.25, step=5, total_steps=20)),
        (b'{"step": 5}', Progress(step=5)),
        (b'{"step": 5, "more": [1]}', Progress(step=5)),
    ],
)
def test_a_fraction_or_a_document_is_understood(data: bytes, progress: Progress) -> None:
    assert parse(data) == progress


@pytest.mark.parametrize(
    "data",
    [
        *(None, b"", b"   ", b"nan", b"inf", b"-0.1", b"1.5", b"half", b"\xff\xfe\x00", b"[1]"),
        *(b"{}", b'{"fraction": "x"}', b'{"fraction": 7}', b"null", b"true", b'"0.5', b"[" * 5000),
        *(b'{"step": -1}', b'{"step": 1%s}' % (b"0" * 30), b'{"x": %s' % (b"[" * 5000)),
        *(b'{"fraction": 1e999}', b"1e999"),
    ],
)
def test_what_cannot_be_understood_is_unknown_and_not_zero(data: bytes | None) -> None:
    assert parse(data) is None
