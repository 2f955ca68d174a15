import asyncio
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relaymd.core.checkpoint import Checkpoint
from relaymd.storage import folder, keys
from relaymd.storage.folder import FolderStore
from relaymd.storage.generations import load_manifest
from relaymd.storage.manifest import CHUNK_SIZE
from relaymd.storage.patience import Patience
from relaymd.storage.restore import STAGE, fetch_checkpoint, restore, restore_newest
from relaymd.storage.store import (
    DamagedObjectError,
    StorageDeniedError,
    StorageError,
    StorageUnreachableError,
)
from relaymd.storage.stored import Stored
from tests.storage.faulty import Fault, FaultyStore, Kind, Plan
from tests.storage.generation import HURRIED, JOB, in_place, objects, save, tree, write

FIRST = {"a.chk": b"first" * 100, "traj/one.dcd": b"frames", "only-first": b"x"}
SECOND = {"a.chk": b"second" * 90, "traj/one.dcd": b"frames", "traj/two.dcd": b"more", "empty": b""}


@pytest.fixture
async def generations(store: FolderStore, tmp_path: Path) -> list[Checkpoint]:
    first = await save(store, write(tmp_path / "work", FIRST), 1)
    second = await save(store, write(tmp_path / "work", SECOND), 2)
    return [first, second]


def contents(root: Path) -> dict[str, bytes]:
    return {path: data for path, (data, _, _) in tree(root).items()} if root.exists() else {}


async def test_what_is_saved_is_restored_with_content_mode_and_time(
    store: FolderStore, tmp_path: Path
) -> None:
    big = os.urandom(2 * CHUNK_SIZE + 17)
    source = write(tmp_path / "work", {"big": big, ".hidden/é.txt": b"h", "empty": b""})
    (source / "big").chmod(0o640)
    os.utime(source / "big", ns=(1, 1_600_000_000_123_456_789))
    saved = await save(store, source, 1)

    restored = await restore_newest(store, JOB, [saved], tmp_path / "new", patience=HURRIED)

    assert tree(tmp_path / "new") == tree(source)
    assert (restored.generation, restored.notes) == (1, ())
    assert saved.size == len(big) + 1
    assert saved.size - CHUNK_SIZE < saved.uploaded <= saved.size
    assert not (tmp_path / "new" / STAGE).exists()


