"""An engine of a simulation: it takes virtual time, and leaves real files that can be checked.

Each step appends a line to `ledger.txt`, its checksum chained to the line before; every few steps
`state.json` is replaced. Between the two the files do not fit each other, as with real engines.
"""

import asyncio
import hashlib
import json
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from relaymd.worker.engine import Command, Engine
from tests.simulation.drive import Drive
from tests.simulation.loop import VirtualLoop
from tests.simulation.process import PROCESS, WORLD, Process

TORN = 3
"""Exit code: the files do not fit each other. Never to be seen."""

TOLD = 75
"""Exit code after SIGTERM."""

LONGEST = 64
"""Steps that a job may have."""


def _chain(length: int) -> list[str]:
    found = [""]
    for step in range(1, length + 1):
        found.append(hashlib.sha256(f"{found[-1]} {step}".encode()).hexdigest()[:16])
    return found


CHAIN = _chain(LONGEST)
"""The checksum of each step's line, which continues the one of the line before."""

LINES = [f"{step} {CHAIN[step]}\n" for step in range(1, LONGEST + 1)]


class ModelEngine:
    """Implements Engine."""

    def __init__(self, command: Command, rng: Random, drive: Drive) -> None:
        steps, pace, every = command.argv[-3:]
        self._steps, self._pace, self._every = int(steps), float(pace), int(every)
        self._ledger = command.folder / "ledger.txt"
        self._state, self._fresh = command.folder / "state.json", command.folder / "state.new"
        self._rng = rng
        self._drive = drive
        self._told = asyncio.Event()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.process = Process("engine")

    def terminate(self) -> None:
        self._told.set()

    async def kill(self) -> int:
        self.die(-signal.SIGKILL)
        return self.ended.result()

    async def exited(self) -> int:
        return await asyncio.shield(self.ended)

    def die(self, code: int) -> None:
        self.process.alive = False
        if not self.ended.done():
            self.ended.set_result(code)

    async def run(self) -> None:
        self.die(await self._live())

    async def _live(self) -> int:
        await asyncio.sleep(self._rng.uniform(0.0, 0.2))
        step = self._continued()
        if step is None:
            return TORN
        while step < self._steps:
            try:
                async with asyncio.timeout(self._pace):
                    await self._told.wait()
            except TimeoutError:
                step += 1
                self._write(self._ledger, "".join(LINES[:step]))
                if step % self._every and step < self._steps:
                    continue
            await asyncio.sleep(self._rng.uniform(0.0, 0.05))
            self._write(self._fresh, json.dumps([step, CHAIN[step]]))
            self._drive.rename(self._fresh, self._state)
            if self._told.is_set():
                break
        return 0 if step == self._steps else TOLD

    def _continued(self) -> int | None:
        """The step to go on from; None where the files do not fit each other."""
        try:
            step = whole_step(self._drive.read(self._state), self._drive.read(self._ledger))
        except FileNotFoundError:
            self._write(self._ledger, "")
            return 0
        if step is not None:
            self._write(self._ledger, "".join(LINES[:step]))
        return step

    def _write(self, path: Path, text: str) -> None:
        """In place, as an engine that appends does; its time is the simulation's own."""
        at = asyncio.get_running_loop().time()
        self._drive.write(path, text.encode(), at)


def whole_step(state: bytes, ledger: bytes) -> int | None:
    """The step that two files of one engine agree on; None where they do not fit each other."""
    step, checksum = json.loads(state)
    if CHAIN[step] != checksum or not ledger.startswith("".join(LINES[:step]).encode()):
        return None
    return int(step)


def problems(ledger: bytes, steps: int) -> list[str]:
    """What is wrong with the ledger of a finished job."""
    lines = ledger.decode().splitlines(keepends=True)
    if len(lines) != steps:
        return [f"{len(lines)} lines for {steps} steps"]
    return [f"line {n} is {line!r}" for n, line in enumerate(lines, 1) if line != LINES[n - 1]]


class Launcher:
    """Implements Launch for one worker: its engines end soon after it, by their guardians."""

    def __init__(self, loop: VirtualLoop, rng: Random, drive: Drive) -> None:
        self._loop = loop
        self._rng = rng
        self._drive = drive

    @asynccontextmanager
    async def __call__(self, command: Command) -> AsyncGenerator[Engine]:
        engine = ModelEngine(command, self._rng, self._drive)
        for output in (command.stdout, command.stderr):
            self._drive.write(output, b"", self._loop.time())
        owner = PROCESS.get()
        if owner is not None:
            owner.on_death.append(lambda: self._orphaned(engine))
        self._loop.spawn(engine.process, engine.run())
        try:
            yield engine
        finally:
            await engine.kill()

    def _orphaned(self, engine: ModelEngine) -> None:
        delay = self._rng.uniform(0.0, 0.1)
        self._loop.call_later(delay, engine.die, -signal.SIGKILL, context=WORLD)


def specification(steps: int, pace: float, every: int, poll: float) -> dict[str, object]:
    """Of a bundle that a ModelEngine runs."""
    return {
        "command": ["engine", str(steps), str(pace), str(every)],
        "checkpoint_watch_paths": ["state.json", "ledger.txt"],
        "checkpoint_poll_interval_seconds": poll,
        "outputs": ["ledger.txt"],
    }
