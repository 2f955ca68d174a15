"""What a worker costs beside the engine it runs: processor time, memory, and the engine's rate.

Two copies of one OpenMM simulation (a box of water, the CPU platform, one thread) run at the same
time, one below a worker and one by itself, each held to one core; the worker and all it starts
share the core of their engine, as on an allocation of one core. Each round is a window of the
same seconds for both; after it the cores are swapped, so that neither core nor whatever else
runs here favours one of them. What a step costs the engine itself, in processor time, stands
beside the rate: that figure does not depend on who else computes here.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec

from examples.demo.stack import Stack, running

EXAMPLE = Path(__file__).parents[1] / "examples" / "openmm-water"

MOST_CPU = 0.01
"""Of one core."""

MOST_MEMORY = 80 * 2**20
"""Bytes resident."""

LEAST_RATE = 0.995
"""Of the engine's rate without a worker."""

ROUNDS = 4
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


async def below_a_worker(stack: Stack, bundle: Path) -> Subject:
    """The same simulation as a job."""
    words = ("--env", "WATER_STEPS=1000000000", "--env", "OPENMM_CPU_THREADS=1")
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

    rate: float
    """Steps a second below the worker, as a share of those without."""

    cost: float
    """Processor time a step without the worker, as a share of that below it."""


async def measure(subject: Subject, other: Subject, seconds: float) -> list[Round]:
    cores = sorted(os.sched_getaffinity(0))[:2]
    found: list[Round] = []
    for number in range(ROUNDS):
        mine, others = cores if number % 2 == 0 else reversed(cores)
        subject.pin(mine)
        other.pin(others)
        await asyncio.sleep(1)
        before = subject.read(), other.read()
        await asyncio.sleep(seconds / ROUNDS)
        after = subject.read(), other.read()
        found.append(_round(*(_spent(a, b) for a, b in zip(before, after, strict=True))))
    return found


def _spent(before: Reading, after: Reading) -> Reading:
    pairs = zip(msgspec.structs.astuple(before), msgspec.structs.astuple(after), strict=True)
    return Reading(*(late - early for early, late in pairs))


def _round(mine: Reading, other: Reading) -> Round:
    return Round(
        cpu=mine.overhead / mine.at,
        rate=(mine.step / mine.at) / (other.step / other.at),
        cost=(other.engine / other.step) / (mine.engine / mine.step),
    )


async def bench(seconds: float) -> bool:
    """Measure and print; whether the targets are met."""
    with tempfile.TemporaryDirectory(prefix="relaymd-bench-") as name:
        scratch = Path(name)
        bundle = make_bundle(scratch / "bundle")
        plain = make_bundle(scratch / "plain")
        stack = Stack(scratch / "stack")
        stack.environment["RELAYMD_WORKER_HEARTBEAT_INTERVAL_SECONDS"] = "5"
        stack.environment["RELAYMD_BRIDGE_PORT"] = "0"
        own = {"WATER_STEPS": "1000000000", "OPENMM_CPU_THREADS": "1"}
        async with running(stack, scratch / "stack"):
            with alone(plain, {**stack.environment, **own}) as other:
                subject = await below_a_worker(stack, bundle)
                await until_it_computes(subject, other)
                rounds = await measure(subject, other, seconds)
                resident = subject.resident()
    return _tell(rounds, resident, seconds)


def _tell(rounds: list[Round], resident: int, seconds: float) -> bool:
    print(f"one engine, one worker, {seconds:g} s in {len(rounds)} rounds\n")
    print(f"{'':<44} {'mean':>8} {'least':>8} {'most':>8} {'target':>9}")
    columns = {
        "worker and guardians, % of one core": ([100 * r.cpu for r in rounds], "< 1"),
        "rate below the worker / without": ([r.rate for r in rounds], ">= 0.995"),
        "processor time a step, without / below": ([r.cost for r in rounds], ""),
    }
    for name, (values, target) in columns.items():
        line = f"{mean(values):8.4f} {min(values):8.4f} {max(values):8.4f} {target:>9}"
        print(f"{name:<44} {line}")
    print(f"{'worker, MiB resident':<44} {resident / 2**20:8.1f} {'':8} {'':8} {'< 80':>9}")
    met = (
        mean(r.cpu for r in rounds) < MOST_CPU
        and resident < MOST_MEMORY
        and mean(r.rate for r in rounds) >= LEAST_RATE
    )
    print(f"\nall targets met: {'yes' if met else 'NO'}")
    return met


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_overhead", description=__doc__
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="of measuring")
    return 0 if asyncio.run(bench(parser.parse_args().seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
