import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relaymd.storage.bundles import InvalidBundleError, Limits
from relaymd.storage.unpacking import unpack
from tests.hostile.payloads import CASES

SMALL = Limits(size=1 << 20, members=100, ratio=50.0, ratio_from=1 << 16)

Member = tuple[tarfile.TarInfo, bytes]


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", data: bytes = b"x") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    return info, data


def archive(*members: Member) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if info.size else None)
    return raw.getvalue()


def tree_of(folder: Path) -> dict[str, bytes | str]:
    """All that lies in a folder: what files hold, where links lead."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = path.read_bytes() if path.is_file() else "not a file"
    return found


def link(name: str, target: str) -> Member:
    return entry(name, tarfile.SYMTYPE, target)


def hard(name: str, target: str) -> Member:
    return entry(name, tarfile.LNKTYPE, target)


def directory(name: str) -> Member:
    return entry(name, tarfile.DIRTYPE)


def attempt(data: bytes, folder: Path, limits: Limits = SMALL) -> Path:
    (folder / "a.tar.gz").write_bytes(data)
    unpack(folder / "a.tar.gz", folder / "jail" / "out", limits)
    return folder / "jail" / "out"


TRICKS = {
    "absolute path": archive(entry("/etc/evil")),
    "parent path": archive(entry("../evil")),
    "parent path within": archive(entry("a/../../evil")),
    "absolute folder": archive(directory("/evil")),
    "absolute link": archive(link("l", "/etc/passwd")),
    "link outside": archive(link("l", "../../evil")),
    "link outside by way of a link": archive(
        directory("d"), link("d/up", ".."), link("d/out", "up/../../x")
    ),
    "write through a link": archive(link("l", "/tmp"), entry("l/evil")),
    "write through a link inside": archive(directory("d"), link("l", "d"), entry("l/evil")),
    "file that becomes a link": archive(entry("f"), link("f", "/etc/passwd")),
    "link that becomes a file": archive(link("f", "/etc/passwd"), entry("f")),
    "folder that becomes a link": archive(entry("d/f"), link("d", "..")),
    "the same name twice": archive(entry("f"), entry("./f")),
    "file that becomes a folder": archive(entry("f"), entry("f/below")),
    "hard link outside": archive(hard("h", "../../etc/passwd")),
    "absolute hard link": archive(hard("h", "/etc/passwd")),
    "hard link to a link": archive(link("l", "/etc/passwd"), hard("h", "l")),
    "hard link to nothing": archive(hard("h", "later"), entry("later")),
    "character device": archive(entry("dev", tarfile.CHRTYPE)),
    "block device": archive(entry("dev", tarfile.BLKTYPE)),
    "link to itself": archive(link("l", "l")),
    "empty link": archive(link("l", "")),
    "folders that only paths name": archive(*(entry(f"{n}/" * 60 + "f") for n in range(3))),
    "sparse file": archive(entry("f", tarfile.GNUTYPE_SPARSE)),
    "pipe": archive(entry("pipe", tarfile.FIFOTYPE)),
    "root as a file": archive(entry(".")),
    "root as a link": archive(link(".", "/tmp")),
    "long name": archive(entry("n" * 300)),
    "deep path": archive(entry("d/" * 3000 + "f")),
    "too many": archive(*(entry(f"f{n}", data=b"") for n in range(101))),
    "too large": archive(*(entry(f"f{n}", data=os.urandom(1 << 17)) for n in range(9))),
    "bomb": archive(entry("zeros", data=bytes(1 << 19))),
    "bomb behind the end": gzip.compress(
        gzip.decompress(archive(entry("f"))) + bytes(20 << 20), mtime=0
    ),
    "no gzip": b"not an archive" * 100,
    "empty file": b"",
    "gzip of nothing": gzip.compress(b""),
    "gzip of noise": gzip.compress(os.urandom(4096)),
    "tar without gzip": gzip.decompress(archive(entry("f"))),
    "cut off": archive(entry("f", data=os.urandom(9000)))[:-200],
    "cut off in a file": gzip.compress(
        gzip.decompress(archive(entry("f", data=os.urandom(9000))))[:4000]
    ),
    "cut off between files": gzip.compress(gzip.decompress(archive(entry("f"), entry("g")))[:1024]),
    "cut off in a header": gzip.compress(gzip.decompress(archive(entry("f"), entry("g")))[:1200]),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_every_known_trick_is_refused_and_leaves_nothing(trick: str, tmp_path: Path) -> None:
    (tmp_path / "jail").mkdir()
    with pytest.raises(InvalidBundleError):
        attempt(TRICKS[trick], tmp_path)
    assert not [*(tmp_path / "jail").iterdir()]
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar.gz", "jail"}


def test_a_header_of_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    data = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 16))
    with pytest.raises(InvalidBundleError, match="header"):
        attempt(data, tmp_path)


def test_a_chain_of_headers_does_not_exhaust_the_stack(tmp_path: Path) -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 512
    data = gzip.compress((info.tobuf(tarfile.USTAR_FORMAT) + b"10 path=x\n".ljust(512)) * 3000)
    with pytest.raises(InvalidBundleError):
        attempt(data, tmp_path, Limits())


def test_links_that_stay_inside_are_made(tmp_path: Path) -> None:
    data = archive(
        link("first", "d/f"), entry("d/f", data=b"data"), hard("h", "d/f"), link("d/up", "../d")
    )
    out = attempt(data, tmp_path)
    assert [(out / name).read_bytes() for name in ("first", "h", "d/up/f")] == [b"data"] * 3


def test_no_file_comes_with_more_rights_than_its_owners(tmp_path: Path) -> None:
    info, data = entry("f")
    info.mode = 0o6777
    out = attempt(archive((info, data)), tmp_path)
    assert (out / "f").stat().st_mode & 0o7777 == 0o777


def test_a_target_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "jail/out").mkdir(parents=True)
    (tmp_path / "jail/out/mine").touch()
    with pytest.raises(OSError, match="not empty"):
        attempt(archive(entry("f")), tmp_path)
    assert [path.name for path in (tmp_path / "jail").rglob("*")] == ["out", "mine"]


SOUND = gzip.decompress(archive(directory("d"), entry("d/f", data=b"d" * 700), link("l", "d/f")))


def overwrite(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]


@settings(
    max_examples=CASES // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(at=st.integers(0, len(SOUND) - 1), piece=st.binary(min_size=1, max_size=12))
@pytest.mark.parametrize("wrap", [gzip.compress, bytes])
def test_no_damage_crashes_or_escapes(
    wrap: Callable[[bytes], bytes], at: int, piece: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "jail").mkdir()
    data = wrap(overwrite(SOUND, at, piece))
    if wrap is bytes:
        data = overwrite(gzip.compress(SOUND, mtime=0), at % 200, piece)
    try:
        attempt(data, folder)
    except InvalidBundleError:
        assert not [*(folder / "jail").iterdir()]
    assert {path.name for path in folder.iterdir()} == {"a.tar.gz", "jail"}
