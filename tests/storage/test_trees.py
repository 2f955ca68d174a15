import asyncio
from pathlib import Path

import msgspec
import pytest

from relaymd.core.ids import Epoch
from relaymd.storage import keys
from relaymd.storage.folder import FolderStore
from relaymd.storage.store import (
    ChangedFileError,
    DamagedObjectError,
    MissingObjectError,
    StorageUnreachableError,
)
from relaymd.storage.trees import (
    Index,
    IndexEntry,
    fetch_outputs,
    fetch_tree,
    last_failure,
    upload_tree,
)
from tests.storage.faulty import Fault, FaultyStore, Plan
from tests.storage.generation import JOB, write

EPOCH = Epoch(3)
TREE = keys.outputs(JOB, EPOCH)
FILES = {"result.txt": b"42", "traj/a.dcd": b"frames" * 999, "index.json": b"of the user"}


async def test_results_come_back_as_they_were_named(store: FolderStore, tmp_path: Path) -> None:
    root = write(tmp_path / "job", {**FILES, "scratch": b""})
    (root / "result.txt").chmod(0o755)
    index = await upload_tree(store, TREE, root, ["*.txt", "traj", "index.json"])
    assert await fetch_outputs(store, JOB, EPOCH, tmp_path / "out") == index
    assert {file.path: (tmp_path / "out" / file.path).read_bytes() for file in index.files} == FILES
    assert (tmp_path / "out/result.txt").stat().st_mode & 0o777 == 0o755
    assert index.size == sum(map(len, FILES.values()))
    assert await store.get(f"jobs/{JOB}/outputs/000003/traj/a.dcd") == FILES["traj/a.dcd"]


async def test_outputs_failures_and_checkpoints_have_different_keys() -> None:
    places = {TREE, keys.failures(JOB, EPOCH), keys.logs(JOB), keys.latest(JOB), keys.bundle(JOB)}
    kinds = {place.removeprefix(keys.job(JOB)).partition("/")[0] for place in places}
    assert len(kinds) == len(places)


async def test_fetching_again_keeps_what_is_right_and_mends_the_rest(
    store: FolderStore, tmp_path: Path
) -> None:
    await upload_tree(store, TREE, write(tmp_path / "job", FILES), ["**"])
    await fetch_tree(store, TREE, tmp_path / "out")
    (tmp_path / "out/result.txt").write_bytes(b"43")
    faulty = FaultyStore(store)
    await fetch_tree(faulty, TREE, tmp_path / "out")
    assert [key for kind, key in faulty.plan.calls if kind == "get_file"] == [TREE + "result.txt"]
    assert (tmp_path / "out/result.txt").read_bytes() == b"42"


async def test_a_tree_that_was_not_stored_completely_has_no_index(
    store: FolderStore, tmp_path: Path
) -> None:
    root = write(tmp_path / "job", FILES)
    faulty = FaultyStore(store, Plan(faults=(Fault("unreachable", call=2),)))
    with pytest.raises(StorageUnreachableError):
        await upload_tree(faulty, TREE, root, ["**"])
    with pytest.raises(MissingObjectError):
        await fetch_tree(store, TREE, tmp_path / "out")


async def test_a_result_that_is_gone_or_different_is_damage(
    store: FolderStore, tmp_path: Path
) -> None:
    await upload_tree(store, TREE, write(tmp_path / "job", FILES), ["**"])
    await store.put(TREE + "result.txt", b"43")
    with pytest.raises(DamagedObjectError, match=r"result\.txt"):
        await fetch_tree(store, TREE, tmp_path / "out")
    assert not (tmp_path / "out/result.txt").exists()
    await store.delete([TREE + "result.txt"])
    with pytest.raises(DamagedObjectError, match=r"result\.txt"):
        await fetch_tree(store, TREE, tmp_path / "out")


async def test_an_index_cannot_write_outside_the_folder(store: FolderStore, tmp_path: Path) -> None:
    evil = Index(files=(IndexEntry(path="../evil", size=0, digest=""),))
    await store.put(keys.index(TREE), msgspec.json.encode(evil))
    with pytest.raises(DamagedObjectError, match="leaves the folder"):
        await fetch_tree(store, TREE, tmp_path / "out")
    await store.put(keys.index(TREE), b"{")
    with pytest.raises(DamagedObjectError, match="cannot be read"):
        await fetch_tree(store, TREE, tmp_path / "out")


async def test_a_file_that_is_still_being_written_is_told(
    store: FolderStore, tmp_path: Path
) -> None:
    root = write(tmp_path / "job", FILES)

    class Growing(FaultyStore):
        async def put_file(self, key: str, path: Path) -> None:
            await super().put_file(key, path)
            await asyncio.to_thread(path.write_bytes, b"more than before")

    with pytest.raises(ChangedFileError, match=r"result\.txt"):
        await upload_tree(Growing(store), TREE, root, ["result.txt"])


MORE = {"relaymd-stderr.txt": b"last words", "result.txt": b"not this one"}


async def test_contents_that_lie_in_no_file_are_listed_with_the_others(
    store: FolderStore, tmp_path: Path
) -> None:
    tree = keys.failures(JOB, EPOCH)
    root = write(tmp_path / "job", FILES)
    await upload_tree(store, tree, root, ["*.txt"], more=MORE)
    index = await fetch_tree(store, tree, tmp_path / "out")
    assert {file.path: file.size for file in index.files} == {
        "result.txt": 2,
        "relaymd-stderr.txt": 10,
    }
    assert (tmp_path / "out/relaymd-stderr.txt").read_bytes() == b"last words"


async def test_the_last_failure_is_that_of_the_latest_lease_that_left_one(
    store: FolderStore, tmp_path: Path
) -> None:
    assert await last_failure(store, JOB) is None
    root = write(tmp_path / "job", {"000099.json": b"of the user"})
    for epoch in (2, 10, 9):
        await upload_tree(store, keys.failures(JOB, Epoch(epoch)), root, ["**"])
    assert await last_failure(store, JOB) == 10
