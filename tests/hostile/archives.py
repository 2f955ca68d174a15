"""Archives as nobody packs them: every known trick, several in one, and lies in every header."""

import gzip
import tarfile
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

from tests.hostile.payloads import spoiled

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)
SIZES = (0, 1, 5, 511, 512, 513, 70_000, 1 << 20, 1 << 33, 1 << 62, -1, -512, -(1 << 40))
MODES = (0, 0o644, 0o755, 0o4755, 0o6777, 0o7777, 0o1000, 0o177777, 1 << 20, -1)
TIMES = (0, 1, -1, 1 << 31, 1 << 33, 1 << 62, -(1 << 62))
KINDS = b"\x000123456789DKLMNSVXxgZ\xff"

NAMES: tuple[bytes, ...] = (
    b"f", b"F", b"./f", b"f/", b"f/g", b"d/f", b"d//f", b"d/./f", b"d/../f", b"l", b"l/f", b"d/l/f",
    b"", b".", b"..", b"/", b"//", b"./", b" ", b"-rf", b"~", b"a\\b", b"..\\x", b"C:\\x", b"con",
    b"/etc/passwd", b"../x", b"d/../../x", b"\xc3\xa9", b"e\xcc\x81", b"\xff\xfe", b"a\nb",
    b"\x1b[2J", b"n" * 255, b"n" * 256, b"n/" * 60 + b"f", b"d/" * 101 + b"f",
    b"n" * 90 + b"/" + b"m" * 90,
    b"relaymd-worker.json", b".relaymd-x", b"*", b"d/..", b"..f", b"...", b"f.", b"%2e%2e/x",
)  # fmt: skip

RECORDS: tuple[bytes, ...] = (
    b"path=../x", b"path=/etc/x", b"path=", b"path=a\0b", b"path=" + b"p/" * 40, b"path=\xff",
    b"path=" + b"p" * 5000, b"linkpath=/etc/passwd", b"linkpath=..", b"size=-1", b"size=1e9",
    b"size=99999999999999999999", b"size=3", b"size=", b"size=\xd9\xa3", b"mtime=nan", b"mtime=inf",
    b"mtime=-1e300", b"mtime=", b"uid=x", b"mode=7777", b"hdrcharset=BINARY", b"hdrcharset=x",
    b"GNU.sparse.major=1", b"GNU.sparse.minor=0", b"GNU.sparse.realsize=99999999999",
    b"GNU.sparse.size=99999", b"GNU.sparse.numblocks=3", b"GNU.sparse.offset=-5",
    b"GNU.sparse.map=0,1,500,-9", b"GNU.sparse.map=x", b"GNU.sparse.name=../../x", b"x=y", b"=",
)  # fmt: skip


class Lie(NamedTuple):
    """What a header says."""

    name: bytes = b"f"
    kind: bytes = b"0"
    link: bytes = b""
    size: int = 0
    mode: int = 0o644
    mtime: int = 1
    prefix: bytes = b""
    magic: bytes = b"ustar\x0000"


def header(lie: Lie, rng: Random) -> bytes:
    head = b"".join((
        lie.name[:100].ljust(100, b"\0"),
        number(lie.mode, 8),
        number(0, 8),
        number(0, 8),
        number(lie.size, 12),
        number(lie.mtime, 12),
        b" " * 8,
        lie.kind,
        lie.link[:100].ljust(100, b"\0"),
        lie.magic,
        b"root".ljust(32, b"\0") * 2,
        number(1, 8) + number(3, 8),
        lie.prefix[:155].ljust(155, b"\0"),
    )).ljust(BLOCK, b"\0")  # fmt: skip
    total = sum(head) + (rng.random() < 0.02)
    return head[:148] + b"%06o\0 " % total + head[156:]


def number(value: int, width: int) -> bytes:
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    rest: int = value % 256 ** (width - 1)
    return (b"\x80" if value >= 0 else b"\xff") + rest.to_bytes(width - 1, "big")


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def member(rng: Random, name: bytes, data: bytes = b"x", **said: Any) -> bytes:
    lie = Lie(name=name, size=len(data))._replace(**said)
    return header(lie, rng) + padded(data)


def long(rng: Random, name: bytes, kind: bytes = b"L") -> bytes:
    return member(rng, b"././@LongLink", name + b"\0", kind=kind)


def extended(rng: Random, kind: bytes, *records: bytes) -> bytes:
    """PAX records, with lengths that are right or not."""
    data = b""
    for record in records:
        length = len(record) + 3
        length += len(str(length)) - 1
        told = rng.choice((length,) * 8 + (0, 1, length + 7, 10**9, -3))
        data += b"%d %s\n" % (told, record)
    return member(rng, b"pax", data, kind=kind)


def any_member(rng: Random) -> bytes:
    data = rng.choice((b"", b"x", b"y" * 600))
    said = Lie(
        name=rng.choice(NAMES),
        kind=bytes([rng.choice(KINDS)]) if rng.random() < 0.5 else b"0",
        link=rng.choice((b"", *NAMES)),
        size=len(data) if rng.random() < 0.8 else rng.choice(SIZES),
        mode=rng.choice(MODES),
        mtime=rng.choice(TIMES),
        prefix=rng.choice((b"",) * 9 + (b"..", b"/", b"d/" * 77)),
        magic=rng.choice((b"ustar\x0000",) * 3 + (b"ustar  \0", bytes(8))),
    )
    return header(said, rng) + padded(data)


