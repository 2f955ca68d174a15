"""Bytes that a peer in bad order, or with bad intent, might send."""

import json
import random
from collections.abc import Iterator
from typing import Any, cast

STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**400,
    1e308,
    "",
    "\ud800",
    "\0",
    "x" * 100_000,
    "../../etc/passwd",
    [],
    {},
    [[[[]]]],
)
"""Values to put where others belong."""

FIXED = (b"", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 50_000, b'{"a":' * 20_000, b"NaN")


def noise(rng: random.Random, sample: object, count: int) -> Iterator[bytes]:
    """So many payloads: fixed ones, random bytes, and damaged forms of a good message."""
    for number in range(count):
        if number < len(FIXED):
            yield FIXED[number]
            continue
        match rng.randrange(3):
            case 0:
                yield rng.randbytes(rng.randrange(300))
            case 1:
                yield _flipped(rng, json.dumps(sample).encode())
            case _:
                yield json.dumps(_altered(rng, sample)).encode()


def _flipped(rng: random.Random, good: bytes) -> bytes:
    data = bytearray(good)
    for _ in range(rng.randrange(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randrange(1, len(data) + 1)] if rng.random() < 0.3 else data)


def _altered(rng: random.Random, sample: object) -> object:
    """The message with one value, somewhere, replaced by a strange one."""
    if isinstance(sample, dict) and sample and rng.random() < 0.9:
        table = dict(cast(dict[str, object], sample))
        key = rng.choice([*table])
        if rng.random() < 0.15:
            del table[key]
        else:
            table[key] = _altered(rng, table[key])
        return table
    if isinstance(sample, list) and sample and rng.random() < 0.7:
        return [_altered(rng, item) for item in cast(list[object], sample)]
    return rng.choice(STRANGE)
