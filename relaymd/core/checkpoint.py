"""A committed checkpoint generation, as the ledger remembers it, and how far it got."""

import msgspec

from relaymd.core.ids import Epoch, Generation, UnixTime

KEPT = 5
"""Committed generations a job remembers, newest last: a damaged one falls back to its elder."""


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the engine says it is. Absent is not zero: an unknown figure is None."""

    fraction: float | None = None
    """Of the whole job, 0 to 1."""

    step: int | None = None
    total_steps: int | None = None


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    generation: Generation
    epoch: Epoch
    """Of the lease under which it was made."""

    manifest: str
    """Storage key of the manifest."""

    digest: str
    """BLAKE3 of the manifest's bytes, in hexadecimal."""

    at: UnixTime
    files: int = 0
    size: int = 0
    """Bytes of all files together."""

    uploaded: int = 0
    """Bytes that had to travel for this generation."""

    progress: Progress | None = None
