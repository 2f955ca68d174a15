"""One lease's checkpoint cycle: copy, upload, report; generation by generation.

    chunks of what changed ──► manifest ──► report ──► accepted: it exists

A generation that is uploaded but not answered for waits in `unanswered`; the reports go out in
order, and the orchestrator takes each once. Cycles of one lease never overlap.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from relaymd.bus import contract
from relaymd.bus.bus import BusError, RefusedError
from relaymd.bus.messages import CheckpointMiss, CheckpointReport
from relaymd.core.checkpoint import KEPT, Checkpoint
from relaymd.core.ids import Generation
from relaymd.core.outcome import Outcome
from relaymd.core.rhythm import out_of_step
from relaymd.core.specification import Specification
from relaymd.core.supervision import fallen_back
from relaymd.storage.collecting import collect
from relaymd.storage.generations import put_latest, put_manifest
from relaymd.storage.manifest import Manifest
from relaymd.storage.patterns import UnfitNameError
from relaymd.storage.store import StorageError, StorageUnreachableError
from relaymd.worker import files, snapshot
from relaymd.worker.gathering import Gathered, Gathering
from relaymd.worker.held import Held
from relaymd.worker.place import Place
from relaymd.worker.snapshot import NotValidError, UnsettledError, Watched
from relaymd.worker.speech import PASSING
from relaymd.worker.tools import Tools

log = structlog.get_logger()

COLLECT_EVERY = 12
"""Generations between two looks at what the store need not keep. The first is followed by one."""


class CycleError(Exception):
    """Nothing was committed; the reason is a sentence. What was committed before stands."""

    def __init__(self, reason: str, *, soon: bool = False, fatal: Outcome | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.soon = soon
        """Whether it is worth trying before the next tick."""

        self.fatal = fatal
        """What an attempt ends as whose last files meet this; None: time may heal it."""


class VoidError(CycleError):
    """The engine's files were at no moment a checkpoint; only the engine can change that."""


async def _no_output() -> None:
    pass


