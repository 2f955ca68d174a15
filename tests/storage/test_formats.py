"""What earlier releases stored comes back: the bytes below are theirs and never change."""

from pathlib import Path

import pytest

from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import Epoch, Generation, UnixTime
from relaymd.storage.folder import FolderStore
from relaymd.storage.generations import load_manifest, put_manifest
from relaymd.storage.manifest import Manifest, digest
from relaymd.storage.packing import Shrinker
from relaymd.storage.restore import restore_newest
from relaymd.storage.stored import Stored
from tests.storage.generation import HURRIED, JOB, send, tree

FIRST = "22896bcbc3d1c76a0b90c4c3523dbea532ad63196fafdbd52cced52200d3dae4"
SECOND = "0f8834affad034fa048c1265e2643cc42722a734c4f898ac66aa6936431d2379"
PACK = "23ad2a48e1f0a27af12766536c635fad9bb53bcd17243bf17f23339e5265c322"
FRAME = b"(\xb5/\xfd ?m\x00\x008second \x01\x00\xd5Y\x8c"
BODY = (
    b'"job":"j-test","generation":3,"epoch":2,"at":10.0,"files":[{"path":"a.chk","size":68,'
    b'"mode":420,"mtime_ns":1600000000123456789,"chunks":[["%s",5],["%s",63]]}]'
) % (FIRST.encode(), SECOND.encode())
CHUNKS = "jobs/j-test/checkpoints/chunks"

STORED: dict[int, tuple[bytes, dict[str, bytes]]] = {
    1: (
        b"{" + BODY + b"}",
        {
            f"{CHUNKS}/22/{FIRST}": b"first",
            f"{CHUNKS}/0f/{SECOND}": b"second " * 9,
        },
    ),
    2: (
        b'{"format":2,'
        + BODY
        + b',"packs":[[2,1,[["%s",5,5],["%s",63,22]]]]}' % (FIRST.encode(), SECOND.encode()),
        {f"jobs/j-test/checkpoints/packs/000002-000001/{PACK}": b"first" + FRAME},
    ),
}
"""The manifest, and the objects it needs by their keys."""


async def committed(store: FolderStore, format: int) -> Checkpoint:
    manifest, objects = STORED[format]
    key = "jobs/j-test/checkpoints/manifests/00000003-000002-0123456789abcdef.json"
    for name, data in {**objects, key: manifest}.items():
        await store.put(name, data)
    return Checkpoint(
        generation=Generation(3),
        epoch=Epoch(2),
        manifest=key,
        digest=digest(manifest),
        at=UnixTime(10.0),
    )


@pytest.mark.parametrize("format", [1, 2])
async def test_a_generation_of_every_format_comes_back(
    format: int, store: FolderStore, tmp_path: Path
) -> None:
    checkpoint = await committed(store, format)
    await restore_newest(store, JOB, [checkpoint], tmp_path / "new", patience=HURRIED)
    expected = (b"first" + b"second " * 9, 0o644, 1600000000123456789)
    assert tree(tmp_path / "new") == {"a.chk": expected}


@pytest.mark.parametrize("format", [1, 2])
async def test_what_a_release_stored_is_taken_over_into_new_generations(
    format: int, store: FolderStore, tmp_path: Path
) -> None:
    root = tmp_path / "new"
    checkpoint = await committed(store, format)
    restored = await restore_newest(store, JOB, [checkpoint], root, patience=HURRIED)
    with (root / "a.chk").open("ab") as file:
        file.write(b"third")
    stored = Stored.of(restored.manifest)
    before = restored.manifest.files
    result = await send(store, root, ["a.chk"], stored=stored, before=before, epoch=3)
    assert result.uploaded == 5
    grown = Manifest(
        job=JOB,
        generation=Generation(4),
        epoch=Epoch(3),
        at=UnixTime(11.0),
        files=result.files,
        packs=stored.packs_of(result.files),
    )
    again = await put_manifest(store, grown)
    await restore_newest(store, JOB, [again], tmp_path / "again", patience=HURRIED)
    assert tree(tmp_path / "again") == tree(root)


async def test_this_release_writes_the_newest_format_and_says_so(store: FolderStore) -> None:
    """Else an earlier one would take what it does not understand for damage."""
    manifest = await load_manifest(store, JOB, await committed(store, 2))
    checkpoint = await put_manifest(store, manifest)
    assert await store.get(checkpoint.manifest) == STORED[2][0]


def test_the_frames_are_those_of_the_golden_bytes() -> None:
    assert Shrinker().shrunk(b"second " * 9) == FRAME
