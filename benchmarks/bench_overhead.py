"""What a worker costs beside the engine it runs: processor time, memory, and the engine's rate.

Two copies of one OpenMM simulation (a box of water, the CPU platform, one thread) run at the same
time, one below a worker and one by itself, each held to one core; the worker and all it starts
share the core of their engine, as on an allocation of one core. Each round is a window of the
same seconds for both; after it the cores are swapped, so that neither core nor whatever else
runs here favours one of them, and the round in the middle counts. What a step costs the engine
itself, in processor time, stands beside the rate: it depends less on who else computes here.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any

import msgspec

from benchmarks.rows import Aim, Row, Setting, table
from examples.demo.stack import Stack, running

EXAMPLE = Path(__file__).parents[1] / "examples" / "openmm-water"

MOST_CPU = Aim("<=", 1.0)
MOST_MEMORY = Aim("<=", 80.0)
LEAST_RATE = Aim(">=", 0.995)

ENDLESS = {"WATER_STEPS": "1000000000", "OPENMM_CPU_THREADS": "1"}

ROUND = 10.0
"""Seconds between two swaps: short beside what comes and goes on a machine that others use."""

BLOCKS_BETWEEN_CHECKPOINTS = 200
"""Of 50 steps each: about a checkpoint in half a minute, stored as it is announced."""

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Reading(msgspec.Struct, frozen=True):
    """What one engine has done and cost, and its worker, up to a moment."""

    at: float
    step: float
    engine: float
    """Seconds of processor time."""

    overhead: float = 0.0
    """The same, of the worker and its guardians."""


class Subject:
    """One engine, and the processes that are there because of the worker above it."""

    def __init__(self, folder: Path, engine: int, overhead: Iterable[int] = ()) -> None:
        self.folder = folder
        self.engine = engine
        self.overhead = tuple(overhead)

    def pin(self, core: int) -> None:
        for pid in (self.engine, *self.overhead):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {core})

    def read(self) -> Reading:
        return Reading(
            at=time.monotonic(),
            step=_step(self.folder),
            engine=_seconds(self.engine),
            overhead=sum(map(_seconds, self.overhead)),
        )

    def resident(self) -> int:
        """Bytes of the worker itself; a guardian shares all but a few MiB of its own."""
        return max(map(_resident, self.overhead))


def _step(folder: Path) -> float:
    """The last step that the engine wrote down."""
    line = (folder / "energies.csv").read_text().rstrip("\n").rpartition("\n")[2]
    return float(line.partition(",")[0])


def _seconds(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICK


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _engine_below(pid: int) -> int:
    """The process that runs the simulation."""
    for child in _children(pid):
        words = Path(f"/proc/{child}/cmdline").read_bytes()
        if words.endswith(b"\0run.py\0"):
            return child
        if below := _engine_below(child):
            return below
    return 0


def make_bundle(folder: Path) -> Path:
    """The example with rare checkpoints and no end."""
    shutil.copytree(EXAMPLE, folder)
    script = (folder / "run.py").read_text()
    told = script.replace("CHECKPOINT = 250", f"CHECKPOINT = {BLOCKS_BETWEEN_CHECKPOINTS} * BLOCK")
    assert told != script
    (folder / "run.py").write_text(told)
    return folder


@contextmanager
def alone(folder: Path, environment: dict[str, str]) -> Generator[Subject]:
    """The simulation as a person would start it."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "run.py"], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        yield Subject(folder, process.pid)
    finally:
        process.kill()
        process.wait()


async def below_a_worker(stack: Stack, bundle: Path, own: dict[str, str]) -> Subject:
    """The same simulation as a job. own: the engine's variables."""
    words = [word for name, value in own.items() for word in ("--env", f"{name}={value}")]
    view = await stack.ask(dict[str, Any], "submit", bundle, "--title", "overhead", *words)
    job = view["job"]["id"]
    async with asyncio.timeout(120):
        while True:
            found = await stack.ask(dict[str, Any], "workers")
            for worker in (one["worker"] for one in found["workers"] if job in one["jobs"]):
                folders = [*(stack.state / "workers" / worker["id"]).glob(f"{job}-*/work")]
                engine = _engine_below(worker["pid"])
                if folders and engine:
                    guardians = _children(worker["pid"])
                    return Subject(folders[0], engine, (worker["pid"], *guardians))
            await asyncio.sleep(0.2)


