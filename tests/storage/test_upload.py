import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relaymd.storage import folder, keys
from relaymd.storage.folder import FolderStore
from relaymd.storage.manifest import CHUNK_SIZE, digest
from relaymd.storage.store import StorageFullError, StorageUnreachableError
from relaymd.storage.upload import chunks_of, upload
from tests.storage.faulty import Fault, FaultyStore, Kind, Plan
from tests.storage.generation import JOB, in_place, write


async def stored(store: FolderStore) -> set[str]:
    return {info.key.rpartition("/")[2] async for info in store.list(keys.job(JOB))}


async def test_files_identical_after_a_resume_do_not_travel_again(
    store: FolderStore, tmp_path: Path
) -> None:
    root = write(tmp_path / "job", {"a": os.urandom(5_000_000), "b": b"bb"})
    first = await upload(store, JOB, root, ["a", "b"])
    for name in ("a", "b"):
        os.utime(root / name, (1, 1))  # a restored file is younger, and the same
    faulty = FaultyStore(store)
    second = await upload(faulty, JOB, root, ["a", "b"], known=chunks_of(first.files))
    assert (first.uploaded, second.uploaded) == (5_000_002, 0)
    assert faulty.plan.calls == []
    assert [file.chunks for file in first.files] == [file.chunks for file in second.files]


async def test_of_a_file_that_grew_only_what_is_new_travels(
    store: FolderStore, tmp_path: Path
) -> None:
    begin = os.urandom(2 * CHUNK_SIZE)
    root = write(tmp_path / "job", {"traj": begin})
    first = await upload(store, JOB, root, ["traj"])
    write(root, {"traj": begin + b"frame"})
    second = await upload(store, JOB, root, ["traj"], known=chunks_of(first.files))
    assert second.uploaded == 5
    assert second.size == 2 * CHUNK_SIZE + 5


async def test_what_was_uploaded_but_never_committed_is_not_relied_on(
    store: FolderStore, tmp_path: Path
) -> None:
    """A zombie, or a torn upload, may have left anything under the chunk's name."""
    root = write(tmp_path / "job", {"a": b"content"})
    key = keys.chunk(JOB, digest(b"content"))
    await store.put(key, b"torn")
    await upload(store, JOB, root, ["a"])
    assert await store.get(key) == b"content"


async def test_reused_entries_are_not_read(store: FolderStore, tmp_path: Path) -> None:
    root = write(tmp_path / "job", {"a": b"a", "b": b"b"})
    first = await upload(store, JOB, root, ["a", "b"])
    (root / "a").unlink()
    known = chunks_of(first.files)
    reuse = {"a": first.files[0]}
    second = await upload(store, JOB, root, ["a", "b"], reuse=reuse, known=known)
    assert second.files == first.files
    with pytest.raises(ValueError, match="not known"):
        await upload(store, JOB, root, ["b"], reuse=reuse)


async def test_chunks_that_occur_twice_travel_once(store: FolderStore, tmp_path: Path) -> None:
    same = os.urandom(CHUNK_SIZE)
    root = write(tmp_path / "job", {"a": same + same, "b": same, "empty": b""})
    result = await upload(store, JOB, root, ["a", "b", "empty"])
    assert result.uploaded == CHUNK_SIZE
    assert result.size == 3 * CHUNK_SIZE
    assert result.files[2].chunks == ()


async def test_a_thousand_files_are_all_stored(store: FolderStore, tmp_path: Path) -> None:
    names = {f"f{n:04d}": b"%d" % n for n in range(1000)}
    root = write(tmp_path / "job", names)
    result = await upload(FolderStore(tmp_path / "store", in_place), JOB, root, [*names])
    assert [file.path for file in result.files] == [*names]
    assert await stored(store) == {digest(data) for data in names.values()}


async def test_memory_in_flight_is_bounded(store: FolderStore, tmp_path: Path) -> None:
    flying = most = 0

    class Slow(FaultyStore):
        async def put(self, key: str, data: bytes) -> None:
            nonlocal flying, most
            flying += 1
            most = max(most, flying)
            for _ in range(5):
                await asyncio.sleep(0)
            await super().put(key, data)
            flying -= 1

    names = {f"f{n}": b"%d" % n for n in range(200)}
    await upload(Slow(store), JOB, write(tmp_path / "job", names), [*names], offload=in_place)
    assert 4 <= most <= 16


@pytest.mark.parametrize("kind", ["unreachable", "unreachable after", "full", "torn"])
async def test_an_upload_that_fails_in_part_fails(
    kind: Kind, store: FolderStore, tmp_path: Path
) -> None:
    names = {f"f{n}": b"%d" % n for n in range(20)}
    root = write(tmp_path / "job", names)
    for call in range(20):
        plan = Plan(faults=(Fault(kind, call=call),))
        with pytest.raises(StorageFullError if kind == "full" else StorageUnreachableError):
            await upload(FaultyStore(store, plan), JOB, root, [*names], offload=in_place)
    result = await upload(store, JOB, root, [*names], offload=in_place)
    for file in result.files:
        assert await store.get(keys.chunk(JOB, file.chunks[0].digest)) == names[file.path]


@settings(max_examples=40, deadline=None)
@given(size=st.integers(0, 3 * CHUNK_SIZE), seed=st.integers(0, 255))
def test_chunks_cover_a_file_exactly(
    size: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("chunks")
    folder.create(base / "store")
    data = bytes([seed]) * size
    root = write(base / "job", {"f": data})
    store = FolderStore(base / "store", in_place)

    async def back() -> bytes:
        result = await upload(store, JOB, root, ["f"], offload=in_place)
        (file,) = result.files
        assert all(chunk.size == CHUNK_SIZE for chunk in file.chunks[:-1])
        pieces = [await store.get(keys.chunk(JOB, chunk.digest)) for chunk in file.chunks]
        return b"".join(pieces)

    assert asyncio.run(back()) == data
