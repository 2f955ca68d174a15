"""How fast checkpoints go into a store and come back, beside the tools that people use for it.

One working set: files of random bytes, as trajectories are, in a folder. Ours is what a worker
does in a cycle, without its report; the peers are their own programs with their defaults:
`rclone copy`, `aws s3 cp`, `restic backup`. Everything runs on this machine, the S3 server too,
so that only ratios within one run say anything. Peers that are not installed are said to be.
"""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from benchmarks.checkpoint import peers
from benchmarks.checkpoint.ours import Ours
from benchmarks.checkpoint.server import serving
from benchmarks.checkpoint.table import Figure, Row, judged, printed
from relaymd import process
from relaymd.config import StorageConfig, StorageKind
from relaymd.storage.open import open_store, prepare_store

MIB = 1024 * 1024
SMALL_FILES = 10_000


class Backend(msgspec.Struct, frozen=True):
    name: str
    config: StorageConfig
    root: Path
    """Where peers may keep what they store in folders."""


def write_files(folder: Path, size: int, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        with (folder / f"traj{number}.xtc").open("wb") as file:
            append(file.fileno(), size // count)


def append(handle: int, size: int) -> None:
    while size > 0:
        size -= os.write(handle, os.urandom(min(size, 4 * MIB)))


def grow(folder: Path, share: float) -> int:
    """Append this share to every file; the bytes that came."""
    total = 0
    for path in sorted(folder.iterdir()):
        more = int(path.stat().st_size * share)
        with path.open("ab") as file:
            append(file.fileno(), more)
        total += more
    return total


def write_small(folder: Path) -> None:
    for number in range(SMALL_FILES):
        place = folder / f"replica{number % 100:02d}" / f"f{number}.dat"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(os.urandom(200))


@asynccontextmanager
async def backends(scratch: Path, wanted: set[str]) -> AsyncGenerator[list[Backend]]:
    found: list[Backend] = []
    if "folder" in wanted:
        config = StorageConfig(kind=StorageKind.FOLDER, path=str(scratch / "folder" / "store"))
        found.append(Backend("folder", prepare_store(config, scratch), scratch / "folder"))
    with serving(scratch / "s3", "s3" in wanted) as served:
        if served is not None:
            found.append(Backend("s3", served, scratch / "s3"))
        yield found


async def timed(figure: Figure, work: object) -> None:
    """Await the work, after what was written before has reached the disk."""
    await asyncio.to_thread(os.sync)
    begin = time.perf_counter()
    await work  # type: ignore[misc]
    figure.seconds.append(time.perf_counter() - begin)


async def measure(backend: Backend, scratch: Path, size: int, rounds: int) -> list[Row]:
    first, again, back = Row("first upload"), Row("1 % appended"), Row("restore")
    for turn in range(rounds):
        place = scratch / f"{backend.name}-{turn}"
        work = place / "work"
        write_files(work, size, 8)
        present = peers.present(backend.name, backend.config, backend.root / f"peers{turn}")
        async with open_store(backend.config, scratch) as store:
            ours = Ours(store, f"bench-{turn}", work, place)
            await timed(first.of("relaymd"), ours.cycle())
            for peer in present:
                await peer.prepare()
                await timed(first.of(peer.name), peer.upload(work))
            for peer in present:
                if peer.restores:
                    await timed(back.of(peer.name), peer.download(place / peer.name))
                    await asyncio.to_thread(shutil.rmtree, place / peer.name)
            await timed(back.of("relaymd"), ours.restore(place / "back"))
            await asyncio.to_thread(shutil.rmtree, place / "back")
            grow(work, 0.01)
            await timed(again.of("relaymd"), ours.cycle())
            again.of("relaymd").moved = ours.moved
            again.bytes = size
            for peer in present:
                await timed(again.of(peer.name), peer.upload(work))
        await asyncio.to_thread(shutil.rmtree, place)
        await asyncio.to_thread(shutil.rmtree, backend.root / f"peers{turn}", ignore_errors=True)
    first.bytes = back.bytes = size
    return [first, again, back, await small(backend, scratch)]


async def small(backend: Backend, scratch: Path) -> Row:
    """A cycle over many small files of which none has changed."""
    row, place = Row(f"{SMALL_FILES} small files, unchanged"), scratch / "small"
    write_small(place / "work")
    async with open_store(backend.config, scratch) as store:
        ours = Ours(store, "bench-small", place / "work", place)
        await timed(row.of("relaymd, the first time"), ours.cycle())
        for _ in range(3):
            await timed(row.of("relaymd"), ours.cycle())
    await asyncio.to_thread(shutil.rmtree, place)
    return row


async def bench(size: int, rounds: int, wanted: set[str], scratch: Path, file: Path | None) -> bool:
    print(f"{size // MIB} MiB in 8 files, {rounds} rounds, best of each; {os.cpu_count()} cores")
    for name in peers.absent():
        print(f"{name} is not installed, and is left out")
    results: dict[str, list[Row]] = {}
    async with backends(scratch, wanted) as found:
        for name in sorted(wanted - {backend.name for backend in found}):
            print(f"{name} is left out: versitygw is not installed; `make tools` installs it")
        for backend in found:
            results[backend.name] = await measure(backend, scratch, size, rounds)
            printed(backend.name, results[backend.name])
    targets = {name: judged(rows) for name, rows in results.items()}
    for name, sentences in targets.items():
        for sentence, met in sentences:
            print(f"{name}: {sentence}: {'yes' if met else 'NO'}")
    if file is not None:
        document = {"size": size, "results": results, "targets": targets}
        await asyncio.to_thread(file.write_bytes, msgspec.json.encode(document))
    return all(met for sentences in targets.values() for _, met in sentences)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-checkpoint", description=__doc__)
    parser.add_argument("--size", type=int, default=2048, help="MiB of the working set")
    parser.add_argument("--rounds", type=int, default=3, help="each on fresh files")
    parser.add_argument("--backends", nargs="+", default=["folder", "s3"])
    parser.add_argument("--json", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--scratch", type=Path, help="a folder with room for six working sets")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relaymd-bench-", dir=asked.scratch) as folder:
        wanted = {*asked.backends}
        work = bench(asked.size * MIB, asked.rounds, wanted, Path(folder), asked.json)
        return 0 if process.run(work) else 1


if __name__ == "__main__":
    sys.exit(main())
