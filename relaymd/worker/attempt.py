"""One assignment: confirm it, make everything ready, run the engine, and say how it ended."""

from pathlib import Path

import structlog

from relaymd.bus import contract
from relaymd.bus.messages import Assignment, CancelReport, Fail, Handoff, LaunchReport, Phase, Start
from relaymd.core.checkpoint import Progress
from relaymd.core.ids import Generation
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.resources import Gpu
from relaymd.core.supervision import compiled
from relaymd.worker import preflight
from relaymd.worker.cycle import Cycle
from relaymd.worker.engine import Command, LaunchError
from relaymd.worker.environment import for_engine
from relaymd.worker.held import Held, Wish
from relaymd.worker.outbox import Letter
from relaymd.worker.output import Capture
from relaymd.worker.place import Place
from relaymd.worker.racing import before, unless
from relaymd.worker.run import Run
from relaymd.worker.running import Running
from relaymd.worker.speech import tell
from relaymd.worker.staging import Staged, StagingError, stage
from relaymd.worker.tools import Tools
from relaymd.worker.watch import Watch

log = structlog.get_logger()


class Attempt:
    def __init__(
        self,
        tools: Tools,
        assignment: Assignment,
        held: Held,
        place: Place,
        gpus: tuple[Gpu, ...] = (),
    ) -> None:
        """gpus: the slot's own."""
        self._tools = tools
        self._assignment = assignment
        self._held = held
        self._place = place
        self._gpus = gpus

    async def run(self) -> Letter | None:
        """The last word about the lease; None where there is nothing to say (any more)."""
        tools, held = self._tools, self._held
        start = Start(worker=tools.me.worker, job=held.job, epoch=held.epoch)
        confirm = before(held.past(lambda: held.until), tell(tools, held, contract.START, start))
        if not await unless(held, Wish.CANCEL, confirm) and held.wish is not Wish.CANCEL:
            return None
        try:
            staged = await unless(held, Wish.DRAIN, self._stage())
        except StagingError as exc:
            return self._failed(exc.end)
        if staged is None:
            return self._given_back()
        try:
            return await self._launch(staged)
        except LaunchError as exc:
            reason = f"the engine cannot be started: {exc}"
            return self._failed(AttemptEnd(outcome=Outcome.ENGINE_FAILED, reason=reason))

    async def _stage(self) -> Staged:
        """Make everything ready, and look whether the node is. Raises StagingError."""
        tools, place = self._tools, self._place
        if (end := await preflight.has_room(tools, self._assignment)) is not None:
            raise StagingError(end.outcome, end.reason)
        staged = await stage(tools, self._assignment, place)
        command = self._command(staged)
        end = await preflight.is_fit(tools, staged.spec, place, self._gpus, command)
        if end is not None:
            raise StagingError(end.outcome, end.reason, end.evidence)
        return staged

    async def _launch(self, staged: Staged) -> Letter | None:
        tools, held, place, spec = self._tools, self._held, self._place, staged.spec
        fatal = compiled(spec.fatal_log_patterns)
        output = Capture(tools, held, place, () if spec.fatal_log_path else fatal)
        watch = Watch(tools, held, place, spec, output, fatal, _progress(staged))
        cycle = Cycle(
            tools,
            held,
            place,
            spec,
            restored=staged.restored,
            generation=staged.generation,
            committed=self._assignment.checkpoints,
            store_output=output.store_if_possible,
        )
        await cycle.learn()
        await watch.begin()
        log.info("engine.starts", job=held.job, epoch=held.epoch, command=spec.command_line())
        async with (
            tools.listen(place.notices) as notices,
            tools.launch(self._command(staged, notices.path)) as engine,
        ):
            running = Running(tools, held, place, spec, engine, cycle, output, watch, notices)
            return await Run(running, self._report(staged)).until_the_end()

    def _command(self, staged: Staged, notices: Path | None = None) -> Command:
        held, place = self._held, self._place
        environment = for_engine(
            self._tools.environment,
            staged.spec.environment,
            job=held.job,
            epoch=held.epoch,
            generation=_restored(staged),
            gpus=self._gpus if self._tools.me.gpus else None,
            progress=_progress(staged),
            progress_file=staged.spec.progress_file_path,
            notices=notices,
        )
        return Command(
            argv=staged.spec.argv(),
            folder=place.work,
            environment=environment,
            stdout=place.stdout,
            stderr=place.stderr,
        )

    def _report(self, staged: Staged) -> LaunchReport:
        return LaunchReport(
            worker=self._tools.me.worker,
            job=self._held.job,
            epoch=self._held.epoch,
            restored=_restored(staged),
            progress=_progress(staged),
            note=staged.note[:1000],
        )

    def _failed(self, end: AttemptEnd) -> Letter:
        self._held.phase = Phase.REPORTING
        held = self._held
        return Letter.of(
            Fail(worker=self._tools.me.worker, job=held.job, epoch=held.epoch, end=end)
        )

    def _given_back(self) -> Letter | None:
        """For a lease that is wished back before its engine was started."""
        held, me = self._held, self._tools.me.worker
        if held.wish is Wish.DROP:
            return None
        if held.wish is Wish.CANCEL:
            return Letter.of(CancelReport(worker=me, job=held.job, epoch=held.epoch))
        reason = f"{held.reason}, before the engine was started"
        return Letter.of(Handoff(worker=me, job=held.job, epoch=held.epoch, reason=reason))


def _restored(staged: Staged) -> Generation:
    return staged.restored.generation if staged.restored else Generation(0)


def _progress(staged: Staged) -> Progress | None:
    """Of what was restored."""
    return staged.restored.progress if staged.restored else None