async def until_it_computes(*subjects: Subject) -> None:
    async with asyncio.timeout(180):
        for subject in subjects:
            while True:
                try:
                    if _step(subject.folder) > 0:
                        break
                except (OSError, ValueError):
                    pass
                await asyncio.sleep(0.2)


class Round(msgspec.Struct, frozen=True):
    cpu: float
    """Of one core, by worker and guardians."""

    below: float
    """Steps a second below the worker."""

    rate: float
    """The same below the worker, as a share of those without."""

    cost: float
    """Processor time a step without the worker, as a share of that below it."""


async def compare(subject: Subject, other: Subject, seconds: float) -> list[Round]:
    cores = sorted(os.sched_getaffinity(0))[:2]
    found: list[Round] = []
    for number in range(max(2 * round(seconds / ROUND / 2), 2)):
        mine, others = cores if number % 2 == 0 else reversed(cores)
        subject.pin(mine)
        other.pin(others)
        await asyncio.sleep(1)
        before = subject.read(), other.read()
        await asyncio.sleep(ROUND)
        after = subject.read(), other.read()
        found.append(_round(*(_spent(a, b) for a, b in zip(before, after, strict=True))))
    return found


def _spent(before: Reading, after: Reading) -> Reading:
    pairs = zip(msgspec.structs.astuple(before), msgspec.structs.astuple(after), strict=True)
    return Reading(*(late - early for early, late in pairs))


def _round(mine: Reading, other: Reading) -> Round:
    return Round(
        cpu=mine.overhead / mine.at,
        below=mine.step / mine.at,
        rate=(mine.step / mine.at) / (other.step / other.at),
        cost=(other.engine / other.step) / (mine.engine / mine.step),
    )


async def measure(setting: Setting) -> list[Row]:
    return await bench(setting.scratch, 20.0 if setting.quick else 120.0, "CPU")


async def bench(scratch: Path, seconds: float, platform: str) -> list[Row]:
    bundle = make_bundle(scratch / "bundle")
    plain = make_bundle(scratch / "plain")
    stack = Stack(scratch / "stack")
    stack.environment["RELAYMD_WORKER_HEARTBEAT_INTERVAL_SECONDS"] = "5"
    stack.environment["RELAYMD_BRIDGE_PORT"] = "0"
    own = {**ENDLESS, "WATER_PLATFORM": platform}
    async with running(stack, scratch / "stack"):
        with alone(plain, {**stack.environment, **own}) as other:
            subject = await below_a_worker(stack, bundle, own)
            await until_it_computes(subject, other)
            rounds = await compare(subject, other, seconds)
            resident = subject.resident()
    return [*_rows(rounds, resident, f"engine on {platform}, one thread")]


def _rows(rounds: list[Round], resident: int, where: str) -> Iterator[Row]:
    cpu = 100 * mean(r.cpu for r in rounds)
    yield Row(what="overhead: worker and guardians", figure=cpu, unit="% core", aim=MOST_CPU)
    size = resident / 2**20
    yield Row(what="overhead: worker, resident", figure=size, unit="MiB", aim=MOST_MEMORY)
    middle = sorted(rounds, key=lambda r: r.rate)[len(rounds) // 2]
    yield Row(
        what=f"overhead: steps a second, {where}",
        figure=middle.below,
        unit="1/s",
        beside=middle.below / middle.rate,
        beside_what="without a worker",
        ratio_aim=LEAST_RATE,
        more_is_better=True,
    )
    yield Row(
        what="overhead: steps a second of the engine's own processor time",
        figure=median(r.cost for r in rounds),
        unit="of those without a worker",
        more_is_better=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_overhead", description=__doc__
    )
    parser.add_argument("--platform", default="CPU", help="of OpenMM; CUDA where there is a GPU")
    parser.add_argument("--seconds", type=float, default=120.0, help="of measuring")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relaymd-bench-") as scratch:
        rows = asyncio.run(bench(Path(scratch), told.seconds, told.platform))
    print(table(rows))
    return 1 if any(row.missed() for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
