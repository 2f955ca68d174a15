"""How long an idle worker takes to start a submitted job, from the acknowledged submit on.

A whole stack, as `relaymd up` starts it, with one idle worker and the folder store. Every time is
taken by one observer's clock: when the answer to the submit came, and when the events `started`
(the worker confirmed its lease) and `launched` (the engine runs) came. So the figures include the
ledger's transaction and the way of the event back. The bare round trip over the same server
stands beside them.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import msgspec
import nats
from nats.aio.msg import Msg

from examples.demo.stack import Stack, running
from relaymd.bus import contract
from relaymd.bus.bus import Bus
from relaymd.bus.client import connect
from relaymd.bus.facts import JobChanged
from relaymd.bus.journal import NatsJournal
from relaymd.bus.operating import Submit
from relaymd.bus.remote import NatsBus
from relaymd.connection import Role, read_connection, read_credentials
from relaymd.core.ids import JobId, token
from relaymd.core.job import Bundle
from relaymd.storage import bundles, keys
from relaymd.storage.open import open_store
from relaymd.storage.store import Store

# pyright: reportUnknownMemberType=false
# nats-py is typed in part.

TARGET = 50.0
"""Milliseconds within which `started` must come, in the median."""

PAUSE = 0.1
"""Seconds after a job's end in which its worker becomes idle again."""

LONGEST = 60.0
"""Seconds after which something is wrong."""

SPECIFICATION = b'{"command": ["true"]}'


class Times(msgspec.Struct, frozen=True):
    """Milliseconds after the acknowledged submit."""

    started: float
    launched: float


class Bench:
    """Submits jobs over a bus and sees their events come."""

    def __init__(self, bus: Bus, store: Store, packed: bundles.Packed) -> None:
        self._bus = bus
        self._store = store
        self._packed = packed

    async def one(self, events: AsyncGenerator[tuple[str, bytes]]) -> Times:
        """One job, from submit to completion, when nothing else runs."""
        wanted = await self._uploaded()
        await self._bus.ask(contract.SUBMIT, wanted)
        acknowledged = time.perf_counter()
        came: dict[str, float] = {}
        async for _, body in events:
            at = time.perf_counter()
            change = msgspec.json.decode(body, type=JobChanged)
            if change.job != wanted.job:
                continue
            came[change.kind] = (at - acknowledged) * 1000
            if change.state.is_final:
                break
        return Times(came["started"], came["launched"])

    async def _uploaded(self) -> Submit:
        job, packed = JobId(token("j", secrets.token_bytes(8))), self._packed
        await self._store.put_file(keys.bundle(job), packed.path)
        bundle = Bundle(key=keys.bundle(job), digest=packed.digest, size=packed.size)
        return Submit(job=job, title="bench", bundle=bundle)


async def measure(state: Path, scratch: Path, count: int) -> list[Times]:
    """The first job starts the worker and is not counted."""
    async with (
        operator(state) as bus,
        open_store(read_connection(state).storage, state) as store,
        asyncio.timeout(LONGEST + count),
    ):
        bench = Bench(bus, store, _packed(scratch))
        journal = NatsJournal(bus)
        follow = journal.follow(subject=contract.JOB_CHANGED.template.partition("{")[0] + ">")
        async with aclosing(follow) as events:
            found: list[Times] = []
            for _ in range(count + 1):
                found.append(await bench.one(events))
                await asyncio.sleep(PAUSE)
    return found[1:]


def _packed(scratch: Path) -> bundles.Packed:
    """A bundle that holds nothing but its specification."""
    folder = scratch / "bundle"
    folder.mkdir()
    (folder / "relaymd-worker.json").write_bytes(SPECIFICATION)
    return bundles.pack(folder, scratch / "bundle.tar.gz")


@asynccontextmanager
async def operator(state: Path) -> AsyncGenerator[NatsBus]:
    url, password = _access(state, Role.OPERATOR)
    async with connect(url, role=Role.OPERATOR, password=password, name="relaymd-bench") as bus:
        yield bus


def _access(state: Path, role: Role) -> tuple[str, str]:
    return read_connection(state).nats_url, read_credentials(state).passwords[role]


async def round_trips(state: Path, count: int) -> list[float]:
    """Milliseconds of a bare request and reply between two connections, by nats-py alone."""
    url, password = _access(state, Role.ORCHESTRATOR)
    answering = await nats.connect(url, user=Role.ORCHESTRATOR, password=password)
    url, password = _access(state, Role.OPERATOR)
    asking = await nats.connect(
        url, user=Role.OPERATOR, password=password, inbox_prefix=b"_INBOX.operator.bench"
    )

    async def answer(message: Msg) -> None:
        await message.respond(b"{}")

    await answering.subscribe("relaymd.operator.bench", cb=answer)
    await answering.flush()
    found: list[float] = []
    for _ in range(count):
        begin = time.perf_counter()
        await asking.request("relaymd.operator.bench", b"{}", timeout=5)
        found.append((time.perf_counter() - begin) * 1000)
    await asking.close()
    await answering.close()
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def _line(name: str, values: Sequence[float]) -> str:
    median, p99 = quantile(values, 0.5), quantile(values, 0.99)
    return f"{name:<34} {median:8.2f} {p99:8.2f} {max(values):8.2f}"


async def bench(count: int) -> bool:
    """Measure and print; whether the target is met."""
    with tempfile.TemporaryDirectory(prefix="relaymd-bench-") as folder:
        scratch = Path(folder)
        async with running(Stack(scratch / "stack"), scratch / "stack") as stack:
            times = await measure(stack.state, scratch, count)
            bare = await round_trips(stack.state, 10 * count)
    started = [one.started for one in times]
    print(f"{count} jobs, one after another; milliseconds after the acknowledged submit\n")
    print(f"{'':<34} {'median':>8} {'p99':>8} {'worst':>8}")
    print(_line("started (lease confirmed)", started))
    print(_line("launched (engine runs)", [one.launched for one in times]))
    print(_line("bare NATS request and reply", bare))
    median = quantile(started, 0.5)
    print(f"\nstarted within {TARGET:.0f} ms in the median: {'yes' if median <= TARGET else 'NO'}")
    return median <= TARGET


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--jobs", type=int, default=50, help="how many; the more, the surer")
    return 0 if asyncio.run(bench(parser.parse_args().jobs)) else 1


if __name__ == "__main__":
    sys.exit(main())
