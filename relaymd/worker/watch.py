"""Looking at a running engine: how far it is, whether it moves, whether it said a fatal word."""

import asyncio
from re import Pattern

import msgspec

from relaymd.core.checkpoint import Progress
from relaymd.core.ids import Monotonic
from relaymd.core.outcome import AttemptEnd
from relaymd.core.specification import Specification
from relaymd.core.supervision import FatalSearch, Signs, judge, look_every
from relaymd.storage.patterns import UnfitNameError
from relaymd.storage.reading import Print
from relaymd.worker import files, progress, snapshot
from relaymd.worker.held import Held
from relaymd.worker.output import Capture
from relaymd.worker.place import Place
from relaymd.worker.tools import Tools


class Watch:
    """One engine's. Made before the engine starts, so that what was restored is no progress."""

    def __init__(
        self,
        tools: Tools,
        held: Held,
        place: Place,
        spec: Specification,
        output: Capture,
        fatal: list[Pattern[str]],
        restored: Progress | None = None,
    ) -> None:
        """restored: of the checkpoint that the engine is to go on from."""
        self._tools = tools
        self._held = held
        self._place = place
        self._spec = spec
        self._restored = restored
        self._output = output
        self._search = FatalSearch(fatal) if spec.fatal_log_path else None
        self._log = place.work / (spec.fatal_log_path or "")
        self._log_read = 0
        self._seen: tuple[Progress | None, dict[str, Print]] = (None, {})

    async def begin(self) -> None:
        """Remember how everything was before the engine ran."""
        if self._search:
            before = await self._tools.offload(snapshot.print_of, self._log)
            self._log_read = before.size if before else 0
        self._seen = await self._look()
        self._held.progress = self._seen[0]

    async def verdict(self) -> AttemptEnd:
        """Watch until the engine has to be stopped, and say why; for ever if it need not be."""
        clock = asyncio.get_running_loop().time
        signs = Signs(launched=Monotonic(clock()), restored=self._restored)
        while True:
            await asyncio.sleep(look_every(self._spec))
            seen = await self._look()
            if seen != self._seen:
                self._seen = seen
                self._held.progress = seen[0]
                now = Monotonic(clock())
                signs = msgspec.structs.replace(signs, progressed=now, progress=seen[0])
            fatal = await self._read_log() if self._search else self._output.fatal
            signs = msgspec.structs.replace(signs, fatal=fatal)
            end = judge(self._spec, signs, now=Monotonic(clock()))
            if end is not None:
                return end

    async def _look(self) -> tuple[Progress | None, dict[str, Print]]:
        told = await progress.read(self._tools.offload, self._place.work, self._spec)
        told = told or self._seen[0]  # what cannot be read just now says nothing
        if not self._spec.progress_glob_pattern:
            return told, {}
        growing = snapshot.Watched(root=self._place.work, patterns=self._spec.progress_glob_pattern)
        try:
            return told, (await self._tools.offload(snapshot.look, growing)).files
        except (OSError, UnfitNameError):
            return told, self._seen[1]  # not to be seen now, which proves nothing

    async def _read_log(self) -> str | None:
        """The first fatal line that this segment added to the log."""
        assert self._search is not None
        now = await self._tools.offload(snapshot.print_of, self._log)
        if now is not None and now.size < self._log_read:
            self._log_read = 0  # begun anew
        while data := await self._tools.offload(
            files.read_part, self._log, self._log_read, 1024 * 1024
        ):
            self._log_read += len(data)
            self._search.feed(data.decode(errors="replace"))
        return self._search.found
