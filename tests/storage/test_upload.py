import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relaymd.core.ids import Epoch
from relaymd.storage import folder, keys
from relaymd.storage.folder import FolderStore
from relaymd.storage.manifest import CHUNK_SIZE, FileEntry, Pack, digest
from relaymd.storage.packing import grown
from relaymd.storage.reading import sources_of
from relaymd.storage.sending import Spill
from relaymd.storage.store import StorageFullError, StorageUnreachableError, Store
from relaymd.storage.stored import Stored
from relaymd.storage.upload import Read, UploadResult, upload
from tests.storage.faulty import Fault, FaultyStore, Kind, Plan
from tests.storage.generation import JOB, in_place, send, write


async def fetched(store: Store, packs: tuple[Pack, ...]) -> dict[str, bytes]:
    """All chunks by digest."""
    found: dict[str, bytes] = {}
    for pack in packs:
        data = await store.get(keys.pack(JOB, pack.epoch, pack.round, pack.name))
        for member in pack.members:
            found[member.digest] = grown(data[: member.stored], member)
            data = data[member.stored :]
        assert not data
    return found


async def back(store: Store, result: UploadResult, stored: Stored) -> dict[str, bytes]:
    chunks = await fetched(store, stored.packs_of(result.files))
    return {file.path: b"".join(chunks[c.digest] for c in file.chunks) for file in result.files}


async def test_files_identical_after_a_resume_do_not_travel_again(
    store: FolderStore, tmp_path: Path
) -> None:
    root = write(tmp_path / "job", {"a": os.urandom(5_000_000), "b": b"bb"})
    stored = Stored()
    first = await send(store, root, ["a", "b"], stored=stored)
    for name in ("a", "b"):
        os.utime(root / name, (1, 1))  # a restored file is younger, and the same
    faulty = FaultyStore(store)
    second = await send(faulty, root, ["a", "b"], stored=stored, before=first.files)
    assert (first.uploaded, second.uploaded) == (5_000_002, 0)
    assert faulty.plan.calls == []
    assert [file.chunks for file in first.files] == [file.chunks for file in second.files]


async def test_of_files_that_grew_only_what_is_new_travels(
    store: FolderStore, tmp_path: Path
) -> None:
    files = {f"traj{n}": os.urandom(2 * CHUNK_SIZE + n) for n in range(3)}
    root = write(tmp_path / "job", files)
    stored = Stored()
    first = await send(store, root, [*files], stored=stored)
    files = {name: data + b"frame %d" % len(data) for name, data in files.items()}
    faulty = FaultyStore(store)
    second = await send(faulty, write(root, files), [*files], stored=stored, before=first.files)
    assert second.uploaded == sum(len(b"frame %d" % (2 * CHUNK_SIZE + n)) for n in range(3))
    assert len(faulty.plan.calls) == 1
    assert await back(store, second, stored) == files


async def test_a_file_that_grows_a_hundred_times_is_not_made_of_a_hundred_pieces(
    store: FolderStore, tmp_path: Path
) -> None:
    content = os.urandom(CHUNK_SIZE - 50)
    stored = Stored()
    root = write(tmp_path / "job", {"log": content})
    result = await send(store, root, ["log"], stored=stored)
    travelled = result.uploaded
    for n in range(100):
        content += b"%d\n" % n
        write(root, {"log": content})
        result = await send(store, root, ["log"], stored=stored, before=result.files)
        travelled += result.uploaded
    assert len(result.files[0].chunks) <= 34
    assert travelled <= 5 * CHUNK_SIZE
    assert await back(store, result, stored) == {"log": content}


async def test_what_was_uploaded_but_never_committed_is_not_relied_on(
    store: FolderStore, tmp_path: Path
) -> None:
    """A zombie, or a torn upload, may have left anything under the chunk's name."""
    root = write(tmp_path / "job", {"a": b"content"})
    key = keys.pack(JOB, Epoch(1), 0, digest(b"content"))
    await store.put(key, b"torn")
    await send(store, root, ["a"])
    assert await store.get(key) == b"content"


async def test_two_leases_never_write_the_same_object(store: FolderStore, tmp_path: Path) -> None:
    root = write(tmp_path / "job", {"a": b"content", "big": os.urandom(CHUNK_SIZE)})
    for epoch in (1, 2):
        await send(store, root, ["a", "big"], epoch=epoch)
    every = [info.key async for info in store.list(keys.job(JOB))]
    assert len(every) == 4


async def test_chunks_that_occur_twice_travel_once(store: FolderStore, tmp_path: Path) -> None:
    same = os.urandom(CHUNK_SIZE)
    root = write(tmp_path / "job", {"a": same + same, "b": same, "empty": b""})
    result = await send(store, root, ["a", "b", "empty"])
    assert result.uploaded == CHUNK_SIZE
    assert result.files[2].chunks == ()


