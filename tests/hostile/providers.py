"""What computers of others answer: SLURM's commands, Salad's HTTP API."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from relaymd.actors.providers.provider import ProviderError
from relaymd.actors.providers.salad import Patience, SaladProvider
from relaymd.actors.providers.salad_api import SaladApi
from relaymd.actors.providers.shell import Finished
from relaymd.actors.providers.slurm_commands import SlurmCommands
from relaymd.actors.providers.slurm_watch import SlurmWatch
from relaymd.actors.texts import LONGEST
from relaymd.cli import words
from relaymd.core.allocation import Allocation, Sighting
from relaymd.core.clusters import SaladConfig
from relaymd.core.ids import AllocationId, Monotonic, UnixTime
from tests.hostile.decoders import Decoder, at_once
from tests.hostile.payloads import Json, check_sentence
from tests.simulation.loop import VirtualLoop

OURS = [
    Allocation(
        id=AllocationId(f"a-{number}"), cluster="c", external=external, requested_at=UnixTime(9e8)
    )
    for number, external in enumerate(("", "3", "m-1", ""))
]
LONGEST_EXTERNAL = 200

SQUEUE = b"""Welcome to the cluster
14|PENDING|1795256690|1795260290||Resources|a-0
5_2|PENDING|N/A|N/A||Nodes required for job are DOWN, DRAINED or reserved|a-1
12|RUNNING|1795253090|1795256690|n[1-3]|None|a-2
3|TIMEOUT|1795253137|1795253226|n1|TimeLimit|a-1
"""
SACCT = b"""1|CANCELLED by 0|0:0|0:0|1795253137|1795253157|a-0
3|TIMEOUT|0:0|0:0|1795253137|1795253226|a-1
3.batch|CANCELLED|0:15||1795253137|1795253226|batch
4|FAILED|137:0|137:0|None|1795253157|a-2
"""
SBATCH = b"123;cluster\n"
ERRORS = (
    b"sbatch: error: Batch job submission failed: Invalid account or account/partition\n",
    b"sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed\n",
    b"slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
)


class Says:
    """A shell in which each command prints the same. Implements Shell."""

    def __init__(self, stdout: bytes, *, code: int = 0, stderr: bytes = b"") -> None:
        self._finished = Finished(
            code=code,
            stdout=stdout.decode(errors="replace"),
            stderr=stderr.decode(errors="replace"),
        )

    async def run(self, argv: Sequence[str], *, stdin: bytes = b"", within: float) -> Finished:
        return self._finished


def _looked(_: Path, data: bytes) -> None:
    commands = SlurmCommands(Says(data))
    watch = SlurmWatch(commands, "c", clock=lambda: Monotonic(0.0))
    _check(at_once(watch.look(OURS)))


def _submitted(_: Path, data: bytes) -> None:
    job = at_once(SlurmCommands(Says(data)).submit(AllocationId("a-1"), "", log_dir="x"))
    assert job.isascii()
    assert job.isdigit()
    assert len(job) <= LONGEST_EXTERNAL


def _failed(_: Path, data: bytes) -> None:
    commands = SlurmCommands(Says(b"", code=1, stderr=data))
    for asked in (commands.submit(AllocationId("a-1"), "", log_dir="x"), commands.queue()):
        try:
            at_once(asked)
        except ProviderError as exc:
            _check_words(str(exc))
        else:
            raise AssertionError("it failed, and nobody said so")


def _check(seen: Mapping[AllocationId, Sighting]) -> None:
    """What the ledger, the stream and a person get of it."""
    for sighting in seen.values():
        msgspec.json.encode(sighting)
        assert len(sighting.external) <= LONGEST_EXTERNAL
        assert sighting.external.isprintable()
        if sighting.reason:
            _check_words(sighting.reason)
        for at in (sighting.started_at, sighting.deadline, sighting.estimated_start):
            if at is not None:
                words.date(at)
                words.clock(at)


def _check_words(text: str) -> None:
    check_sentence(text)
    assert len(text) <= LONGEST


class Answer:
    """As much of a response of aiohttp as is read."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content = SimpleNamespace(iter_any=self._pieces)
        self._content = content

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield self._content


GROUP: Json = {
    "replicas": 3,
    "current_state": {"status": "running", "description": "all is well"},
}
WAITING: Json = {
    "replicas": 3,
    "current_state": {"status": "pending", "description": "Quota:\n0 left"},
}
INSTANCE: Json = {"id": "i-1", "machine_id": "m-1", "state": "running", "deletion_cost": 0}
INSTANCES: Json = {"instances": [INSTANCE, {**INSTANCE, "id": "i-2", "machine_id": "m-2"}]}
PROBLEM: Json = {"title": "Bad Request", "detail": "replicas: too many", "status": 400}
STATUSES = cycle((200, 200, 202, 400, 429, 404, 500, 503, 401, 403, 302, 999, 100))


class Session:
    """Good answers to all questions but those that end so: to them, `data`."""

    def __init__(self, ending: str, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self._ending = ending
        self._bad = Answer(status, headers, data)

    @asynccontextmanager
    async def request(self, method: str, url: str, **_: object) -> AsyncGenerator[Answer]:
        good = INSTANCES if url.endswith("/instances") else GROUP
        is_bad = method == "GET" and url.endswith(self._ending)
        yield self._bad if is_bad else Answer(200, {}, msgspec.json.encode(good))


CONFIG = SaladConfig(organization="o", project="p", container_group="group", api_key="k")


def _salad(
    ending: str, headers: Callable[[bytes], Mapping[str, str]]
) -> Callable[[Path, bytes], None]:
    def read(_: Path, data: bytes) -> None:
        status = 200 if not headers(b"") else next(STATUSES)
        session: Any = Session(ending, status, headers(data), data)
        loop = VirtualLoop()  # type: ignore[abstract] # what nothing here calls is not written
        seen = loop.run(_asked(session))
        assert seen is not None
        _check(seen)

    return read


async def _asked(session: Any) -> Mapping[AllocationId, Sighting]:
    api = SaladApi(session, CONFIG, rng=lambda: 0.0)
    return await SaladProvider(api, CONFIG, Patience(gone_after=0.0)).observe(OURS)


def _no_headers(_: bytes) -> Mapping[str, str]:
    return {}


def _retry_after(data: bytes) -> Mapping[str, str]:
    return {"Retry-After": data.decode(errors="replace").replace("\n", "")}


PROVIDERS: tuple[Decoder, ...] = (
    Decoder("providers.slurm look", [SQUEUE, SACCT], _looked),
    Decoder("providers.slurm submit", [SBATCH], _submitted, (ProviderError,)),
    Decoder("providers.slurm errors", ERRORS, _failed),
    Decoder(
        "providers.salad group", [GROUP, WAITING], _salad("/group", _no_headers), (ProviderError,)
    ),
    Decoder(
        "providers.salad instances",
        [INSTANCES],
        _salad("/instances", _no_headers),
        (ProviderError,),
    ),
    Decoder(
        "providers.salad refusals",
        [PROBLEM, b"Wed, 21 Oct 2026 07:28:00 GMT", b"120"],
        _salad("", _retry_after),
        (ProviderError,),
    ),
)
