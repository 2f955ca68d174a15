import errno
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from relaymd.storage import folder
from relaymd.storage.folder import INCOMING, FolderStore, explained
from relaymd.storage.store import (
    MissingObjectError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
)


async def listed(store: FolderStore, prefix: str = "") -> list[str]:
    return [info.key async for info in store.list(prefix)]


async def test_what_is_put_is_there_whole_and_leaves_nothing_beside_it(
    store: FolderStore, store_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"of a file")
    await store.put("a/b/bytes", b"bytes")
    await store.put_file("a/b/file", tmp_path / "file")
    await store.get_file("a/b/file", tmp_path / "back")
    assert await store.get("a/b/bytes") == b"bytes"
    assert (tmp_path / "back").read_bytes() == b"of a file"
    assert not [*(store_root / INCOMING).iterdir()]
    assert {path.name for path in tmp_path.iterdir()} == {"file", "back", "store"}


async def test_a_second_put_replaces_the_first(store: FolderStore) -> None:
    for data in (b"longer one", b"two"):
        await store.put("latest", data)
    assert await store.get("latest") == b"two"


async def test_objects_are_listed_in_the_order_of_their_keys(store: FolderStore) -> None:
    keys = ["a", "j/a", "j/a-b", "j/a/c", "j/ab", "j/.hidden"]
    for key in reversed(keys[1:]):
        if key != "j/a":
            await store.put(key, b"1")
    expected = sorted(set(keys[1:]) - {"j/a"})
    assert await listed(store) == expected
    assert await listed(store, "j/a") == [key for key in expected if key.startswith("j/a")]
    assert await listed(store, "j/a/") == ["j/a/c"]
    assert await listed(store, "nothing") == []


async def test_a_missing_object_is_missing(store: FolderStore, tmp_path: Path) -> None:
    await store.put("folder/object", b"")
    for key in ("absent", "folder/absent", "folder", "folder/object/below"):
        assert await store.head(key) is None
        with pytest.raises(MissingObjectError):
            await store.get(key)
        with pytest.raises(MissingObjectError):
            await store.get_file(key, tmp_path / "file")
    found = await store.head("folder/object")
    assert found is not None
    assert found.size == 0


async def test_deleting_twice_is_deleting_once(store: FolderStore) -> None:
    await store.put("k", b"")
    for _ in range(2):
        await store.delete(["k", "never-was"])
    assert await store.head("k") is None


@pytest.mark.parametrize("root", ["absent", "emptied"])
async def test_an_unmounted_store_is_out_of_reach_and_not_empty(
    root: str, store: FolderStore, store_root: Path, tmp_path: Path
) -> None:
    await store.put("k", b"data")
    store_root.rename(tmp_path / "elsewhere")
    if root == "emptied":
        store_root.mkdir()
    calls = (store.get("k"), store.head("k"), store.put("k", b""), listed(store))
    for call in (*calls, store.delete(["k"]), store.get_file("k", tmp_path / "k")):
        with pytest.raises(StorageUnreachableError, match="is it mounted"):
            await call
    assert store_root.exists() is (root == "emptied")
    assert not [*store_root.rglob("*")]


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "a/../../b", "..", "a//b", "a/", "./a", "a\0b", ".relaymd-store"]
)
async def test_a_key_cannot_leave_the_store(key: str, store: FolderStore) -> None:
    for call in (store.get(key), store.put(key, b""), store.head(key), store.delete([key])):
        with pytest.raises(StorageDeniedError):
            await call


async def test_a_key_whose_place_is_taken_is_denied(store: FolderStore) -> None:
    await store.put("a", b"")
    await store.put("b/c", b"")
    for key in ("a/below", "b"):
        with pytest.raises(StorageDeniedError, match="its place is taken"):
            await store.put(key, b"")
    with pytest.raises(StorageDeniedError, match="too long"):
        await store.put("n" * 300, b"")


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, StorageFullError),
        (errno.EDQUOT, StorageFullError),
        (errno.EACCES, StorageDeniedError),
        (errno.EPERM, StorageDeniedError),
        (errno.EROFS, StorageDeniedError),
        (errno.EIO, StorageUnreachableError),
        (errno.ESTALE, StorageUnreachableError),
        (errno.ETIMEDOUT, StorageUnreachableError),
    ],
)
def test_the_file_systems_errors_are_told_apart(number: int, error: type[StorageError]) -> None:
    assert type(explained("k", OSError(number, os.strerror(number)))) is error


async def test_errors_of_the_callers_own_files_are_not_the_stores(
    store: FolderStore, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        await store.put_file("k", tmp_path / "absent")
    assert await store.head("k") is None
    await store.put("k", b"data")
    with pytest.raises(FileNotFoundError):
        await store.get_file("k", tmp_path / "no-folder" / "file")


def in_namespace(script: str, folder: Path) -> str:
    """Run Python where a file system of 1 MB, which it may also make read-only, is mounted."""
    (folder / "mount").mkdir()
    mount = f"mount -t tmpfs -o size=1m none {folder}/mount && exec "
    python = [sys.executable, "-c", textwrap.dedent(script), str(folder / "mount")]
    probe = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*probe, mount + "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system in a namespace")
    done = subprocess.run(
        [*probe, mount + '"$@"', "sh", *python], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


PRELUDE = """
    import asyncio, subprocess, sys
    from pathlib import Path
    from relaymd.storage import folder
    from relaymd.storage.store import StorageError
    root = Path(sys.argv[1]) / "store"
    folder.create(root)
    store = folder.FolderStore(root, asyncio.to_thread)

    async def attempt(data):
        try:
            await store.put("k", data)
        except StorageError as exc:
            print(type(exc).__name__, exc)
"""


def test_a_full_disk_is_full_and_costs_nothing_that_was_stored(tmp_path: Path) -> None:
    said = in_namespace(
        PRELUDE
        + """
    async def main():
        await attempt(b"old")
        await attempt(bytes(2 << 20))
        print(await store.get("k"), [*(root / folder.INCOMING).iterdir()])
        await attempt(b"new")
        print(await store.get("k"))
    asyncio.run(main())
    """,
        tmp_path,
    )
    assert said.splitlines() == [
        "StorageFullError k: No space left on device",
        "b'old' []",
        "b'new'",
    ]


def test_a_read_only_disk_is_denied(tmp_path: Path) -> None:
    said = in_namespace(
        PRELUDE
        + """
    async def main():
        await attempt(b"old")
        subprocess.run(["mount", "-o", "remount,ro", sys.argv[1]], check=True)
        await attempt(b"new")
        print(await store.get("k"))
    asyncio.run(main())
    """,
        tmp_path,
    )
    assert said.splitlines() == ["StorageDeniedError k: Read-only file system", "b'old'"]


def test_creating_a_store_twice_leaves_what_is_in_it(tmp_path: Path) -> None:
    folder.create(tmp_path / "s")
    (tmp_path / "s/k").write_bytes(b"kept")
    folder.create(tmp_path / "s")
    assert (tmp_path / "s/k").read_bytes() == b"kept"


def test_a_store_where_a_file_is_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        folder.create(tmp_path / "file/store")


async def test_what_dead_writers_left_is_removed_and_what_is_being_written_is_not(
    store_root: Path,
) -> None:
    incoming = store_root / folder.INCOMING
    for name, age in (("dead", folder.ABANDONED + 60), ("alive", 60.0)):
        (incoming / name).write_bytes(b"half")
        os.utime(incoming / name, (time.time() - age, time.time() - age))
    folder.create(store_root)
    assert [path.name for path in incoming.iterdir()] == ["alive"]
