"""A control plane to measure: nats-server and the orchestrator's process, and nothing else."""

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from benchmarks import bare
from benchmarks.crowd import BrokenLineError, Line, dial, encode
from relaymd.bus import contract
from relaymd.bus.operating import AskStatus, Status, Submit
from relaymd.bus.server import EmbeddedServer, Settings, embedded
from relaymd.config import StorageConfig
from relaymd.connection import (
    Connection,
    Credentials,
    Role,
    ensure_credentials,
    write_connection,
)
from relaymd.core.ids import JobId
from relaymd.core.job import Bundle
from relaymd.core.resources import Requirements
from relaymd.process import die_with_parent

BUNDLE = Bundle(key="k", digest="d", size=1)
NOWHERE = Requirements(gpus=8)
"""What no simulated worker has."""

READY_WITHIN = 60.0
LOOK_EVERY = 0.005


class Part:
    """A process of ours that can be killed, started again, and looked at."""

    def __init__(
        self, *words: str, environ: Mapping[str, str], log: Path, folder: Path | None = None
    ) -> None:
        """folder: to run in; None: this one."""
        self._words = words
        self._environ = environ
        self._log = log
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *self._words,
                cwd=self._folder,
                env=self._environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGKILL),
            )

    async def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._process is not None
        return await self._process.wait()

    async def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(how)
            await self._process.wait()

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Megabytes that are resident."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Plane:
    """What runs, and how to speak to it."""

    def __init__(self, state: Path, server: EmbeddedServer, credentials: Credentials) -> None:
        self.state = state
        self.server = server
        self._credentials = credentials
        self.orchestrator = self.part("relaymd.actors")

    @property
    def url(self) -> str:
        return self.server.url

    def password(self, role: Role) -> str:
        return self._credentials.passwords[role]

    @property
    def worker_password(self) -> str:
        return self.password(Role.WORKER)

    def part(self, module: str, *words: str, **more: str) -> Part:
        """A process that finds this plane as every process of ours finds its stack."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("RELAYMD_")}
        own = {"RELAYMD_STATE_DIR": str(self.state), "RELAYMD_LOCAL_WORKERS": "0", **more}
        log = self.state / f"{module}.log"
        return Part("-m", module, *words, environ={**clean, **own}, log=log)

    async def operator(self) -> Line:
        return await dial(self.url, Role.OPERATOR, self.password(Role.OPERATOR), "benchmark")

    async def quiet(self, within: float = READY_WITHIN) -> None:
        """Return when the stream has every event, so that nothing goes on in the background."""
        line = await self.operator()
        try:
            await quiet(line, within)
        finally:
            line.close()

    async def serving(self) -> Status:
        """The first answer of the orchestrator."""
        line = await self.operator()
        try:
            async with asyncio.timeout(READY_WITHIN):
                return await first_status(line)
        finally:
            line.close()


@asynccontextmanager
async def plane(folder: Path, **environ: str) -> AsyncGenerator[Plane]:
    """A control plane that answers, until the block ends. environ: of the orchestrator."""
    state = folder / f"plane-{secrets.token_hex(4)}"
    state.mkdir(parents=True)
    credentials = ensure_credentials(state)
    async with embedded(Settings(folder=state / "nats"), credentials) as server:
        storage = StorageConfig(path=str(state / "storage"))
        found = Connection(nats_url=server.url, storage=storage, pid=os.getpid())
        write_connection(state, found)
        there = Plane(state, server, credentials)
        there.orchestrator = there.part("relaymd.actors", **environ)
        await there.orchestrator.start()
        try:
            await there.serving()
            yield there
        finally:
            await there.orchestrator.end()


@asynccontextmanager
async def bare_part(there: Plane, kind: str) -> AsyncGenerator[Part]:
    """One of `benchmarks.bare`, when it answers."""
    part = there.part("benchmarks.bare", kind)
    await part.start()
    line = await dial(there.url, Role.WORKER, there.worker_password, "benchmark")
    try:
        async with asyncio.timeout(READY_WITHIN):
            await _answered(line, bare.READY)
        yield part
    finally:
        line.close()
        await part.end(signal.SIGKILL)


async def _answered(line: Line, subject: str) -> None:
    while True:
        try:
            await line.ask(subject, b"{}")
        except BrokenLineError:
            await asyncio.sleep(LOOK_EVERY)
        else:
            return


async def quiet(line: Line, within: float = READY_WITHIN) -> None:
    """Return when the stream has every event. Raises TimeoutError after so many seconds."""
    async with asyncio.timeout(within):
        while (await first_status(line)).unpublished_events:  # noqa: ASYNC110 - far away
            await asyncio.sleep(0.05)


async def first_status(line: Line) -> Status:
    while True:
        try:
            return await line.say(contract.STATUS, AskStatus())
        except BrokenLineError:
            if line.closed.done():
                raise
        await asyncio.sleep(LOOK_EVERY)


async def submit(line: Line, count: int, need: Requirements = Requirements()) -> float:  # noqa: B008 - frozen
    """Seconds until so many single submits are acknowledged, each of them on disk."""
    run = secrets.token_hex(4)
    begin = time.perf_counter()
    asked = [
        line.ask(contract.SUBMIT.of(message), encode(message))
        for message in (_submit(f"j-{run}-{number}", need) for number in range(count))
    ]
    for answer in asked:
        await answer
    return time.perf_counter() - begin


def _submit(id: str, need: Requirements) -> Submit:
    return Submit(job=JobId(id), title="benchmark", bundle=BUNDLE, requirements=need)
