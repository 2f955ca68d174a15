"""`relaymd jobs logs`: what a job's engine wrote, through all its segments."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable

import asyncclick as click

from relaymd.bus import contract
from relaymd.bus.facts import JobChanged, Output, OutputStream
from relaymd.cli.facts import coming
from relaymd.cli.log_view import LogView
from relaymd.cli.session import Session, session
from relaymd.cli.shown import document
from relaymd.cli.store import opened
from relaymd.core.ids import Epoch, JobId
from relaymd.storage.logs import logged_epochs, read_log
from relaymd.storage.store import Store

LOOK_AGAIN = 1.0
"""Seconds until the store is asked again for what was lost on the way here."""


@click.command()
@click.argument("id")
@click.option("-f", "--follow", is_flag=True, help="Go on with what it writes, to its end.")
@click.option("--segment", type=click.IntRange(min=1), help="Only that of one lease.")
@click.option("--stderr", is_flag=True, help="Standard error instead of standard output.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")
async def logs(id: str, follow: bool, segment: int | None, stderr: bool, as_json: bool) -> None:
    """What its engine wrote."""
    stream = OutputStream.STDERR if stderr else OutputStream.STDOUT
    async with session() as stack:
        details = await stack.job(id)
        job = details.view.job
        async with opened(stack.config) as store:
            printer = Printer(store, job.id, stream, as_json=as_json, only=segment)
            if follow and not job.state.is_final:
                seen = details.history[-1].seq if details.history else 0
                await _follow(stack, printer, after=seen)
            else:
                await printer.all_stored()


class Printer:
    """Prints one stream of a job, segment after segment, each byte once."""

    def __init__(
        self, store: Store, job: JobId, stream: OutputStream, *, as_json: bool, only: int | None
    ) -> None:
        self.job = job
        self.stream = stream
        self._store = store
        self._as_json = as_json
        self._only = only
        self._epoch = Epoch(0)
        self._view = LogView()

    @property
    def gap(self) -> bool:
        return self._view.gap

    async def all_stored(self) -> None:
        """Everything in the store that was not printed yet."""
        for epoch in await logged_epochs(self._store, self.job):
            if epoch >= self._epoch:
                self._turn_to(epoch)
                await self.catch_up()

    async def live(self, said: Output) -> None:
        if said.epoch > self._epoch:
            await self.all_stored()
            if said.epoch > self._epoch:
                self._turn_to(said.epoch)
        if said.epoch == self._epoch:
            self._print(self._view.live(said))
            if self.gap:
                await self.catch_up()

    async def catch_up(self) -> None:
        """Print what the store has of the segment beyond what was printed."""
        position = self._view.position
        async for piece in read_log(
            self._store, self.job, self._epoch, self.stream, after=position
        ):
            if piece.missing and not self._as_json:
                click.echo(f"[{piece.missing} bytes were never stored]", err=True)
            self._print([self._view.stored(piece)])
            self._print(self._view.ready())
        self._print(self._view.ready())

    def _turn_to(self, epoch: Epoch) -> None:
        if epoch != self._epoch:
            self._epoch = epoch
            self._view = LogView()

    def _print(self, pieces: Iterable[bytes]) -> None:
        for data in pieces:
            if not data or self._only not in (None, self._epoch):
                continue
            if self._as_json:
                text = data.decode(errors="replace")
                document({"job": self.job, "segment": self._epoch, "text": text})
            else:
                sys.stdout.buffer.write(data)
        sys.stdout.flush()


async def _follow(stack: Session, printer: Printer, *, after: int) -> None:
    queue: asyncio.Queue[Output | JobChanged] = asyncio.Queue(1000)
    async with stack.bus.listen(contract.OUTPUT, job=printer.job, stream=printer.stream) as live:
        await printer.all_stored()
        async with asyncio.TaskGroup() as tasks:
            readers = [
                tasks.create_task(_pass(live, queue)),
                tasks.create_task(_facts(stack, printer.job, after, queue)),
            ]
            await _print_until_final(queue, printer)
            for reader in readers:
                reader.cancel()


async def _print_until_final(queue: asyncio.Queue[Output | JobChanged], printer: Printer) -> None:
    while True:
        try:
            async with asyncio.timeout(LOOK_AGAIN if printer.gap else None):
                item = await queue.get()
        except TimeoutError:
            await printer.catch_up()
            continue
        if isinstance(item, Output):
            await printer.live(item)
        elif item.state.is_final:
            await printer.all_stored()
            return


async def _facts(
    stack: Session, job: JobId, after: int, queue: asyncio.Queue[Output | JobChanged]
) -> None:
    async for fact in coming(stack.journal, job=job, after=after):
        if isinstance(fact, JobChanged):
            await queue.put(fact)


async def _pass(live: AsyncIterator[Output], queue: asyncio.Queue[Output | JobChanged]) -> None:
    async for said in live:
        await queue.put(said)
