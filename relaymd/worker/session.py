"""The worker's standing with the orchestrator: registered, heard, and reached by pushes."""

import asyncio
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from relaymd.bus import contract
from relaymd.bus.bus import BusError, RefusedError
from relaymd.bus.messages import (
    Done,
    Drain,
    Heartbeat,
    HeartbeatAck,
    Ping,
    Pong,
    RefusalCode,
    Register,
    Registered,
    Standing,
    StopJob,
)
from relaymd.bus.subjects import Binding
from relaymd.core.ids import JobId, Monotonic
from relaymd.worker.backoff import Backoff
from relaymd.worker.gauge import Gauge
from relaymd.worker.held import Held
from relaymd.worker.tools import Tools

log = structlog.get_logger()

UNWANTED = frozenset({RefusalCode.INCOMPATIBLE, RefusalCode.INVALID})
"""Refusals of a registration that no waiting changes."""


ASK_TRAVELS = 1.0
"""Seconds after which a question for work that the orchestrator does not know of is lost."""


class UnwantedError(Exception):
    """The orchestrator does not take this worker, and says why."""


@dataclass(frozen=True)
class Question:
    """A slot's question for work, until it is answered."""

    since: float
    lost: asyncio.Event = field(default_factory=asyncio.Event)


class Session:
    """Runs beside the slots for as long as the worker lives, also while it drains."""

    def __init__(
        self,
        tools: Tools,
        held: Collection[Held],
        drain: Callable[[str], None],
        gauge: Gauge,
        ends: Callable[[float], None],
    ) -> None:
        """held: the leases, as they are at any time. drain: called with a reason, any often.

        ends: called with the seconds until the allocation ends, where somebody knows.
        """
        self._tools = tools
        self._gauge = gauge
        self._held = held
        self._drain = drain
        self._ends = ends
        self._again = asyncio.Event()
        self._questions: dict[int, Question] = {}
        self.registered = asyncio.Event()
        """Set once the orchestrator has taken this worker."""

        self.heard = Monotonic(asyncio.get_running_loop().time())
        """When the orchestrator last answered."""

    async def run(self) -> None:
        """Register, then send heartbeats. For ever. Raises UnwantedError."""
        while True:
            self._again.clear()
            terms = await self._register()
            self.registered.set()
            await self._beat(terms.heartbeat_every)

    def register_again(self) -> None:
        """Somebody answered that it does not know this worker."""
        self._again.set()

    @contextmanager
    def asking(self, slot: int) -> Generator[asyncio.Event]:
        """Set if it turns out that nobody knows of the question that is asked meanwhile."""
        question = self._questions[slot] = Question(asyncio.get_running_loop().time())
        try:
            yield question.lost
        finally:
            del self._questions[slot]

    async def serve(self) -> None:
        """Answer what is pushed to this worker. For ever."""
        async with (
            self._tools.bus.serve("worker", *self._bindings()) as inbox,
            asyncio.TaskGroup() as turns,
        ):
            while True:
                turns.create_task((await inbox.get()).handle())

    async def alone(self) -> None:
        """Return once the orchestrator has not answered for too long."""
        clock = asyncio.get_running_loop().time
        longest = self._tools.pace.alone_longest
        while (left := self.heard + longest - clock()) > 0:  # noqa: ASYNC110 - `heard` moves on
            await asyncio.sleep(left)

    async def _register(self) -> Registered:
        me, pace = self._tools.me, self._tools.pace
        backoff = Backoff(self._tools.rng, pace.retry_first, pace.retry_longest)
        message = Register(
            worker=me.worker,
            instance=me.instance,
            allocation=me.allocation,
            provider=me.provider,
            cluster=me.cluster,
            host=me.host,
            pid=me.pid,
            image=me.image,
            platforms=me.platforms,
            gpus=me.gpus,
            slots=me.slots,
            deadline=me.deadline,
            version=me.version,
            external=me.external,
            cpus=me.cpus,
            memory_gb=me.memory_gb,
        )
        while True:
            try:
                terms = await self._tools.bus.ask(contract.REGISTER, message)
            except RefusedError as exc:
                if exc.refusal.error in UNWANTED:
                    raise UnwantedError(str(exc)) from exc
                log.warning("worker.refused", reason=str(exc))
            except BusError as exc:
                log.info("worker.waits_for_orchestrator", reason=repr(exc))
            else:
                self._heard()
                log.info("worker.registered", worker=me.worker, cluster=me.cluster)
                return terms
            await backoff.pause()

    async def _beat(self, every: float) -> None:
        """Until the orchestrator does not know this worker."""
        silent = False
        while not self._again.is_set():
            leases = tuple(held.said() for held in self._held)
            me = self._tools.me
            begin = asyncio.get_running_loop().time()
            beat = Heartbeat(
                worker=me.worker, instance=me.instance, leases=leases, load=self._gauge.latest
            )
            try:
                ack = await self._tools.bus.ask(contract.HEARTBEAT, beat)
            except BusError as exc:
                if not silent:
                    log.warning("heartbeat.unanswered", reason=repr(exc))
                silent = True
            else:
                silent = False
                self._heard()
                self._heed(ack, beat)
                self._ask_again(ack, begin)
                if not ack.known:
                    return
            await self._pause(every)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._again.wait()
        except TimeoutError:
            return

    def _heed(self, ack: HeartbeatAck, beat: Heartbeat) -> None:
        """What was pushed and may have been lost is said once more in every answer."""
        if ack.ends_in is not None:
            self._ends(ack.ends_in)
        if ack.drain is not None:
            self._drain(ack.drain)
        for job in ack.superseded:
            # The answer names the job only: of two leases of one job the elder is meant.
            epochs = [lease.epoch for lease in beat.leases if lease.job == job]
            for held in self._leases(job):
                if epochs and held.epoch == min(epochs):
                    held.drop()
        for job in ack.cancelled:
            for held in self._leases(job):
                held.cancel()

    def _ask_again(self, ack: HeartbeatAck, sent: float) -> None:
        """Have asked again what is not known there, as after a restart of the orchestrator."""
        if ack.asking is None:
            return
        for slot, question in self._questions.items():
            if slot not in ack.asking and sent - question.since > ASK_TRAVELS:
                question.lost.set()

    def _leases(self, job: JobId) -> list[Held]:
        return [held for held in self._held if held.job == job]

    def _heard(self) -> None:
        self.heard = Monotonic(asyncio.get_running_loop().time())

    def _bindings(self) -> Iterable[Binding]:
        me = self._tools.me.worker
        yield contract.PING.answered_by(self._pinged, worker=me)
        yield contract.DRAIN.answered_by(self._told_to_drain, worker=me)
        yield contract.STOP.answered_by(self._told_to_stop, worker=me)

    def _pinged(self, _ping: Ping) -> Pong:
        return Pong(instance=self._tools.me.instance)

    def _told_to_drain(self, drain: Drain) -> Done:
        self._drain(drain.reason)
        return Done()

    def _told_to_stop(self, stop: StopJob) -> Done:
        for held in self._leases(stop.job):
            if held.epoch == stop.epoch and stop.standing is not Standing.ACCEPTED:
                held.heed(stop.standing)
        return Done()
