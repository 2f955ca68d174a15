"""A worker's life: register, ask for work in every slot, run it, give everything back, leave."""

import asyncio
import math
from collections.abc import Iterable

import structlog

from relaymd.bus import contract
from relaymd.bus.bus import BusError
from relaymd.bus.messages import Assignment, Leave, Phase, WorkerDrains
from relaymd.core import draining
from relaymd.core.devices import deal
from relaymd.core.ids import Epoch, JobId, Monotonic
from relaymd.core.resources import Gpu
from relaymd.worker import files
from relaymd.worker.attempt import Attempt
from relaymd.worker.backoff import Backoff
from relaymd.worker.gauge import Gauge
from relaymd.worker.held import Held
from relaymd.worker.outbox import Letter, Outbox
from relaymd.worker.place import Place, name_of
from relaymd.worker.racing import before, beside, first, within
from relaymd.worker.session import Session
from relaymd.worker.slots import Slots
from relaymd.worker.tools import Tools

log = structlog.get_logger()

END_MOVED = 5.0
"""Seconds by which the end that is told must differ from the one that is known."""

FOR_EVER = 1e9
"""Seconds."""


class Worker:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._held: dict[tuple[JobId, Epoch], Held] = {}
        self._gauge = Gauge(tools.machine, tools.me.gpus, tools.pace.measure_every)
        self._session = Session(tools, self._held.values(), self.drain, self._gauge, self._ends)
        self._slots = Slots(tools, self._session, self.drain, self._work)
        self._outbox = Outbox(tools, tools.folder / "outbox")
        self._draining = asyncio.Event()
        self._reason = ""
        self._until = Monotonic(float("inf"))
        self._unsaid = 0
        self._nothing_left_over = asyncio.Event()
        """Set once everything was said that lay in the outbox at the start."""
        self._told_end: Monotonic | None = None
        self._end_moved = asyncio.Event()

    def drain(self, reason: str, *, within: float = math.inf) -> None:
        """Give back everything that is held, within what time is left, and leave.

        within: seconds, where there are fewer than a drain may otherwise take.
        """
        if self._draining.is_set():
            return
        longest = min(self._tools.pace.drain_longest, within)
        self._until = draining.window(now=_now(), longest=longest, end=self._end())
        self._reason = reason
        log.info("worker.drains", reason=reason, seconds=round(self._until - _now(), 1))
        self._draining.set()
        self._slots.close()
        self._pass_on()

    def hurry(self, reason: str) -> None:
        """Drain; and where that is under way already, in less time than was thought."""
        notice = self._tools.me.notice
        left = draining.HURRY_SECONDS if notice is None else draining.usable(notice)
        if not self._draining.is_set():
            return self.drain(reason, within=math.inf if notice is None else left)
        log.info("worker.hurries", reason=reason)
        self._until = Monotonic(min(self._until, _now() + left))
        self._pass_on()

    async def run(self) -> bool:
        """Live until there is nothing to do, or until told to leave.

        Whether everything was said that had to be; if not, it waits in the outbox.
        Raises UnwantedError.
        """
        async with beside(
            self._attend(), self._session.serve(), self._watch_time(), self._gauge.run()
        ):
            async with beside(self._say_left_over(), self._announce()):
                await self._slots.run()
                await within(self._tools.pace.leave_within, self._nothing_left_over.wait())
            if not self._unsaid:
                await within(self._tools.pace.leave_within, self._leave())
        return not self._unsaid

    async def _attend(self) -> None:
        """Register and send heartbeats, but first say what was left over, if anybody hears it.

        Whoever registers anew ends the leases of the process that had the same name before.
        """
        await within(self._tools.pace.leave_within, self._nothing_left_over.wait())
        await self._session.run()

    async def _work(self, assignment: Assignment, slot: int) -> None:
        held = Held(assignment.job, assignment.epoch)
        if self._draining.is_set():
            held.drain(self._reason, self._until)
        key = (held.job, held.epoch)
        place = Place(self._tools.folder / name_of(*key))
        self._held[key] = held
        log.info("lease.taken", job=held.job, epoch=held.epoch, slot=slot)
        try:
            gpus = self._gpus(assignment.slots or (slot,))
            letter = await Attempt(self._tools, assignment, held, place, gpus).run()
            if letter is None or await self._say(held, letter):
                await self._tools.offload(files.remove_tree, place.folder)
        finally:
            del self._held[key]

    async def _say(self, held: Held, letter: Letter) -> bool:
        """Say the last word of a lease until it is answered; whether it was, in time."""
        held.phase = Phase.REPORTING
        name = name_of(held.job, held.epoch)
        try:
            await self._outbox.keep(name, letter)
        except OSError as exc:
            log.error("outbox.not_written", job=held.job, reason=str(exc))
        log.info("lease.ends", job=held.job, epoch=held.epoch, how=letter.kind)
        limit = self._tools.pace.leave_within
        said = await before(
            held.past(lambda: held.until + limit), self._outbox.deliver(name, letter)
        )
        if said is None:
            self._unsaid += 1
            log.warning("lease.unsaid", job=held.job, epoch=held.epoch, how=letter.kind)
        return said is not None

    async def _say_left_over(self) -> None:
        """What an earlier process of this folder could not say."""
        letters: dict[str, Letter] = {}
        try:
            letters = await self._outbox.left_over()
        except OSError as exc:
            log.error("outbox.unreadable", reason=str(exc))
        self._unsaid += len(letters)
        for name, letter in letters.items():
            log.info("outbox.left_over", lease=name, how=letter.kind)
            await self._outbox.deliver(name, letter)
            self._unsaid -= 1
            await self._tools.offload(files.remove_tree, self._tools.folder / name)
        self._nothing_left_over.set()

    async def _watch_time(self) -> None:
        """Drain when the allocation's end comes near, or when nobody answers any more."""
        reason = await first(self._near_the_end(), self._alone())
        self.drain(reason)

    async def _near_the_end(self) -> str:
        longest = self._tools.pace.drain_longest
        while True:
            self._end_moved.clear()
            end, left = self._end(), FOR_EVER
            if end is not None:
                begin = draining.planned_handoff(now=_now(), end=end, longest=longest)
                left = max(begin - _now(), 0.0)
            if await within(left, self._end_moved.wait()) is None:
                return "the allocation ends soon"

    def _ends(self, seconds: float) -> None:
        """The orchestrator has heard from the provider when the allocation ends."""
        end, known = Monotonic(_now() + seconds), self._end()
        if known is None or abs(end - known) > END_MOVED:
            log.info("allocation.ends", seconds=round(seconds))
            self._told_end = end
            self._end_moved.set()

    async def _alone(self) -> str:
        await self._session.alone()
        return f"the orchestrator did not answer for {self._tools.pace.alone_longest:g} s"

    async def _announce(self) -> None:
        """Say that this worker drains, once it does."""
        await self._draining.wait()
        me = self._tools.me
        message = WorkerDrains(worker=me.worker, instance=me.instance, reason=self._reason)
        backoff = self._backoff()
        while True:
            try:
                await self._tools.bus.ask(contract.WORKER_DRAINS, message)
                return
            except BusError as exc:
                log.info("drain.unanswered", reason=repr(exc))
            await backoff.pause()

    async def _leave(self) -> None:
        me = self._tools.me
        reason = self._reason or "there is no work for it"
        message = Leave(worker=me.worker, instance=me.instance, reason=reason)
        backoff = self._backoff()
        while self._session.registered.is_set():
            try:
                await self._tools.bus.ask(contract.LEAVE, message)
                return
            except BusError as exc:
                log.info("leave.unanswered", reason=repr(exc))
            await backoff.pause()

    def _pass_on(self) -> None:
        for held in self._held.values():
            held.drain(self._reason, self._until)

    def _end(self) -> Monotonic | None:
        """When the allocation ends, on the loop's clock."""
        deadline = self._tools.me.deadline
        if self._told_end is not None:
            return self._told_end
        if deadline is None:
            return None
        return Monotonic(_now() + (deadline - self._tools.wall()))

    def _gpus(self, slots: Iterable[int]) -> tuple[Gpu, ...]:
        me = self._tools.me
        hands = deal(me.gpus, me.slots)
        return tuple(gpu for slot in slots if 0 <= slot < me.slots for gpu in hands[slot])

    def _backoff(self) -> Backoff:
        pace = self._tools.pace
        return Backoff(self._tools.rng, pace.retry_first, pace.retry_longest)


def _now() -> Monotonic:
    return Monotonic(asyncio.get_running_loop().time())
