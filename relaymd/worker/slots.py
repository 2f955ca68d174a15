"""The slots of a worker: each asks for work, has it done, and asks again.

The question waits on the server's side, so an idle worker neither polls nor sleeps: it starts
as soon as there is work. Only where nobody answers is there a pause before the next question.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from relaymd.bus import contract
from relaymd.bus.bus import BusError, RefusedError
from relaymd.bus.messages import AskForWork, Assignment, NoWork, RefusalCode
from relaymd.worker.backoff import Backoff
from relaymd.worker.racing import before
from relaymd.worker.session import Session
from relaymd.worker.tools import Tools

log = structlog.get_logger()

SLACK = 5.0
"""Seconds an answer may be late beyond the wait that was asked for."""

LEAST_WAIT = 0.1
"""Seconds; what is asked for even when the worker is about to leave."""


class Slots:
    def __init__(
        self,
        tools: Tools,
        session: Session,
        drain: Callable[[str], None],
        work: Callable[[Assignment, int], Awaitable[None]],
    ) -> None:
        """drain: called where the orchestrator says to leave. work: does one assignment."""
        self._tools = tools
        self._session = session
        self._drain = drain
        self._work = work
        self._busy = 0
        self._idle_since = asyncio.get_running_loop().time()
        self._closed = asyncio.Event()

    def close(self) -> None:
        """Ask for no more work; what runs goes on to its end."""
        self._closed.set()

    async def run(self) -> None:
        """Until the slots are closed, or all idle for too long, and nothing runs any more."""
        await before(self._until_closed(), self._until_registered())
        try:
            async with asyncio.TaskGroup() as group:
                for slot in range(self._tools.me.slots):
                    group.create_task(self._serve(slot))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _serve(self, slot: int) -> None:
        pace = self._tools.pace
        backoff = Backoff(self._tools.rng, pace.retry_first, pace.retry_longest)
        clock = asyncio.get_running_loop().time
        while not self._closed.is_set():
            wait, begin = self._wait(), clock()
            answer = await before(self._until_closed(), self._ask(slot, wait))
            if isinstance(answer, Assignment):
                await self._run(answer, slot)
            elif answer is not None and clock() - begin >= wait / 2:
                self._consider(answer)
            else:  # no answer comes, or it did not wait: never ask in a busy loop
                if answer is not None:
                    self._consider(answer)
                await before(self._until_closed(), backoff.pause())
                continue
            backoff.reset()

    async def _run(self, assignment: Assignment, slot: int) -> None:
        self._busy += 1
        try:
            await self._work(assignment, slot)
        finally:
            self._busy -= 1
            self._idle_since = asyncio.get_running_loop().time()

    async def _ask(self, slot: int, wait: float) -> Assignment | NoWork | None:
        """None where there is no answer."""
        me = self._tools.me
        question = AskForWork(worker=me.worker, instance=me.instance, slot=slot, wait=wait)
        try:
            with self._session.asking(slot) as lost:
                asked = self._tools.bus.ask(contract.WORK, question, within=wait + SLACK)
                answer = await before(_until(lost), asked)
        except RefusedError as exc:
            if exc.refusal.error is RefusalCode.UNKNOWN_WORKER:
                self._session.register_again()
            log.warning("work.refused", slot=slot, reason=str(exc))
            return None
        except BusError as exc:
            log.debug("work.unanswered", slot=slot, reason=repr(exc))
            return None
        if answer is None:
            log.info("work.asked_again", slot=slot)
            return None
        return answer.work

    def _consider(self, answer: NoWork) -> None:
        """Leave, if the orchestrator says so or if all slots were idle for too long."""
        if answer.leave:
            self._drain("the orchestrator has no work for it")
        elif not self._busy and self._idle_left() <= 0:
            log.info("worker.idle", seconds=self._tools.pace.idle_longest)
            self.close()

    def _wait(self) -> float:
        pace = self._tools.pace
        longest = min(pace.ask_wait, contract.LONGEST_WAIT)
        return longest if self._busy else max(min(longest, self._idle_left()), LEAST_WAIT)

    def _idle_left(self) -> float:
        idle = asyncio.get_running_loop().time() - self._idle_since
        return self._tools.pace.idle_longest - idle

    async def _until_closed(self) -> None:
        await _until(self._closed)

    async def _until_registered(self) -> None:
        await self._session.registered.wait()
        self._idle_since = asyncio.get_running_loop().time()


async def _until(event: asyncio.Event) -> None:
    await event.wait()
