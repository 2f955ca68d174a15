"""Hostile bytes, made from good ones: what a peer in bad order, or with bad intent, might send.

RELAYMD_FUZZ_CASES says how many of each kind a test throws, RELAYMD_FUZZ_SEED which. The same
seed gives the same bytes on any machine; `make fuzz CASES=100000 SEED=7` throws more, and others.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Any, TypeAlias, cast

SEED = int(os.environ.get("RELAYMD_FUZZ_SEED", "1"))
CASES = int(os.environ.get("RELAYMD_FUZZ_CASES", "1000"))

Json: TypeAlias = Any

DEEP = 3000
"""More than any decoder should follow."""

VALUES: tuple[Json, ...] = (
    None, True, -1, 0, 1, 3, 2**31, 2**53, 2**63 - 1, 2**64, -(2**63), 10**30, 10**400,
    0.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"), -float("inf"),
    "", " ", "x", "\0", "a\0b", "\u202e", "\ud800", "\udcff", "\ufeff", "ä\n\r\x1b[2J", "٣", "²",
    "x" * 300, "x" * 20_000, "a.b", "*", ">", "/", "/etc/passwd", "../../etc/passwd", "a/../..",
    "9" * 5000, "1e999", "null", "true", "2001-99-99", "-", "~", "$HOME", "%s%n", "1:60", "1-2:3",
    [], {}, [None], [[[[]]]], {"": 0}, {"x": 1}, {"a": {"b": {}}}, ["a"] * 2000,
)  # fmt: skip
"""To stand where others belong."""

RAW: tuple[bytes, ...] = (
    b"NaN", b"-Infinity", b"1e999", b"-1e999", b"-", b"01", b"0x10", b"1.", b"+1", b"9" * 5000,
    b'"\xff\xfe"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\x"',
    b'"\x00"', b'"\n"', b'"', b"\x00", b"'x'", b"[" * DEEP, b'{"a":' * DEEP, b"[1" + b",1" * 999,
    b"[" * DEEP + b"]" * DEEP, b'{"a":1,"a":2}', b"nul", b"/**/1", b"", b",", b"}", b"]",
)  # fmt: skip
"""The same, as what no encoder would write."""

TOKENS: tuple[bytes, ...] = (
    *RAW, b"\xff", b"\x80", b"\r", b"\n", b"\n\n", b":", b": ", b"- ", b"&a ", b"*a", b"&a [*a]",
    b"<<: *a", b"? ", b"!!int ''", b"!!bool x", b"!!timestamp x", b"!!float x", b"!!binary '%'",
    b"!!python/object:os.system x", b"!!set {a}", b"!x ", b"%YAML 9.9\n---\n", b"--- ", b"...\n",
    b"0x" + b"f" * 5000, b"2001-99-99", b"190:20:30", b".inf", b".nan", b"'", b"|\n", b">\n",
    b"a.b.c = 1\n", b"[a]\n", b"[[a]]\n", b"a = ", b'"""', b"1979-99-99", b"a." * 300, b"#",
    b"=", b"~", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"-1", b"0", b" ", b"\t", b"\x1b[2J", b"%", b"..",
)  # fmt: skip
"""Pieces with a meaning in one of the languages that are read."""

WHOLE: tuple[bytes, ...] = (
    b"", b"null", b"[]", b"{}", b'""', b"0", b"\xff\xfe", b"\x00" * 100, b" " * 5000, b"x" * 70_000,
    b"[" * 20_000, b'{"a":' * 20_000, b'{"":' * 99 + b"1" + b"}" * 99, b"\xef\xbb\xbf{}", b"\n",
)  # fmt: skip

_PLACE = "@@raw@@"
_TWICE = "@@twice@@"
_MARKS = re.compile(rb'"@@raw@@(\d+)"|"@@twice@@')


def generator(name: str) -> Random:
    """A source of luck of one's own: what others draw does not change it."""
    return Random(f"{SEED}/{name}")


