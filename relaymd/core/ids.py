"""Identifiers and clocks, one type each, so that no two can be confused."""

import re
from typing import NewType

JobId = NewType("JobId", str)
WorkerId = NewType("WorkerId", str)
AllocationId = NewType("AllocationId", str)
"""Made by us before anything is submitted, so that a submit that timed out can be found again."""

InstanceId = NewType("InstanceId", str)
"""One life of a worker process; the same worker started again is another instance."""

Epoch = NewType("Epoch", int)
"""Counts the leases of one job: 1 for its first. Strictly increasing, never used again."""

Generation = NewType("Generation", int)
"""Counts the committed checkpoints of one job: 1 for its first."""

UnixTime = NewType("UnixTime", float)
"""Seconds since 1970 UTC: what is written down. May step, so nobody is declared dead by it."""

Monotonic = NewType("Monotonic", float)
"""Seconds on a clock that never steps and means nothing to any other process."""

TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What an identifier may look like: one token of a subject, one component of a storage key."""

ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
"""Letters of the identifiers people type: none that looks like another."""


def token(prefix: str, entropy: bytes) -> str:
    """Spell random bytes as an identifier: `token("j", bytes(8))` is `j-222222222222`."""
    number = int.from_bytes(entropy, "big")
    letters: list[str] = []
    for _ in range(len(entropy) * 3 // 2):
        number, digit = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[digit])
    return f"{prefix}-{''.join(letters)}"
