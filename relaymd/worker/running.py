"""Everything that belongs to one running engine, and the last words that may be said of it."""

from dataclasses import dataclass

from relaymd.bus.messages import CancelReport, Complete, Fail, Handoff
from relaymd.core.outcome import AttemptEnd
from relaymd.core.specification import Specification
from relaymd.worker.cycle import Cycle
from relaymd.worker.engine import Engine
from relaymd.worker.held import Held
from relaymd.worker.notices import Notices
from relaymd.worker.outbox import Letter
from relaymd.worker.output import Capture
from relaymd.worker.place import Place
from relaymd.worker.racing import within
from relaymd.worker.tools import Tools
from relaymd.worker.watch import Watch


@dataclass(frozen=True)
class Running:
    tools: Tools
    held: Held
    place: Place
    spec: Specification
    engine: Engine
    cycle: Cycle
    output: Capture
    watch: Watch
    notices: Notices

    async def stop(self) -> int:
        """SIGTERM, a while, SIGKILL; the exit code."""
        self.engine.terminate()
        code = await within(self.tools.pace.term_grace, self.engine.exited())
        return await self.engine.kill() if code is None else code

    def complete(self) -> Letter:
        held = self.held
        word = Complete(worker=self.tools.me.worker, job=held.job, epoch=held.epoch)
        return Letter.of(word, self.cycle.reports())

    def handoff(self, reason: str) -> Letter:
        held = self.held
        word = Handoff(
            worker=self.tools.me.worker, job=held.job, epoch=held.epoch, reason=reason[:1000]
        )
        return Letter.of(word, self.cycle.reports())

    def failure(self, end: AttemptEnd) -> Letter:
        held = self.held
        word = Fail(worker=self.tools.me.worker, job=held.job, epoch=held.epoch, end=end)
        return Letter.of(word, self.cycle.reports())

    def cancelled(self) -> Letter:
        held = self.held
        word = CancelReport(worker=self.tools.me.worker, job=held.job, epoch=held.epoch)
        return Letter.of(word, self.cycle.reports())
