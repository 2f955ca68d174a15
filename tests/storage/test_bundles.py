import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from relaymd.core.job import Bundle
from relaymd.core.specification import Specification
from relaymd.storage.bundles import InvalidBundleError, Limits, digest_of, fetch, pack
from relaymd.storage.folder import FolderStore
from relaymd.storage.store import DamagedObjectError
from relaymd.storage.unpacking import unpack

GIVEN = Specification(command="python run.py", checkpoint_watch_paths=("*.chk",))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "input").mkdir(parents=True)
    (folder / "relaymd-worker.json").write_text('{"command": "./run.sh"}')
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "input/.hidden é").write_text("data")
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("input/.hidden é")
    return folder


def test_what_is_packed_is_unpacked_with_modes_links_and_empty_folders(
    source: Path, tmp_path: Path
) -> None:
    packed = pack(source, tmp_path / "a.tar.gz")
    unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    out = tmp_path / "out"
    assert packed.specification.command == "./run.sh"
    assert (out / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (out / "empty").is_dir()
    assert os.readlink(out / "link") == "input/.hidden é"
    assert (out / "link").read_text() == "data"
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "a.tar.gz", "out"}


def test_the_same_folder_gives_the_same_digest(source: Path, tmp_path: Path) -> None:
    first = pack(source, tmp_path / "a.tar.gz")
    for path in source.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    second = pack(source, tmp_path / "other-name.tar.gz")
    assert (first.digest, first.size) == (second.digest, second.size)
    (source / "run.sh").write_text("#!/bin/bash\n")
    assert pack(source, tmp_path / "c.tar.gz").digest != first.digest


def test_a_given_specification_takes_the_place_of_the_one_in_the_folder(
    source: Path, tmp_path: Path
) -> None:
    (source / "relaymd-worker.yaml").write_text("nonsense: [")
    packed = pack(source, tmp_path / "a.tar.gz", GIVEN)
    unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert packed.specification == GIVEN
    assert "python run.py" in (tmp_path / "out/relaymd-worker.json").read_text()
    assert not (tmp_path / "out/relaymd-worker.yaml").exists()
    assert "./run.sh" in (source / "relaymd-worker.json").read_text()


def test_git_and_python_caches_are_left_out(source: Path, tmp_path: Path) -> None:
    for name in (".git", "input/__pycache__"):
        (source / name).mkdir()
        (source / name / "x").touch()
    pack(source, tmp_path / "a.tar.gz")
    unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name == "x"]


def missing(folder: Path) -> None:
    os.rename(folder, folder.with_name("moved"))


def a_file(folder: Path) -> None:
    missing(folder)
    folder.touch()


def empty(folder: Path) -> None:
    missing(folder)
    (folder / "sub").mkdir(parents=True)


def no_specification(folder: Path) -> None:
    (folder / "relaymd-worker.json").unlink()


def two_specifications(folder: Path) -> None:
    (folder / "relaymd-worker.toml").write_text('command = "x"')


def unknown_key(folder: Path) -> None:
    (folder / "relaymd-worker.json").write_text('{"comand": "x"}')


def pattern_outside(folder: Path) -> None:
    (folder / "relaymd-worker.json").write_text('{"command": "x", "outputs": ["../*"]}')


def link_outside(folder: Path) -> None:
    (folder / "input/out").symlink_to("../../elsewhere")


def absolute_link(folder: Path) -> None:
    (folder / "input/out").symlink_to(folder / "run.sh")


def link_by_way_of_a_link(folder: Path) -> None:
    (folder / "input/up").symlink_to("..")
    (folder / "input/out").symlink_to("up/../../x")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "input/pipe")


def unix_socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(folder)
        server.bind("socket")
        os.chdir(here)


def too_deep(folder: Path) -> None:
    (folder / ("d/" * 101)).mkdir(parents=True)


