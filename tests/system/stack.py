"""A whole RelayMD on this machine, started as a user starts it, for tests to use and to hurt."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from relaymd.bus import contract
from relaymd.bus.bus import Bus, BusError
from relaymd.bus.client import connect
from relaymd.bus.operating import AskStatus, ListWorkers, ShowJob
from relaymd.bus.remote import NatsBus
from relaymd.connection import Role, read_connection, read_credentials
from relaymd.core.ids import JobId

T = TypeVar("T")

RELAYMD = Path(sys.executable).parent / "relaymd"

QUICK: Mapping[str, str] = {
    "RELAYMD_LOCAL_WORKERS": "2",
    "RELAYMD_WORKER_CHECKPOINT_POLL_INTERVAL_SECONDS": "0.5",
    "RELAYMD_WORKER_HEARTBEAT_INTERVAL_SECONDS": "1",
    "RELAYMD_WORKER_IDLE_POLL_MAX_SECONDS": "120",
    "RELAYMD_WORKER_DRAIN_SECONDS": "20",
    "RELAYMD_BRIDGE_PORT": "0",
}
"""Settings of a stack that shows in seconds what takes minutes elsewhere."""


class CommandFailedError(AssertionError):
    """The command ended otherwise than the test expects; shows all it printed."""


class Stack:
    """A running `relaymd up` and the folder it lives in."""

    def __init__(self, state: Path, environment: Mapping[str, str]) -> None:
        self.state = state
        self.environment = {**os.environ, "RELAYMD_STATE_DIR": str(state), **environment}
        self.process: asyncio.subprocess.Process | None = None

    # -- the stack itself ---------------------------------------------------------------------

    async def start(self) -> None:
        log = (self.state.parent / f"{self.state.name}.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            RELAYMD, "up", env=self.environment, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        await self.cli("status", "--wait", "30")

    async def stop(self) -> int:
        """Ctrl-C, and what `up` answers to it."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            return await self.process.wait()

    @property
    def log(self) -> str:
        return (self.state.parent / f"{self.state.name}.log").read_text(errors="replace")

    # -- what a user types --------------------------------------------------------------------

    async def run(self, *words: str | Path, timeout: float = 60) -> tuple[int, str, str]:
        """Run the command and return its exit code, output and errors."""
        process = await asyncio.create_subprocess_exec(
            RELAYMD,
            *map(str, words),
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(timeout):
            out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def cli(self, *words: str | Path) -> str:
        code, out, err = await self.run(*words)
        if code:
            raise CommandFailedError(
                f"{words} ended with {code}\n{out}\n{err}\n--- up:\n{self.log}"
            )
        return out

    async def json(self, *words: str | Path) -> Any:
        return json.loads(await self.cli(*words, "--json"))

    async def submit(self, folder: Path, *words: str) -> str:
        answer = await self.json("submit", folder, *words)
        return str(answer["job"]["id"])

    # -- what its answers say -----------------------------------------------------------------

    async def show(self, job: str) -> Any:
        async with self._asking() as bus:
            return _document(await bus.ask(contract.SHOW, ShowJob(job=JobId(job))))

    async def status(self) -> Any:
        async with self._asking() as bus:
            return _document(await bus.ask(contract.STATUS, AskStatus()))

    async def workers(self) -> list[Any]:
        async with self._asking() as bus:
            return list(_document(await bus.ask(contract.WORKERS, ListWorkers()))["workers"])

    async def state_of(self, job: str) -> str:
        return str((await self.show(job))["view"]["job"]["state"])

    async def events(self, job: str) -> list[Any]:
        return [change["event"] for change in (await self.show(job)).get("history", [])]

    @asynccontextmanager
    async def _asking(self) -> AsyncGenerator[Bus]:
        try:
            async with operator(self.state) as bus:
                yield bus
        except BusError as exc:
            exc.add_note(f"--- up:\n{self.log[-6000:]}")
            raise

    # -- waiting and hurting ------------------------------------------------------------------

    async def until(
        self, look: Callable[[], Awaitable[T]], *, within: float = 60, what: str = ""
    ) -> T:
        """The first truthy answer of `look`; fails with the stack's log when time is over."""
        deadline = time.monotonic() + within
        while True:
            found = await look()
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within} s: {what}\n--- up:\n{self.log[-6000:]}")
            await asyncio.sleep(0.05)

    async def until_state(self, job: str, *states: str, within: float = 60) -> str:
        async def look() -> str:
            state = await self.state_of(job)
            return state if state in states else ""

        return await self.until(look, within=within, what=f"{job} becomes {' or '.join(states)}")

    async def until_event(self, job: str, kind: str, *, count: int = 1, within: float = 60) -> Any:
        async def look() -> Any:
            found = [event for event in await self.events(job) if event["type"] == kind]
            return found if len(found) >= count else None

        return (await self.until(look, within=within, what=f"{count} times {kind} of {job}"))[-1]

    async def worker_of(self, job: str) -> Any:
        """The registered worker that holds the job's lease."""

        async def look() -> Any:
            lease = (await self.show(job))["view"]["job"].get("lease")
            if not lease:
                return None
            views = await self.workers()
            found = [v["worker"] for v in views if v["worker"]["id"] == lease["worker"]]
            return found[0] if found else None

        return await self.until(look, what=f"a worker holds {job}")

    def children(self, name: str) -> list[int]:
        """Process ids below `up` whose command line contains the words."""
        assert self.process is not None
        return [pid for pid in descendants(self.process.pid) if name in command_line(pid)]


@asynccontextmanager
async def running(
    state: Path, environment: Mapping[str, str] = QUICK
) -> AsyncGenerator[Stack, None]:
    """A stack for the time of a test; it must leave no process behind."""
    stack = Stack(state, environment)
    try:
        await stack.start()
        yield stack
    finally:
        if stack.process is not None:
            await stack.stop()
            left = processes_naming(str(state))
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            assert not left, f"left behind: {left}\n{stack.log[-4000:]}"


@asynccontextmanager
async def operator(state: Path) -> AsyncGenerator[NatsBus]:
    """A connection like the command's, without its start, which is most of what it costs."""
    async with connect(
        read_connection(state).nats_url,
        role=Role.OPERATOR,
        password=read_credentials(state).passwords[Role.OPERATOR],
        name="test",
    ) as bus:
        yield bus


def _document(answer: object) -> Any:
    """As `--json` prints it."""
    return json.loads(msgspec.json.encode(answer))


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                children = [int(child) for child in task.read_text().split()]
            except OSError:
                continue
            found += children
            waiting += children
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def processes_naming(text: str) -> list[int]:
    """Processes other than this one whose environment names the text."""
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if f"RELAYMD_STATE_DIR={text}\0".encode() in environment:
            found.append(int(folder.name))
    return found


def processes_in(folder: Path) -> list[int]:
    """Processes that work in the folder, such as engines, which know nothing of the stack."""
    found: list[int] = []
    for process in Path("/proc").iterdir():
        try:
            here = process.name.isdigit() and (process / "cwd").readlink().is_relative_to(folder)
        except OSError:
            continue
        if here and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
