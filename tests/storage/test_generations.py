import msgspec
import pytest

from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import Epoch, Generation, JobId, UnixTime
from relaymd.storage import keys
from relaymd.storage.folder import FolderStore
from relaymd.storage.generations import is_inside, load_manifest, put_latest, put_manifest
from relaymd.storage.manifest import (
    CHUNK_SIZE,
    FORMAT,
    Chunk,
    FileEntry,
    Manifest,
    Member,
    Pack,
    digest,
)
from relaymd.storage.store import DamagedObjectError, StorageDeniedError, StorageUnreachableError
from tests.storage.faulty import Fault, FaultyStore, Plan
from tests.storage.generation import JOB


def entry(path: str = "a.chk", *sizes: int, size: int | None = None) -> FileEntry:
    chunks = tuple(Chunk(digest(b"%d" % number), number) for number in sizes)
    total = sum(sizes) if size is None else size
    return FileEntry(path=path, size=total, mode=0o644, mtime_ns=1, chunks=chunks)


def manifest(*files: FileEntry, job: JobId = JOB, generation: int = 3) -> Manifest:
    return Manifest(
        job=job,
        generation=Generation(generation),
        epoch=Epoch(2),
        at=UnixTime(10.0),
        files=files,
    )


def packed(*members: Member) -> Manifest:
    return msgspec.structs.replace(manifest(entry("a", 3)), packs=(Pack(Epoch(2), 0, members),))


async def committed(store: FolderStore, data: bytes, generation: int = 3) -> Checkpoint:
    key = keys.manifest(JOB, Generation(generation), Epoch(2), digest(data))
    await store.put(key, data)
    return Checkpoint(
        generation=Generation(generation),
        epoch=Epoch(2),
        manifest=key,
        digest=digest(data),
        at=UnixTime(1.0),
    )


async def test_a_manifest_comes_back_as_it_was(store: FolderStore) -> None:
    whole = manifest(entry("a", 3, 4), entry("b"))
    checkpoint = await put_manifest(store, whole, size=7, uploaded=3)
    loaded = await load_manifest(store, JOB, checkpoint)
    assert loaded == msgspec.structs.replace(whole, format=FORMAT)
    assert (checkpoint.files, checkpoint.size, checkpoint.uploaded) == (2, 7, 3)
    name = f"00000003-000002-{checkpoint.digest[:16]}"
    assert checkpoint.manifest == f"jobs/j-test/checkpoints/manifests/{name}.json"


async def test_an_upload_that_was_given_up_and_lands_late_harms_no_other(
    store: FolderStore,
) -> None:
    given_up, reported = manifest(entry("a", 3)), manifest(entry("a", 3), entry("b"))
    checkpoint = await put_manifest(store, reported)
    await put_manifest(store, given_up)
    assert (await load_manifest(store, JOB, checkpoint)).files == reported.files


async def test_an_upload_that_was_reported_twice_is_the_same_generation(store: FolderStore) -> None:
    assert await put_manifest(store, manifest()) == await put_manifest(store, manifest())


async def test_one_flipped_bit_of_a_manifest_is_damage(store: FolderStore) -> None:
    data = msgspec.json.encode(manifest(entry("a", 3)))
    checkpoint = await committed(store, data)
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1
        await store.put(checkpoint.manifest, bytes(flipped))
        with pytest.raises(DamagedObjectError, match="hash"):
            await load_manifest(store, JOB, checkpoint)


async def test_damage_on_the_way_is_not_damage_in_the_store(store: FolderStore) -> None:
    checkpoint = await put_manifest(store, manifest())
    faulty = FaultyStore(store, Plan(faults=(Fault("torn", call=0),)))
    assert (await load_manifest(faulty, JOB, checkpoint)).files == ()


async def test_a_missing_manifest_is_damage_and_an_unreadable_one_is_not(
    store: FolderStore,
) -> None:
    checkpoint = await put_manifest(store, manifest())
    with pytest.raises(StorageUnreachableError):
        await load_manifest(FaultyStore(store, Plan(rate=1.0)), JOB, checkpoint)
    await store.delete([checkpoint.manifest])
    with pytest.raises(DamagedObjectError, match="not in the store"):
        await load_manifest(store, JOB, checkpoint)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (manifest(job=JobId("j-other")), "it is the manifest of generation 3 of j-other"),
        (manifest(generation=4), "it is the manifest of generation 4"),
        (manifest(entry("../evil")), "leaves the folder"),
        (manifest(entry("/evil")), "leaves the folder"),
        (manifest(entry("a"), entry("a")), "holds a file twice"),
        (manifest(entry("a"), entry("a/b")), "lies within a file"),
        (manifest(entry("a", 3, size=4)), "do not make up the file"),
        (manifest(entry("a", 0)), "do not make up the file"),
        (manifest(entry("a", CHUNK_SIZE + 1)), "do not make up the file"),
        (
            manifest(msgspec.structs.replace(entry("a", 1), chunks=(Chunk("../../x", 1),))),
            "do not make up the file",
        ),
        (packed(), "a pack that cannot be"),
        (packed(Member("../../x", 1, 1)), "a pack that cannot be"),
        (packed(Member(digest(b"3"), 3, 4)), "a pack that cannot be"),
        (packed(Member(digest(b"3"), 3, 0)), "a pack that cannot be"),
        (packed(*[Member(digest(b"3"), CHUNK_SIZE, CHUNK_SIZE)] * 2), "a pack that cannot be"),
        (packed(Member(digest(b"3"), 4, 4)), "has two sizes"),
    ],
)
async def test_a_manifest_that_cannot_be_right_is_damage(
    wrong: Manifest, words: str, store: FolderStore
) -> None:
    checkpoint = await committed(store, msgspec.json.encode(wrong))
    with pytest.raises(DamagedObjectError, match=words):
        await load_manifest(store, JOB, checkpoint)


@pytest.mark.parametrize("data", [b"", b"null", b"{", b"[]", b'{"format": "x"}', b"\xff\xfe"])
async def test_what_is_no_manifest_is_damage(data: bytes, store: FolderStore) -> None:
    with pytest.raises(DamagedObjectError, match="cannot be read"):
        await load_manifest(store, JOB, await committed(store, data))


async def test_the_manifest_of_a_newer_release_is_no_reason_to_go_back(store: FolderStore) -> None:
    checkpoint = await committed(store, b'{"format": 3, "unknown": true}')
    with pytest.raises(StorageDeniedError, match="a newer release wrote it"):
        await load_manifest(store, JOB, checkpoint)


async def test_the_pointer_says_which_generation_is_the_latest(store: FolderStore) -> None:
    checkpoint = await put_manifest(store, manifest())
    await put_latest(store, JOB, checkpoint)
    data = await store.get("jobs/j-test/checkpoints/latest")
    assert msgspec.json.decode(data, type=Checkpoint) == checkpoint


@pytest.mark.parametrize(
    "path", ["", ".", "..", "/a", "a/../b", "a/..", "./a", "a//b", "a/", "a\0b"]
)
def test_paths_that_leave_or_have_another_spelling_are_not_inside(path: str) -> None:
    assert not is_inside(path)


@pytest.mark.parametrize("path", ["a", "a/b", "..a", "a/...", ".hidden/é\n"])
def test_plain_relative_paths_are_inside(path: str) -> None:
    assert is_inside(path)