async def test_thousands_of_small_files_are_all_stored_in_few_requests(
    store: FolderStore, tmp_path: Path
) -> None:
    files = {f"d{n % 7}/f{n:04d}": os.urandom(n % 3000) for n in range(3000)}
    root = write(tmp_path / "job", files)
    stored, faulty = Stored(), FaultyStore(store)
    result = await send(faulty, root, [*files], stored=stored)
    assert len(faulty.plan.calls) <= 3
    assert await back(store, result, stored) == files


async def test_what_can_be_compressed_is_and_what_cannot_is_stored_as_it_is(
    store: FolderStore, tmp_path: Path
) -> None:
    """By a sample, not by a name: a `.log` may hold anything."""
    text = b"".join(b"%d: energy %d\n" % (n, n * 7919 % 10007) for n in range(200_000))
    files = {"text": text, "random.log": os.urandom(2 * CHUNK_SIZE)}
    root = write(tmp_path / "job", files)
    stored = Stored()
    alone = await send(store, root, ["random.log"], stored=stored)
    assert alone.uploaded == 2 * CHUNK_SIZE
    result = await send(store, root, [*files], stored=stored)
    assert 0 < result.uploaded < len(text) / 2
    assert await back(store, result, stored) == files


@pytest.mark.parametrize("room", [0, 3 * CHUNK_SIZE, 100 * CHUNK_SIZE])
async def test_what_waits_for_a_slow_store_is_bounded_in_memory_and_on_disk(
    room: int, store: FolderStore, tmp_path: Path
) -> None:
    spill = tmp_path / "spill"
    spill.mkdir()
    read = asyncio.Event()
    on_disk: list[int] = []
    flying = most = 0

    class Slow(FaultyStore):
        """Takes its first objects only when nothing more is read."""

        async def put(self, key: str, data: bytes) -> None:
            nonlocal flying, most
            flying += 1
            most = max(most, flying)
            if room > 50 * CHUNK_SIZE:
                await read.wait()
            on_disk.append(sum(path.stat().st_size for path in spill.iterdir()))
            await super().put(key, data)
            flying -= 1

    async def settled(found: Read) -> None:
        read.set()

    files = {"big": os.urandom(24 * CHUNK_SIZE)}
    root = write(tmp_path / "job", files)
    stored = Stored()
    result = await upload(
        Slow(store),
        JOB,
        Epoch(1),
        sources_of(root, ["big"]),
        stored=stored,
        settled=settled,
        memory=16 * CHUNK_SIZE,
        spill=Spill(spill, room),
        offload=in_place,
    )
    assert most <= 4
    assert max(on_disk) <= room
    assert (max(on_disk) > 0) == (room > 0)
    assert list(spill.iterdir()) == []
    assert await back(store, result, stored) == files


async def test_what_a_failed_upload_stored_does_not_travel_again(
    store: FolderStore, tmp_path: Path
) -> None:
    root = write(tmp_path / "job", {"a": os.urandom(10 * CHUNK_SIZE)})
    stored = Stored()
    faulty = FaultyStore(store, Plan(faults=(Fault("full", call=5),)))
    with pytest.raises(StorageFullError):
        await send(faulty, root, ["a"], stored=stored, memory=1, offload=in_place)
    result = await send(store, root, ["a"], stored=stored)
    assert result.uploaded < 10 * CHUNK_SIZE
    assert await back(store, result, stored) == {"a": (root / "a").read_bytes()}


@pytest.mark.parametrize("kind", ["unreachable", "unreachable after", "full", "torn"])
async def test_an_upload_that_fails_in_part_fails(
    kind: Kind, store: FolderStore, tmp_path: Path
) -> None:
    files = {f"f{n}": os.urandom(1024 * 1024 + n) for n in range(8)}
    root = write(tmp_path / "job", files)
    for call in range(8):
        plan = Plan(faults=(Fault(kind, call=call),))
        with pytest.raises(StorageFullError if kind == "full" else StorageUnreachableError):
            await send(FaultyStore(store, plan), root, [*files], offload=in_place)
    stored = Stored()
    result = await send(store, root, [*files], stored=stored, offload=in_place)
    assert await back(store, result, stored) == files


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3 * CHUNK_SIZE), min_size=1, max_size=4),
    seed=st.integers(0, 255),
)
def test_chunks_cover_a_file_exactly_however_it_grew_or_shrank(
    sizes: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("chunks")
    folder.create(base / "store")
    store = FolderStore(base / "store", in_place)

    async def round_trips() -> None:
        stored = Stored()
        before: tuple[FileEntry, ...] = ()
        for size in sizes:
            data = bytes([seed]) * size
            root = write(base / "job", {"f": data})
            result = await send(store, root, ["f"], stored=stored, before=before, offload=in_place)
            before = result.files
            assert await back(store, result, stored) == {"f": data}

    asyncio.run(round_trips())