class Cycle:
    def __init__(
        self,
        tools: Tools,
        held: Held,
        place: Place,
        spec: Specification,
        *,
        restored: Manifest | None,
        generation: Generation,
        committed: Sequence[Checkpoint] = (),
        store_output: Callable[[], Awaitable[None]] = _no_output,
    ) -> None:
        """generation: the newest committed one, whether or not it could be restored.

        committed: those that the job remembers, newest last.

        store_output: called before a generation is reported, so that what the engine said on
        the way to a checkpoint outlives the worker as the checkpoint does. Must not raise.
        """
        self._tools = tools
        self._held = held
        self._place = place
        self._spec = spec
        self._store_output = store_output
        self._gathering = Gathering(tools, held.job, held.epoch, spec, restored)
        self._restored = restored.progress if restored is not None else None
        self._generation = generation
        self._committed = [*committed]
        self._uncollected = COLLECT_EVERY
        self._tries = 0
        self.unanswered: list[Checkpoint] = []
        self.nothing_yet = ""
        """Why the latest cycle found no checkpoint at all, where it did not."""

        self.seconds: float | None = None
        """How long the latest cycle took that stored something."""

    @property
    def watched(self) -> Watched:
        marker = self._spec.checkpoint_marker
        return Watched(root=self._place.work, patterns=self._spec.watched, marker=marker)

    async def learn(self) -> None:
        """Take the restored files as stored, before the engine runs."""
        try:
            seen = await self._tools.offload(snapshot.look, self.watched)
        except (OSError, UnfitNameError) as exc:
            log.warning("checkpoint.not_learned", job=self._held.job, reason=str(exc))
            return
        self._gathering.learn(seen)

    async def once(self, *, finished: bool = False) -> bool:
        """Store what changed; whether anything had. Raises CycleError.

        finished: the engine has ended well, so its files are valid whatever the marker says.
        """
        if not self._spec.watched:
            return False
        begin = asyncio.get_running_loop().time()
        self.nothing_yet = ""
        gathered = await self._gather(finished)
        if gathered is None or (not finished and self._is_untold(gathered)):
            return False
        await self._commit(gathered)
        self.seconds = asyncio.get_running_loop().time() - begin
        return True

    async def settle(self) -> None:
        """Say once more what was not answered yet. Raises CycleError where it was refused."""
        while self.unanswered:
            report = self._report(self.unanswered[0])
            try:
                answer = await self._tools.bus.ask(contract.CHECKPOINT, report)
            except RefusedError as exc:
                if exc.refusal.error in PASSING:
                    return
                self._generation = Generation(self.unanswered[0].generation - 1)
                self.unanswered.clear()
                self._gathering.refuse()
                raise CycleError(f"the checkpoint was refused: {exc}") from exc
            except BusError:
                return
            if not self._held.heed(answer.standing):
                self.unanswered.clear()
                return
            self._committed = [*self._committed, self.unanswered.pop(0)][-KEPT:]
            self._uncollected += 1
            await self._point_to(self._committed[-1])

    async def collect(self) -> None:
        """Remove what no generation needs any more, now and then. May be cut short anywhere."""
        if self._uncollected <= COLLECT_EVERY:
            return
        self._uncollected = 0
        keep = [*self._committed, *self.unanswered]
        stored = self._gathering.stored
        try:
            found = await collect(self._tools.store, self._held.job, self._held.epoch, keep, stored)
        except StorageError as exc:
            log.warning("checkpoint.not_collected", job=self._held.job, reason=str(exc))
        else:
            log.info(
                "checkpoint.collected", job=self._held.job, objects=found.objects, size=found.size
            )

    async def missed(self, reason: str) -> None:
        """Say that a cycle failed; once, for it changes nothing."""
        log.warning("checkpoint.missed", job=self._held.job, reason=reason)
        message = CheckpointMiss(
            worker=self._tools.me.worker,
            job=self._held.job,
            epoch=self._held.epoch,
            reason=reason[:1000],
        )
        try:
            answer = await self._tools.bus.ask(contract.CHECKPOINT_MISSED, message)
        except BusError as exc:
            log.warning("report.lost", subject="missed", reason=repr(exc))
        else:
            self._held.heed(answer.standing)

    def reports(self) -> tuple[CheckpointReport, ...]:
        """What is still to be said when the lease ends."""
        return tuple(self._report(checkpoint) for checkpoint in self.unanswered)

    async def _gather(self, finished: bool) -> Gathered | None:
        """None where nothing changed, or where there is no checkpoint yet."""
        watched = msgspec.structs.replace(self.watched, marker=None) if finished else self.watched
        left = self._tools.pace.void_tries
        while True:
            left -= 1
            try:
                return await self._try(watched)
            except NotValidError as exc:
                if left <= 0 and self._gathering.is_empty:
                    self.nothing_yet = str(exc)
                    return None
                if left <= 0:
                    raise VoidError(str(exc), soon=True) from exc
            except UnsettledError as exc:
                if left <= 0:
                    raise VoidError(str(exc), soon=True) from exc
            await asyncio.sleep(out_of_step(self._tools.pace.look, self._tries))

    async def _try(self, watched: Watched) -> Gathered | None:
        self._tries += 1
        staging = self._place.staging / str(self._tries)
        try:
            found = await self._gathering.gather(watched, staging)
        except StorageError as exc:
            soon = isinstance(exc, StorageUnreachableError)
            raise CycleError(f"the checkpoint cannot be stored: {exc}", soon=soon) from exc
        except OSError as exc:
            reason = f"the checkpoint's files cannot be read: {exc}"
            raise CycleError(reason, fatal=Outcome.NODE_UNFIT) from exc
        except UnfitNameError as exc:
            raise CycleError(str(exc), fatal=Outcome.ENGINE_FAILED) from exc
        finally:
            await self._tools.offload(files.remove_tree, staging)
        if found is None and self._gathering.is_empty:
            self.nothing_yet = f"no file matches {', '.join(self._spec.watched)} yet"
        return found

    def _is_untold(self, gathered: Gathered) -> bool:
        """Whether the files changed, but nobody said how far they are since the restore.

        With a guard against falling back, an engine that forgets its checkpoint is found out by
        what it says of its progress; before that, its files are not put over the good ones.
        """
        guarded = self._spec.progress_rollback_limit is not None
        told = gathered.progress not in (None, self._restored)
        return guarded and self._restored is not None and not told

    async def _commit(self, gathered: Gathered) -> None:
        """Store the manifest, and report."""
        lost = fallen_back(self._spec, self._restored, gathered.progress)
        if lost is not None:
            raise CycleError(f"the checkpoint is not taken: {lost}", fatal=Outcome.ENGINE_FAILED)
        manifest = Manifest(
            job=self._held.job,
            generation=Generation(self._generation + 1),
            epoch=self._held.epoch,
            at=self._tools.wall(),
            files=gathered.files,
            progress=gathered.progress,
            packs=gathered.packs,
        )
        try:
            checkpoint = await put_manifest(
                self._tools.store, manifest, size=gathered.size, uploaded=gathered.uploaded
            )
        except StorageError as exc:
            soon = isinstance(exc, StorageUnreachableError)
            raise CycleError(f"the checkpoint cannot be stored: {exc}", soon=soon) from exc
        self._gathering.keep(gathered)
        self._generation = manifest.generation
        try:
            await self._store_output()
        finally:  # also where we are cut short: its number is taken, its files are stored
            self.unanswered.append(checkpoint)
        await self.settle()

    async def _point_to(self, checkpoint: Checkpoint) -> None:
        """For people only, so a failure to do it changes nothing."""
        try:
            await put_latest(self._tools.store, self._held.job, checkpoint)
        except StorageError as exc:
            log.warning("checkpoint.no_pointer", job=self._held.job, reason=str(exc))

    def _report(self, checkpoint: Checkpoint) -> CheckpointReport:
        return CheckpointReport(
            worker=self._tools.me.worker, job=self._held.job, checkpoint=checkpoint
        )