def tricks(rng: Random, outside: bytes) -> Sequence[Callable[[], bytes]]:
    """outside: a folder beside the target; nothing in it may change."""
    up = b"../" * rng.randrange(1, 9)
    name = rng.choice(NAMES)
    link, hard = b"2", b"1"
    victim = outside + b"/victim"
    relative = b"../../outside"

    def made(*parts: bytes) -> bytes:
        return b"".join(parts)

    return (
        lambda: any_member(rng),
        lambda: made(*(any_member(rng) for _ in range(5))),
        lambda: member(rng, victim),
        lambda: member(rng, up + b"outside/victim"),
        lambda: made(member(rng, b"l", b"", kind=link, link=outside), member(rng, b"l/victim")),
        lambda: made(member(rng, b"l", b"", kind=link, link=relative), member(rng, b"l/new")),
        lambda: made(member(rng, b"l/victim"), member(rng, b"l", b"", kind=link, link=outside)),
        lambda: made(
            member(rng, b"d/up", b"", kind=link, link=b".."),
            member(rng, b"d/out", b"", kind=link, link=b"up/../../outside/victim"),
        ),
        lambda: made(
            member(rng, b"s", b"", kind=link, link=victim), member(rng, b"s", b"changed")
        ),
        lambda: made(
            member(rng, b"s", b"", kind=link, link=victim),
            member(rng, b"h", b"", kind=hard, link=b"s"),
            member(rng, b"h", b"changed"),
        ),
        lambda: member(rng, b"h", b"", kind=hard, link=rng.choice((victim, relative, name))),
        lambda: made(*(member(rng, b"h%d" % n, b"", kind=hard, link=b"d/f") for n in range(30))),
        lambda: member(rng, b"s", b"", kind=link, link=rng.choice((b"", b"s", b"./s", b"s/s"))),
        lambda: made(
            member(rng, b"p", b"", kind=link, link=b"q"),
            member(rng, b"q", b"", kind=link, link=b"p"),
        ),
        lambda: member(rng, b"dev", b"", kind=rng.choice((b"3", b"4", b"6"))),
        lambda: member(rng, name, b"", kind=b"5", mode=rng.choice(MODES)),
        lambda: member(rng, b"su", mode=0o7777),
        lambda: made(member(rng, name), member(rng, name)),
        lambda: made(member(rng, b"Case"), member(rng, b"case"), member(rng, b"CASE")),
        lambda: made(*(member(rng, b"m%d" % n, b"") for n in range(rng.choice((60, 150, 300))))),
        lambda: made(*(member(rng, b"%d/" % n * 60 + b"f", b"") for n in range(9))),
        lambda: member(rng, b"zeros", bytes(rng.choice((300_000, 5 << 20)))),
        lambda: member(rng, b"short", b"x" * 700, size=rng.choice(SIZES)),
        lambda: made(long(rng, rng.choice((name, b"n" * 9000, victim, b""))), member(rng, b"f")),
        lambda: made(long(rng, outside, b"K"), member(rng, b"k", b"", kind=link)),
        lambda: made(*(long(rng, b"x") for _ in range(rng.choice((3, 300))))),
        lambda: made(
            extended(rng, rng.choice((b"x", b"g", b"X")), *rng.choices(RECORDS, k=3)),
            any_member(rng) if rng.random() < 0.5 else member(rng, b"d/p", b"z" * 1024),
        ),
        lambda: member(rng, b"sparse", rng.randbytes(1024), kind=b"S", magic=b"ustar  \0"),
        lambda: rng.randbytes(BLOCK * rng.randrange(1, 4)),
        lambda: bytes(BLOCK * rng.randrange(1, 4)),
    )  # fmt: skip


def tarred(rng: Random, outside: bytes) -> bytes:
    """A good archive with tricks before, in and behind it."""
    parts = [
        member(rng, b"./relaymd-worker.json", b'{"command": "true"}'),
        member(rng, b"d", b"", kind=b"5", mode=0o755),
        member(rng, b"d/f", b"data" * 200),
    ]
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        trick = rng.choice(tricks(rng, outside))
        parts.insert(rng.randrange(len(parts) + 1), trick())
    return b"".join(parts) + rng.choice((END,) * 8 + (b"", bytes(BLOCK), END + b"more" * 200))


def forged(rng: Random, outside: bytes) -> bytes:
    """One whole file, compressed in one of the ways that there are."""
    raw = tarred(rng, outside)
    if rng.random() < 0.1:
        raw = spoiled(rng, raw)
    data = gzip.compress(raw, compresslevel=rng.choice((0, 1, 6)), mtime=0)
    match rng.randrange(16):
        case 0:
            return data[: rng.randrange(len(data))]
        case 1:
            return spoiled(rng, data)
        case 2:
            half = rng.randrange(len(raw))
            return gzip.compress(raw[:half], 1, mtime=0) + gzip.compress(raw[half:], 1, mtime=0)
        case 3:
            behind = (bytes(99), b"\x1f\x8b", b"junk", data, gzip.compress(END * 9))
            return data + rng.choice(behind)
        case 4:
            other = (raw, zlib.compress(raw), gzip.compress(data), b"PK\x03\x04" + data)
            return rng.choice(other)
        case 5:
            return data[:-8] + rng.choice((bytes(8), b"\xff" * 8, data[-8:-4] + bytes(4)))
        case 6:  # an extra field, a name and a comment, some of which never end
            flags = rng.choice((0x04, 0x08, 0x10, 0x1E, 0xE0))
            extra = rng.choice((b"\x02\0ab", b"\xff\xff", b"name\0", b"name"))
            return data[:3] + bytes([flags]) + data[4:10] + extra + data[10:]
        case _:
            return data
