"""A manifest or an index that a stranger wrote, restored: only below the target, or refused."""

import asyncio
import os
import shutil
from pathlib import Path
from random import Random

import pytest

from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import Epoch, Generation, JobId, UnixTime
from relaymd.storage import folder as folders
from relaymd.storage import keys
from relaymd.storage.folder import FolderStore
from relaymd.storage.generations import load_manifest
from relaymd.storage.manifest import digest
from relaymd.storage.restore import STAGE, restore
from relaymd.storage.store import DamagedObjectError, StorageDeniedError
from relaymd.storage.trees import fetch_tree
from tests.hostile.decoders import in_place
from tests.hostile.payloads import CASES, Json, check_sentence, generator, written
from tests.storage.test_unpacking import tree_of

pytestmark = pytest.mark.hostile

JOB = JobId("j-0")
CONTENT = b"content"
CHUNK = [digest(CONTENT), len(CONTENT)]
PATHS = (
    "a", "a", "b/c", "b/c/d", "a/x", "/etc/x", "../x", "b/../../x", ".", "", "./a", "a//b", "l/x",
    STAGE, f"{STAGE}/1-1-0", "n" * 300, "d/" * 2000 + "f", "a\0b", "\ud800", "\n", "e", "f", "g",
)  # fmt: skip
NUMBERS = (0, 1, 7, 0o644, 0o6777, -1, 2**31, 2**63 - 1, 2**63, 2**64, 10**30, 1.5, None)


def entry(rng: Random, path: str) -> dict[str, Json]:
    good: dict[str, Json] = {
        "path": path,
        "size": 7,
        "mode": 0o644,
        "mtime_ns": 1,
        "chunks": [CHUNK],
    }
    if rng.random() < 0.5:
        good[rng.choice(["size", "mode", "mtime_ns"])] = rng.choice(NUMBERS)
    if rng.random() < 0.1:
        good["chunks"] = rng.choice([[], [CHUNK, CHUNK], [["0" * 64, 7]], [[CHUNK[0], -7]]])
        good["size"] = rng.choice([0, 7, 14])
    return {**good, "digest": CHUNK[0]}


def entries(rng: Random) -> list[Json]:
    return [entry(rng, path) for path in rng.sample(PATHS, rng.choice((1, 1, 2, 4)))]


def place(folder: Path) -> tuple[FolderStore, dict[str, bytes | str]]:
    """A store beside what must not change."""
    folders.create(folder / "store")
    store = FolderStore(folder / "store", in_place)
    for key in (keys.chunk(JOB, str(CHUNK[0])), "tree/a", "tree/b/c", "tree/e", "tree/l/x"):
        asyncio.run(store.put(key, CONTENT))
    (folder / "outside").mkdir()
    (folder / "outside/x").write_bytes(b"mine")
    return store, tree_of(folder / "outside")


async def test_no_manifest_writes_outside_the_target_or_raises_what_is_not_declared(
    tmp_path: Path,
) -> None:
    store, before = await asyncio.to_thread(place, tmp_path)
    rng = generator("restore")
    restored = 0
    for number in range(CASES):
        target = tmp_path / f"target-{number}"
        target.mkdir()
        (target / "l").symlink_to(tmp_path / "outside")
        good = {"job": JOB, "generation": 1, "epoch": 1, "at": 0.0, "files": entries(rng)}
        data = written(rng, good)
        (tmp_path / "store" / "m").write_bytes(data)
        committed = Checkpoint(
            generation=Generation(1),
            epoch=Epoch(1),
            manifest="m",
            digest=digest(data),
            at=UnixTime(0.0),
        )
        try:
            manifest = await load_manifest(store, JOB, committed)
            await restore(store, manifest, target, offload=in_place)
            restored += 1
        except (DamagedObjectError, StorageDeniedError) as exc:
            check_sentence(str(exc))
        except BaseException as exc:
            exc.add_note(repr(data)[:900])
            raise
        assert not (target / STAGE).exists()
        shutil.rmtree(target)
    assert tree_of(tmp_path / "outside") == before
    assert restored > CASES / 20


async def test_no_index_writes_outside_the_target_or_raises_what_is_not_declared(
    tmp_path: Path,
) -> None:
    store, before = await asyncio.to_thread(place, tmp_path)
    rng = generator("fetch")
    fetched = 0
    for number in range(CASES):
        target = tmp_path / f"target-{number}"
        data = written(rng, {"files": entries(rng)})
        (tmp_path / "store" / "tree.json").write_bytes(data)
        try:
            await fetch_tree(store, "tree/", target, offload=in_place)
            fetched += 1
        except (DamagedObjectError, StorageDeniedError) as exc:
            check_sentence(str(exc))
        except BaseException as exc:
            exc.add_note(repr(data)[:900])
            raise
        for root, _, names in os.walk(target):
            assert all((Path(root) / name).stat().st_mode & 0o7000 == 0 for name in names)
        shutil.rmtree(target, ignore_errors=True)
    assert tree_of(tmp_path / "outside") == before
    assert fetched > CASES / 20
