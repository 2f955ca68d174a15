"""What a transfer takes of memory, whatever the size of what is transferred."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1024 * 1024

PROGRAM = """
import asyncio, json, resource, sys
from pathlib import Path
from relaymd.core.ids import Epoch, Generation, JobId, UnixTime
from relaymd.storage.generations import put_manifest
from relaymd.storage.manifest import CHUNK_SIZE, Manifest
from relaymd.storage.reading import sources_of
from relaymd.storage.restore import fetch_checkpoint
from relaymd.storage.sending import Spill
from relaymd.storage.stored import Stored
from relaymd.storage.upload import upload

root, memory, step = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
JOB = JobId("j")

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

class Slow:
    '''Keeps what it is given, but for the content of the big chunks: those it makes anew.'''
    def __init__(self):
        self.objects = {}
        self.sent = 0
    async def put(self, key, data):
        await asyncio.sleep(0.002)
        self.sent += len(data)
        if len(data) < CHUNK_SIZE or key.endswith(".json"):
            self.objects[key] = data
            return
        assert data.count(0) >= len(data) - 16
        at = data.find(b"piece")
        self.objects[key] = data[at:at + 16]
    async def get(self, key):
        await asyncio.sleep(0.002)
        data = self.objects[key]
        if data[:5] != b"piece":
            return data
        whole = bytearray(CHUNK_SIZE)
        whole[:16] = data
        return bytes(whole)

async def main():
    from relaymd.storage.packing import Shrinker
    Shrinker.shrunk = lambda self, data: data  # as if nothing could be made smaller
    store, stored = Slow(), Stored()
    before = peak()
    sources = sources_of(root, ["big"])
    (root / "spill").mkdir()
    sent = await upload(store, JOB, Epoch(1), sources, stored=stored, memory=memory,
                        spill=Spill(root / "spill", 64 * CHUNK_SIZE))
    after_upload = peak()
    manifest = Manifest(job=JOB, generation=Generation(1), epoch=Epoch(1), at=UnixTime(1.0),
                        files=sent.files, packs=stored.packs_of(sent.files))
    checkpoint = await put_manifest(store, manifest)
    if step == "both":
        await fetch_checkpoint(store, JOB, [checkpoint], root / "new", memory=memory)
    print(json.dumps([store.sent, after_upload - before, peak() - before]))

asyncio.run(main())
"""


def sparse(path: Path, size: int) -> None:
    """A file of so many bytes, no two chunks of which are the same, on little disk."""
    with path.open("wb") as file:
        for offset in range(0, size, 4 * MIB):
            file.seek(offset)
            file.write(b"piece %010d" % (offset // MIB))
        file.truncate(size)


def peaks(root: Path, size: int, memory: int, step: str = "both") -> list[int]:
    """Bytes sent; peak of memory beyond the bare program's, after the upload and at the end."""
    root.mkdir()
    sparse(root / "big", size)
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root), str(memory), step],
        check=True,
        capture_output=True,
        text=True,
    )
    found: list[int] = json.loads(said.stdout)
    assert found[0] >= size
    return found


@pytest.mark.parametrize("memory", [64 * MIB, 256 * MIB])
def test_a_working_set_far_larger_than_the_bound_stays_within_it(
    memory: int, tmp_path: Path
) -> None:
    _, upload, both = peaks(tmp_path / "job", 768 * MIB, memory)
    assert upload <= memory
    assert both <= memory


@pytest.mark.system
def test_a_working_set_of_a_hundred_gigabytes_stays_within_the_default(tmp_path: Path) -> None:
    _, upload, _ = peaks(tmp_path / "job", 100 * 1000 * MIB, 256 * MIB, "upload")
    assert upload <= 256 * MIB