@settings(max_examples=40, deadline=None)
@given(
    files=st.dictionaries(
        st.text(st.sampled_from("ab.~ é\n\\"), min_size=1, max_size=6).filter(
            lambda name: name.strip(".") != ""
        ),
        st.binary(max_size=50) | st.integers(0, 3 * CHUNK_SIZE).map(lambda n: b"\1" * n),
        max_size=4,
    )
)
def test_any_tree_comes_back_as_it_was(
    files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def round_trip() -> None:
        base = tmp_path_factory.mktemp("any")
        folder.create(base / "store")
        store = FolderStore(base / "store", in_place)
        source = write(base / "work", files)
        source.mkdir(exist_ok=True)
        saved = await save(store, source, 1)
        await fetch_checkpoint(store, JOB, [saved], base / "new", offload=in_place)
        assert tree(base / "new") == tree(source)

    asyncio.run(round_trip())


async def test_restoring_leaves_the_files_of_the_bundle_alone(
    store: FolderStore, generations: list[Checkpoint], tmp_path: Path
) -> None:
    new = write(tmp_path / "new", {"run.py": b"print()", "a.chk": b"of the bundle"})
    await restore_newest(store, JOB, generations, new, patience=HURRIED)
    assert contents(new) == {**SECOND, "run.py": b"print()"}


async def test_files_that_are_there_and_right_do_not_travel_again(
    store: FolderStore, generations: list[Checkpoint], tmp_path: Path
) -> None:
    manifest = await load_manifest(store, JOB, generations[1])
    assert await restore(store, manifest, tmp_path / "new") == generations[1].uploaded
    assert await restore(store, manifest, tmp_path / "new") == 0
    (tmp_path / "new/a.chk").write_bytes(b"spoilt")
    assert await restore(store, manifest, tmp_path / "new") == generations[1].uploaded
    assert contents(tmp_path / "new") == SECOND


async def test_a_broken_off_restore_goes_on_where_it_was(
    store: FolderStore, tmp_path: Path
) -> None:
    files = {"traj": os.urandom(5 * CHUNK_SIZE + 17), "small": b"s"}
    saved = await save(store, write(tmp_path / "work", files), 1)
    manifest = await load_manifest(store, JOB, saved)
    last = manifest.packs[-1].name
    fault = Fault("unreachable", picks=lambda _, key: key.endswith(last))
    faulty = FaultyStore(store, Plan(faults=(fault,)))
    with pytest.raises(StorageUnreachableError):
        await restore(faulty, manifest, tmp_path / "new", memory=1, offload=in_place)
    assert contents(tmp_path / "new") == {}  # nothing is in its place before all is there
    fetched = [key for _, key in faulty.plan.calls if not key.endswith(last)]
    assert fetched
    faulty.plan = Plan()
    await restore(faulty, manifest, tmp_path / "new")
    assert contents(tmp_path / "new") == files
    again = [key for _, key in faulty.plan.calls]
    assert not {*again} & {*fetched}
    assert {*again} | {*fetched} == objects(manifest)


async def test_what_waits_damaged_since_a_broken_off_restore_is_fetched_again(
    store: FolderStore, tmp_path: Path
) -> None:
    files = {"traj": os.urandom(2 * CHUNK_SIZE)}
    saved = await save(store, write(tmp_path / "work", files), 1)
    manifest = await load_manifest(store, JOB, saved)
    stage = tmp_path / "new" / STAGE
    stage.mkdir(parents=True)
    half = files["traj"][:CHUNK_SIZE] + b"\0" * 100
    (stage / "1-1-0").write_bytes(half)
    assert await restore(store, manifest, tmp_path / "new") == CHUNK_SIZE
    assert contents(tmp_path / "new") == files


async def test_a_damaged_generation_falls_back_to_the_one_before_and_leaves_no_trace(
    store: FolderStore, store_root: Path, generations: list[Checkpoint], tmp_path: Path
) -> None:
    manifest = await load_manifest(store, JOB, generations[1])
    (damaged,) = objects(manifest)
    place = store_root / damaged
    place.write_bytes(place.read_bytes()[:-1] + b"!")

    restored = await restore_newest(store, JOB, generations, tmp_path / "new", patience=HURRIED)

    assert restored.generation == 1
    assert contents(tmp_path / "new") == FIRST
    assert damaged in restored.notes[0]
    assert "generation 2 is damaged" in restored.notes[0]


def spoil_nothing(path: Path) -> None:
    path.unlink()


def spoil_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_bit(path: Path) -> None:
    data = bytearray(path.read_bytes() or b"\0")
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def spoil_more(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def spoil_empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [spoil_nothing, spoil_half, spoil_bit, spoil_more, spoil_empty])
async def test_whatever_object_is_damaged_the_newest_whole_generation_comes_back_or_none(
    spoil: Callable[[Path], None], store_root: Path, tmp_path: Path
) -> None:
    store = FolderStore(store_root, in_place)
    versions = [
        {"a.chk": b"state %d" % n, "shared": b"same", f"frame{n}": b"frame %d" % n, "log": b"l" * n}
        for n in range(1, 7)
    ]
    stored = Stored()
    saved = [
        await save(store, write(tmp_path / "work", files), n, stored)
        for n, files in enumerate(versions, 1)
    ]
    needed = [{c.manifest, *objects(await load_manifest(store, JOB, c))} for c in saved]
    assert len(set[str]().union(*needed)) == 2 * len(saved)
    for key in sorted(set[str]().union(*needed)):
        place = store_root / key
        whole = place.read_bytes()
        spoil(place)
        root = tmp_path / "new" / key.replace("/", "_")
        expected = max((n for n, names in enumerate(needed) if key not in names), default=None)
        if expected is None:
            with pytest.raises(DamagedObjectError, match="no generation is whole"):
                await restore_newest(store, JOB, saved, root, patience=HURRIED, offload=in_place)
            assert contents(root) == {}
        else:
            restored = await restore_newest(
                store, JOB, saved, root, patience=HURRIED, offload=in_place
            )
            assert restored.generation == expected + 1
            assert contents(root) == versions[expected]
            assert len(restored.notes) == len(saved) - 1 - expected
        place.write_bytes(whole)


async def test_when_all_are_damaged_nothing_is_started_from_zero(
    store: FolderStore, store_root: Path, generations: list[Checkpoint], tmp_path: Path
) -> None:
    for checkpoint in generations:
        (store_root / checkpoint.manifest).write_bytes(b"{}")
    with pytest.raises(DamagedObjectError, match=r"generation 2 .* generation 1 "):
        await restore_newest(store, JOB, generations, tmp_path / "new", patience=HURRIED)


def is_about(wanted: str, operation: str, key: str) -> bool:
    return key == wanted


@pytest.mark.parametrize(
    ("kind", "error"), [("unreachable", StorageUnreachableError), ("denied", StorageDeniedError)]
)
async def test_a_store_that_cannot_be_read_is_neither_empty_nor_a_reason_to_go_back(
    kind: Kind,
    error: type[Exception],
    store: FolderStore,
    generations: list[Checkpoint],
    tmp_path: Path,
) -> None:
    newest = generations[1]
    manifest = await load_manifest(store, JOB, newest)
    for key in sorted({newest.manifest, *objects(manifest)}):
        fault = Fault(kind, picks=partial(is_about, key))
        faulty = FaultyStore(store, Plan(faults=(fault,)))
        with pytest.raises(error):
            await restore_newest(faulty, JOB, generations, tmp_path / "new", patience=HURRIED)
        assert generations[0].manifest not in {key for _, key in faulty.plan.calls}
        assert contents(tmp_path / "new") == {}
        # What was fetched before the fault waits there, and would not be asked for again.
        shutil.rmtree(tmp_path / "new", ignore_errors=True)


async def test_an_unmounted_store_is_out_of_reach_and_not_a_damaged_generation(
    store: FolderStore, store_root: Path, generations: list[Checkpoint], tmp_path: Path
) -> None:
    store_root.rename(tmp_path / "elsewhere")
    store_root.mkdir()  # what is left of a mount: an empty folder
    with pytest.raises(StorageUnreachableError, match="mounted"):
        await restore_newest(store, JOB, generations, tmp_path / "new", patience=HURRIED)


async def test_a_store_that_comes_back_in_time_costs_no_generation(
    store: FolderStore, generations: list[Checkpoint], tmp_path: Path
) -> None:
    faulty = FaultyStore(store, Plan(rate=0.4, seed=7))
    heard: list[StorageUnreachableError] = []
    restored = await restore_newest(
        faulty,
        JOB,
        generations,
        tmp_path / "new",
        patience=Patience(within=20.0, jitter=lambda: 0.5, first=0.001, longest=0.01),
        heard=heard.append,
    )
    assert restored.generation == 2
    assert restored.notes == ()
    assert heard
    assert contents(tmp_path / "new") == SECOND


async def whole(store: FolderStore, checkpoint: Checkpoint) -> bool:
    """Look at every object of a generation by itself."""
    try:
        manifest = await load_manifest(store, JOB, checkpoint)
        for pack in manifest.packs:
            data = await store.get(keys.pack(JOB, pack.epoch, pack.round, pack.name))
            if len(data) != pack.size:
                return False
    except StorageError:
        return False
    return True


@pytest.mark.parametrize("seed", range(25))
async def test_whatever_fails_while_saving_the_newest_whole_generation_comes_back(
    seed: int, store_root: Path, tmp_path: Path
) -> None:
    """Some puts fail, are done unnoticed, or leave half an object where a whole one was."""
    plan = Plan(rate=0.15, kinds=("unreachable", "unreachable after", "full", "torn"), seed=seed)
    sound = FolderStore(store_root, in_place)
    committed: list[Checkpoint] = []
    versions: dict[int, dict[str, bytes]] = {}
    for n in range(1, 13):
        versions[n] = {"a.chk": b"%d" % n, "shared": b"same", f"only{n % 3}": b"x" * (n % 3)}
        source = write(tmp_path / "work", versions[n])
        with suppress(StorageError):
            committed.append(await save(FaultyStore(sound, plan), source, n))
    good = [checkpoint for checkpoint in committed if await whole(sound, checkpoint)]
    root = tmp_path / "new"
    if not good:
        with pytest.raises((DamagedObjectError, ValueError)):
            await restore_newest(sound, JOB, committed, root, patience=HURRIED, offload=in_place)
        return
    restored = await restore_newest(sound, JOB, committed, root, patience=HURRIED, offload=in_place)
    assert restored.generation == good[-1].generation
    assert contents(root) == versions[restored.generation]


@pytest.mark.parametrize("seed", range(25))
async def test_whatever_fails_while_restoring_no_committed_generation_is_passed_over(
    seed: int, store_root: Path, tmp_path: Path
) -> None:
    sound = FolderStore(store_root, in_place)
    committed = [
        await save(sound, write(tmp_path / "work", {"a": b"%d" % n, "b": b"b", "c": b"c%d" % n}), n)
        for n in range(1, 4)
    ]
    plan = Plan(rate=0.2, kinds=("unreachable", "unreachable after", "denied"), seed=seed)
    faulty = FaultyStore(sound, plan)
    for _ in range(20):
        with suppress(StorageUnreachableError, StorageDeniedError):
            restored = await restore_newest(
                faulty, JOB, committed, tmp_path / "new", patience=HURRIED, offload=in_place
            )
            assert restored.generation == 3
        assert contents(tmp_path / "new") in ({}, {"a": b"3", "b": b"b", "c": b"c3"})
