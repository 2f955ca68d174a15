"""The ledger in SQL: a Disk over whatever runs the statements."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from relaymd.actors.disk import Batch, EventRow, Place, Snapshot
from relaymd.core.allocation import Allocation, AllocationState
from relaymd.core.clusters import Switch
from relaymd.core.ids import Epoch, JobId, UnixTime, WorkerId
from relaymd.core.job import FINAL, Job, JobState
from relaymd.core.quarantine import Node
from relaymd.core.worker import Worker

Row = Sequence[Any]
"""As SQLite gives it; each query below knows its columns."""

Statement = tuple[str, Sequence[Row]]
"""SQL and the rows to run it for."""

ALIVE = tuple(state for state in JobState if state not in FINAL)

encode = msgspec.json.Encoder().encode
decode_job = msgspec.json.Decoder(Job).decode
decode_worker = msgspec.json.Decoder(Worker).decode
decode_node = msgspec.json.Decoder(Node).decode
decode_switch = msgspec.json.Decoder(Switch).decode
decode_allocation = msgspec.json.Decoder(Allocation).decode
decode_names = msgspec.json.Decoder(frozenset[str]).decode


class Session(Protocol):
    """One connection to a database. Raises DiskError; work is done in the order it was asked."""

    async def write(self, statements: Sequence[Statement]) -> None:
        """All of them in one transaction that is durable when this returns, or none."""
        ...

    async def migrate(self, statements: Sequence[str]) -> None:
        """The same for statements that change the tables themselves."""
        ...

    async def read(self, sql: str, values: Row = ()) -> Sequence[Row]: ...


class Tables:
    """A Disk.

    writer: has the database to itself as far as writing goes. reader: for long lists, so that
    they do not hold up a commit; the same one where there is no second.
    """

    def __init__(self, writer: Session, reader: Session | None = None) -> None:
        self._writer = writer
        self._reader = reader or writer

    async def load(self) -> Snapshot:
        read = self._writer.read
        marks = ",".join("?" * len(ALIVE))
        jobs = await read(f"SELECT body FROM jobs WHERE state IN ({marks})", ALIVE)
        workers = await read("SELECT body FROM workers ORDER BY id")
        allocations = await read("SELECT body FROM allocations WHERE ended = 0 ORDER BY id")
        nodes = await read("SELECT body FROM nodes ORDER BY id")
        switches = await read("SELECT body FROM switches ORDER BY cluster")
        counts = await read("SELECT state, count(*) FROM jobs GROUP BY state")
        last = await read("SELECT max(seq) FROM events")
        meta = {str(name): value for name, value in await read("SELECT name, value FROM meta")}
        return Snapshot(
            jobs=[decode_job(body) for (body,) in jobs],
            workers=[decode_worker(body) for (body,) in workers],
            allocations=[decode_allocation(body) for (body,) in allocations],
            switches=[decode_switch(body) for (body,) in switches],
            unreachable=decode_names(meta.get("unreachable", b"[]")),
            counts={JobState(state): count for state, count in counts},
            seq=last[0][0] or 0,
            published=meta.get("published", 0),
            nodes=[decode_node(body) for (body,) in nodes],
        )

    async def commit(self, batch: Batch) -> None:
        await self._writer.write(list(_statements(batch)))

    async def job(self, id: JobId) -> Job | None:
        rows = await self._writer.read("SELECT body FROM jobs WHERE id = ?", (id,))
        return decode_job(rows[0][0]) if rows else None

    async def jobs_like(self, prefix: str) -> Sequence[Job]:
        sql = "SELECT body FROM jobs WHERE id >= ? AND id < ? ORDER BY id LIMIT 2"
        # U+10FFFF sorts behind every character that an id can have.
        rows = await self._writer.read(sql, (prefix, prefix + "\U0010ffff"))
        return [decode_job(body) for (body,) in rows]

    async def page(
        self, states: Sequence[JobState], *, limit: int, after: Place | None
    ) -> Sequence[Job]:
        where = "(submitted_at, id) < (?, ?)"
        at = (after.submitted_at, after.job) if after else (float("inf"), "")
        newest = f"{where} ORDER BY submitted_at DESC, id DESC LIMIT ?"
        columns = "SELECT submitted_at, id, body FROM jobs"
        if states:  # one walk of the index a state, so that rare states are found at once
            one = f"SELECT * FROM ({columns} WHERE state = ? AND {newest})"
            sql = " UNION ALL ".join([one] * len(states))
            values = [value for state in states for value in (str(state), *at, limit)]
            sql += " ORDER BY submitted_at DESC, id DESC LIMIT ?"
            rows = await self._reader.read(sql, (*values, limit))
        else:
            rows = await self._reader.read(f"{columns} WHERE {newest}", (*at, limit))
        return [decode_job(body) for _, _, body in rows]

    async def latest_of(self, id: JobId, *, limit: int) -> Sequence[bytes]:
        sql = "SELECT body FROM events WHERE job = ? ORDER BY seq DESC LIMIT ?"
        rows = await self._reader.read(sql, (id, limit))
        return [body for (body,) in reversed(rows)]

    async def milestones_of(self, id: JobId) -> Sequence[bytes]:
        sql = """SELECT body FROM events WHERE job = ? AND (
            kind NOT IN ('checkpointed', 'checkpoint-missed') OR seq IN (
                SELECT max(seq) FROM events WHERE job = ? AND kind = 'checkpointed' GROUP BY epoch
            )) ORDER BY seq"""
        return [body for (body,) in await self._reader.read(sql, (id, id))]

    async def events_after(self, seq: int, *, limit: int) -> Sequence[EventRow]:
        sql = """SELECT seq, subject, kind, at, body, job, worker, epoch
            FROM events WHERE seq > ? ORDER BY seq LIMIT ?"""
        return [_event(row) for row in await self._reader.read(sql, (seq, limit))]


def _event(row: Row) -> EventRow:
    seq, subject, kind, at, body, job, worker, epoch = row
    return EventRow(
        seq=seq,
        subject=subject,
        kind=kind,
        at=UnixTime(at),
        body=body,
        job=JobId(job) if job is not None else None,
        worker=WorkerId(worker) if worker is not None else None,
        epoch=Epoch(epoch) if epoch is not None else None,
    )


def _statements(batch: Batch) -> Iterator[Statement]:
    if batch.events:
        yield (
            "INSERT INTO events (seq, subject, kind, job, worker, epoch, at, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (e.seq, e.subject, e.kind, e.job, e.worker, e.epoch, e.at, e.body)
                for e in batch.events
            ],
        )
    if batch.jobs:
        yield (
            "INSERT INTO jobs VALUES (?, ?, ?, ?) ON CONFLICT (id)"
            " DO UPDATE SET state = excluded.state, body = excluded.body",
            [(job.id, job.state, job.submitted_at, encode(job)) for job in batch.jobs.values()],
        )
    yield from _kept_or_gone(
        "REPLACE INTO workers VALUES (?, ?)", "DELETE FROM workers WHERE id = ?", batch.workers
    )
    yield from _kept_or_gone(
        "REPLACE INTO nodes VALUES (?, ?)", "DELETE FROM nodes WHERE id = ?", batch.nodes
    )
    if batch.allocations:
        yield (
            "REPLACE INTO allocations VALUES (?, ?, ?)",
            [
                (each.id, each.state is AllocationState.ENDED, encode(each))
                for each in batch.allocations.values()
            ],
        )
    if batch.switches:
        yield (
            "REPLACE INTO switches VALUES (?, ?)",
            [(each.cluster, encode(each)) for each in batch.switches.values()],
        )
    if batch.unreachable is not None:
        names = encode(sorted(batch.unreachable))
        yield "REPLACE INTO meta VALUES ('unreachable', ?)", [(names,)]
    if batch.published is not None:
        yield "REPLACE INTO meta VALUES ('published', ?)", [(batch.published,)]


def _kept_or_gone(
    keep: str, drop: str, changed: Mapping[Any, object | None]
) -> Iterator[Statement]:
    """Of a table of ids and bodies. changed: by id; None: it is no longer there."""
    kept = [(id, encode(each)) for id, each in changed.items() if each is not None]
    if kept:
        yield keep, kept
    gone = [(id,) for id, each in changed.items() if each is None]
    if gone:
        yield drop, gone