def not_utf8(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).touch()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (missing, "does not exist"),
        (a_file, "is not a folder"),
        (empty, "is empty"),
        (no_specification, "has no specification: write relaymd-worker.json"),
        (two_specifications, "several specifications: relaymd-worker.json, relaymd-worker.toml"),
        (unknown_key, "did you mean 'command'?"),
        (pattern_outside, "leaves the bundle's folder"),
        (link_outside, "the link input/out leaves the folder"),
        (absolute_link, "the link input/out leaves the folder"),
        (link_by_way_of_a_link, "the link input/out leaves the folder"),
        (pipe, "input/pipe is a device, a socket or a pipe"),
        (unix_socket, "socket is a device, a socket or a pipe"),
        (not_utf8, "is not UTF-8"),
        (too_deep, "nests folders more than 100 deep"),
    ],
)
def test_what_is_no_bundle_is_refused_in_one_sentence(
    spoil: Callable[[Path], None], words: str, source: Path, tmp_path: Path
) -> None:
    spoil(source)
    with pytest.raises(InvalidBundleError) as caught:
        pack(source, tmp_path / "a.tar.gz")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def common_place() -> Generator[Path]:
    """A folder for everybody; those of pytest are for their owner alone."""
    with tempfile.TemporaryDirectory(prefix="relaymd-test-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def test_a_file_that_cannot_be_read_is_refused(source: Path, common_place: Path) -> None:
    source = Path(shutil.copytree(source, common_place / "bundle", symlinks=True))
    (source / "run.sh").chmod(0o000)
    script = (
        "import os, sys; from pathlib import Path; from relaymd.storage import bundles\n"
        "if os.getuid() == 0: os.setuid(65534)  # root may read everything\n"
        "try: bundles.pack(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except bundles.InvalidBundleError as exc: print(exc)"
    )
    command = [sys.executable, "-c", script, str(source), str(common_place / "a")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("run.sh cannot be read: Permission denied\n", "")


@pytest.mark.parametrize("name", ["input/already-packed", "run.sh", "appears"])
def test_a_file_that_changes_while_it_is_packed_is_refused(
    name: str, source: Path, tmp_path: Path
) -> None:
    """A pipe as the target holds the packing in the middle, where the file is changed."""
    (source / "input/already-packed").write_bytes(b"before")
    (source / "input/large").write_bytes(os.urandom(4 << 20))
    os.mkfifo(tmp_path / "target")
    script = (
        "import sys; from pathlib import Path; from relaymd.storage import bundles\n"
        "try: bundles.pack(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except bundles.InvalidBundleError as exc: print(exc)"
    )
    command = [sys.executable, "-c", script, str(source), str(tmp_path / "target")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as packing:
        with open(tmp_path / "target", "rb") as reader:
            reader.read(1000)
            (source / name).write_bytes(b"behind")
            while reader.read(1 << 20):
                pass
        try:
            said = packing.communicate(timeout=20)[0]
        finally:
            packing.kill()  # who does not notice goes on to read the archive from the pipe
    assert said == f"{name} changed while the folder was packed; try again\n"


def test_more_than_a_worker_would_unpack_is_refused_before_it_is_uploaded(
    source: Path, tmp_path: Path
) -> None:
    (source / "zeros").write_bytes(bytes(3 << 20))
    for limits, words in (
        (Limits(members=3), "more than 3 files"),
        (Limits(size=1 << 20), "more than 1048576 bytes"),
        (Limits(ratio_from=1 << 20), "more than 200 times its size"),
    ):
        with pytest.raises(InvalidBundleError, match=words):
            pack(source, tmp_path / "a.tar.gz", limits=limits)


async def test_a_fetched_archive_is_the_one_that_was_submitted(
    store: FolderStore, source: Path, tmp_path: Path
) -> None:
    packed = pack(source, tmp_path / "a.tar.gz")
    bundle = Bundle(key="jobs/j/input/bundle.tar.gz", digest=packed.digest, size=packed.size)
    await store.put_file(bundle.key, packed.path)
    await fetch(store, bundle, tmp_path / "fetched", asyncio.to_thread)
    assert digest_of(tmp_path / "fetched") == packed.digest
    await store.put(bundle.key, b"something else")
    with pytest.raises(DamagedObjectError):
        await fetch(store, bundle, tmp_path / "fetched", asyncio.to_thread)
