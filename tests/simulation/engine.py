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
from random import Random

from tests.simulation.loop import PROCESS, WORLD, Process, VirtualLoop

from relaymd.worker.engine import Command, Engine

TORN = 3
"""Exit code: the files do not fit each other. Never to be seen."""

TOLD = 75
"""Exit code after SIGTERM."""


class ModelEngine:
    """Implements Engine."""

    def __init__(self, command: Command, rng: Random) -> None:
        steps, pace, every = command.argv[-3:]
        self._steps, self._pace, self._every = int(steps), float(pace), int(every)
        self._folder = command.folder
        self._rng = rng
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
        ledger, state = self._folder / "ledger.txt", self._folder / "state.json"
        step, checksum = 0, ""
        if state.exists():
            step, checksum = json.loads(state.read_text())
            lines = ledger.read_text().splitlines(keepends=True)[:step]
            if len(lines) < step or (lines and lines[-1].split() != [str(step), checksum]):
                return TORN
            ledger.write_text("".join(lines))
        else:
            ledger.write_text("")
        while step < self._steps:
            try:
                async with asyncio.timeout(self._pace):
                    await self._told.wait()
            except TimeoutError:
                step, checksum = step + 1, chained(checksum, step + 1)
                with ledger.open("a") as file:
                    file.write(f"{step} {checksum}\n")
                if step % self._every and step < self._steps:
                    continue
            await asyncio.sleep(self._rng.uniform(0.0, 0.05))
            fresh = self._folder / "state.new"
            fresh.write_text(json.dumps([step, checksum]))
            fresh.replace(state)
            if self._told.is_set():
                break
        return 0 if step == self._steps else TOLD


def chained(before: str, step: int) -> str:
    return hashlib.sha256(f"{before} {step}".encode()).hexdigest()[:16]


def problems(ledger: bytes, steps: int) -> list[str]:
    """What is wrong with the ledger of a finished job."""
    checksum = ""
    lines = ledger.decode().splitlines()
    if len(lines) != steps:
        return [f"{len(lines)} lines for {steps} steps"]
    for number, line in enumerate(lines, start=1):
        checksum = chained(checksum, number)
        if line.split() != [str(number), checksum]:
            return [f"line {number} is {line!r}"]
    return []


class Launcher:
    """Implements Launch for one worker: its engines end soon after it, by their guardians."""

    def __init__(self, loop: VirtualLoop, rng: Random) -> None:
        self._loop = loop
        self._rng = rng

    @asynccontextmanager
    async def __call__(self, command: Command) -> AsyncGenerator[Engine]:
        engine = ModelEngine(command, self._rng)
        command.stdout.touch()
        command.stderr.touch()
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
