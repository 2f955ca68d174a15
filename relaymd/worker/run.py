"""One engine from its start to the end of the lease, whatever ends it.

    works ──► exit 0 ──► last cycle, outputs ──────────► complete
      │  └──► exit ≠ 0, a verdict of the watch ────────► fail
      ├ DRAIN ──► TERM, exit or newer checkpoint, cycle ──► handoff (or complete)
      ├ CANCEL ──► TERM, KILL ─────────────────────────► cancelled
      └ DROP ──► KILL ─────────────────────────────────► nothing more is said

Each stage is cut short by a stronger wish, and the next one takes over.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
import structlog

from relaymd.bus import contract
from relaymd.bus.messages import DrainReport, LaunchReport, Phase
from relaymd.core import draining
from relaymd.core.ids import Monotonic
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.supervision import classify
from relaymd.worker import ending, files, settling, ticks
from relaymd.worker.backoff import Backoff
from relaymd.worker.cycle import CycleError, VoidError
from relaymd.worker.held import Wish
from relaymd.worker.outbox import Letter
from relaymd.worker.racing import before, beside, first, unless, within
from relaymd.worker.running import Running
from relaymd.worker.speech import tell

log = structlog.get_logger()


class Run:
    """What is done with one running engine."""

    def __init__(self, running: Running, launched: LaunchReport) -> None:
        self._running = running
        self._launched = launched
        self._end: AttemptEnd | None = None
        """How the engine ended by itself, once it did."""

    async def until_the_end(self) -> Letter | None:
        """The last word about the lease; None where there is nothing to say any more."""
        held, output = self._running.held, self._running.output
        async with beside(output.publish_for_ever(), output.store_for_ever()):
            letter = await unless(held, Wish.DRAIN, self._work())
            if letter is None:
                letter = await unless(held, Wish.CANCEL, self._drain())
            if letter is None:
                letter = await unless(held, Wish.DROP, self._cancel())
            await self._running.engine.kill()
        if letter is not None:
            await unless(held, Wish.DROP, within(self._for_output(), ending.flush(self._running)))
        return letter if held.wish < Wish.DROP else None

    def _for_output(self) -> float:
        """Seconds for the rest of the output: after a drain's end most are for the last word."""
        limit = self._running.tools.pace.leave_within
        left = self._running.held.until - asyncio.get_running_loop().time()
        return min(limit, max(left, 0.0) + limit / 4)

    async def _work(self) -> Letter:
        """Let the engine run until it ends, or until it has to be stopped."""
        running = self._running
        running.held.phase = Phase.RUNNING
        async with beside(self._say_launched(), ticks.for_ever(running)):
            end = await first(running.engine.exited(), running.watch.verdict())
        evidence = await running.output.last_lines()
        if isinstance(end, AttemptEnd):
            code = await running.stop()
            evidence = end.evidence or evidence
            self._end = msgspec.structs.replace(end, exit_code=code, evidence=evidence)
            return await ending.fail(running, self._end)
        full = await running.tools.offload(files.is_full, running.place.folder)
        self._end = classify(end, evidence, disk_full=full)
        if self._end.outcome is Outcome.COMPLETED:
            return await ending.complete(running)
        if self._end.outcome is Outcome.INTERRUPTED:
            await asyncio.sleep(running.tools.pace.settle)  # we may be told to drain just now
            until = asyncio.sleep(running.tools.pace.drain_longest)
            await self._store_last(until, ended=True)
        return await ending.fail(running, self._end)

    async def _drain(self) -> Letter:
        """Bring the engine to a stop so that another worker can go on."""
        running, held = self._running, self._running.held
        held.phase = Phase.DRAINING
        if self._end is not None and self._end.outcome is Outcome.ENGINE_FAILED:
            return await ending.fail(running, self._end)
        begin = Monotonic(asyncio.get_running_loop().time())

        def engine_until() -> float:
            last = running.cycle.seconds
            return draining.plan(now=begin, until=held.until, last_cycle=last).engine_until

        seen = await settling.look(running)
        async with beside(self._say_draining()):
            running.engine.terminate()
            written = settling.newer(running, seen)
            code = await before(held.past(engine_until), first(running.engine.exited(), written))
            if code == 0:
                return await ending.complete_in_time(running)
            ended = code is not None
            why = await self._store_last(held.past(lambda: held.until), ended=ended)
            if await running.engine.kill() == 0:  # it finished while we stored
                return await ending.complete_in_time(running)
        return running.handoff(held.reason + why)

    async def _cancel(self) -> Letter:
        self._running.held.phase = Phase.REPORTING
        await self._running.stop()
        return self._running.cancelled()

    async def _store_last(self, end: Coroutine[Any, Any, None], *, ended: bool) -> str:
        """One more cycle, unless `end` comes first; what is to be said if it failed.

        ended: whether the engine has, so that its files are as they will stay.
        """
        cycle = self._running.cycle
        met: list[str] = ["the last checkpoint could not be stored in time"]
        try:
            if await before(end, self._last_cycle(met, ended=ended)) is not None:
                return ""
        except CycleError as exc:
            met.append(exc.reason)
        await within(self._running.tools.pace.leave_within, cycle.missed(met[-1]))
        return f"; {met[-1]}, the one before stands"

    async def _last_cycle(self, met: list[str], *, ended: bool) -> bool:
        """A cycle, tried again for as long as there is hope. Raises CycleError.

        met: the reasons of those that failed are added to it.
        """
        running = self._running
        pace = running.tools.pace
        backoff = Backoff(running.tools.rng, pace.retry_first, pace.retry_longest)
        while True:
            try:
                return await running.cycle.once()
            except CycleError as exc:
                if not exc.soon or (ended and isinstance(exc, VoidError)):
                    raise
                met.append(exc.reason)
            await backoff.pause()

    async def _say_launched(self) -> None:
        running = self._running
        await tell(running.tools, running.held, contract.LAUNCHED, self._launched)

    async def _say_draining(self) -> None:
        running, held = self._running, self._running.held
        report = DrainReport(
            worker=running.tools.me.worker, job=held.job, epoch=held.epoch, reason=held.reason
        )
        await tell(running.tools, held, contract.DRAINING, report)