def payloads(rng: Random, samples: Sequence[Json | bytes], count: int = CASES) -> Iterator[bytes]:
    """So many hostile forms of good documents; of `bytes` as they stand, else as JSON."""
    good = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in samples]
    trees = [one for one in samples if not isinstance(one, bytes)]
    for number in range(count):
        if number < len(WHOLE):
            yield WHOLE[number]
        elif trees and rng.random() < 0.6:
            yield written(rng, altered(rng, rng.choice(trees)))
        elif rng.random() < 0.05:
            yield rng.randbytes(rng.randrange(300))
        else:
            yield spoiled(rng, rng.choice(good))


def altered(rng: Random, document: Json) -> Json:
    """The document with something else at one or two of its places, or with a key more or less."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        document = _altered(rng, document)
    return document


def _altered(rng: Random, value: Json) -> Json:
    if isinstance(value, dict) and value and rng.random() < 0.93:
        return _table(rng, dict(cast(dict[str, Json], value)))
    if isinstance(value, list) and value and rng.random() < 0.8:
        items = [*cast(list[Json], value)]
        place = rng.randrange(len(items))
        if rng.random() < 0.2:
            return [*items, items[place]] * rng.choice((1, 1, 50))
        items[place] = _altered(rng, items[place])
        return items
    if rng.random() < 0.3:
        return f"{_PLACE}{rng.randrange(len(RAW))}"
    return rng.choice(VALUES)


def _table(rng: Random, table: dict[str, Json]) -> dict[str, Json]:
    key = rng.choice([*table])
    match rng.randrange(12):
        case 0:
            del table[key]
        case 1:
            table[_TWICE + key] = _altered(rng, table[key])
        case 2:
            table[str(rng.choice(VALUES))[:99]] = rng.choice((1, f"{_PLACE}{rng.randrange(20)}"))
        case 3:
            other = rng.choice([*table])
            table[key], table[other] = table[other], table[key]
        case _:
            table[key] = _altered(rng, table[key])
    return table


def written(rng: Random, document: Json) -> bytes:
    """As JSON, with what no JSON has where it was altered so."""
    text = json.dumps(document, ensure_ascii=rng.random() < 0.5)
    data = text.encode(errors="surrogatepass")
    return _MARKS.sub(lambda mark: RAW[int(mark[1])] if mark[1] else b'"', data)


def spoiled(rng: Random, good: bytes) -> bytes:
    """Damaged at one place or a few: cut, flipped, doubled, left out, put in between."""
    data = bytearray(good)
    for _ in range(rng.choice((1, 1, 2, 5))):
        start = rng.randrange(len(data) + 1)
        end = min(start + rng.choice((0, 1, 1, 4, 16, 200)), len(data))
        match rng.randrange(7):
            case 0 if rng.random() < 0.4:
                del data[start:]
            case 1:
                del data[start:end]
            case 2:
                data[start:start] = data[start:end] * rng.choice((1, 1, 3, 40))
            case 3:
                data[start:end] = rng.choice(TOKENS)
            case 4:
                data[start:start] = rng.choice(TOKENS)
            case 5:
                data[start:end] = rng.randbytes(end - start)
            case _:
                if end > start:
                    data[start] ^= 1 << rng.randrange(8)
    return bytes(data)


def throw(
    hostile: Iterable[bytes],
    at: Callable[[bytes], object],
    *,
    refusals: tuple[type[Exception], ...] = (),
) -> None:
    """Every payload is taken, or refused by one of these errors in one sentence."""
    for number, data in enumerate(hostile):
        try:
            try:
                at(data)
            except refusals as exc:
                check_sentence(str(exc))
        except BaseException as exc:
            exc.add_note(f"case {number} of RELAYMD_FUZZ_SEED={SEED}: {shown(data)}")
            raise


def check_sentence(reason: str) -> None:
    """What a person is told, or another process: one line, that every encoder can write."""
    assert reason.strip(), "no reason was given"
    assert "\n" not in reason, f"more than one line: {reason[:500]!r}"
    reason.encode()


def shown(data: bytes) -> str:
    return repr(data) if len(data) < 900 else f"{data[:500]!r} … {data[-200:]!r}, {len(data)} bytes"
