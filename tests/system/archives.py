"""Archives that no `relaymd submit` would make, and what each tries."""

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

SPECIFICATION = b'{"command": "true"}'
Fill = Callable[[tarfile.TarFile], None]


def archive(fill: Fill) -> bytes:
    """A bundle that is good but for what `fill` adds."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        add_file(tar, "./relaymd-worker.json", SPECIFICATION)
        fill(tar)
    return raw.getvalue()


def add_file(tar: tarfile.TarFile, name: str, data: bytes = b"x") -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def add_special(tar: tarfile.TarFile, name: str, kind: bytes, link: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.devmajor, member.devminor = kind, link, 1, 3
    tar.addfile(member)


def hostile(victim: Path) -> dict[str, bytes]:
    """By what is wrong with it. victim: a path outside, which none may create or change."""

    def through_a_link(tar: tarfile.TarFile) -> None:
        add_special(tar, "out", tarfile.SYMTYPE, str(victim.parent))
        add_file(tar, f"out/{victim.name}")

    def no_specification(tar: tarfile.TarFile) -> None:
        add_file(tar, "readme")

    bare = io.BytesIO()
    with tarfile.open(fileobj=bare, mode="w:gz") as tar:
        no_specification(tar)
    good = archive(lambda tar: add_file(tar, "data", b"y" * 100_000))
    up = "../" * 12
    return {
        "absolute": archive(lambda tar: add_file(tar, str(victim))),
        "dot-dot": archive(lambda tar: add_file(tar, f"{up}{victim}")),
        "hidden-dot-dot": archive(lambda tar: add_file(tar, f"a/{up}{victim}")),
        "device": archive(lambda tar: add_special(tar, "null", tarfile.CHRTYPE)),
        "pipe": archive(lambda tar: add_special(tar, "pipe", tarfile.FIFOTYPE)),
        "link-out": archive(lambda tar: add_special(tar, "l", tarfile.SYMTYPE, "/etc/passwd")),
        "hard-link-out": archive(lambda tar: add_special(tar, "h", tarfile.LNKTYPE, "../../lock")),
        "write-through-a-link": archive(through_a_link),
        "bomb": archive(lambda tar: add_file(tar, "zeros", bytes(100_000_000))),
        "cut": good[: len(good) // 2],
        "no-archive": b"#!/bin/sh\necho no archive\n",
        "gzip-of-noise": gzip.compress(bytes(range(256)) * 40),
        "no-specification": bare.getvalue(),
        "bad-specification": _specified(b'{"command": ["a", 1]}'),
    }


def _specified(data: bytes) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        add_file(tar, "./relaymd-worker.json", data)
    return raw.getvalue()
