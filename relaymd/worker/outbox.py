"""The last words about a lease, on disk before they are said, said until they are answered.

One file a lease: checkpoints whose commit was not answered yet, then how the attempt ended. A
later process on the same folder says what this one could not; the lease's own epoch makes that
harmless.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import structlog

from relaymd.bus import contract
from relaymd.bus.bus import RefusedError
from relaymd.bus.messages import (
    CancelReport,
    CheckpointReport,
    Complete,
    Fail,
    Handoff,
    LeaseAnswer,
    Standing,
)
from relaymd.bus.subjects import Request
from relaymd.core.strict import decode_json
from relaymd.worker import files
from relaymd.worker.speech import say
from relaymd.worker.tools import Tools

log = structlog.get_logger()

LastWord: TypeAlias = Complete | Fail | Handoff | CancelReport


class Kind(StrEnum):
    COMPLETE = "complete"
    FAIL = "fail"
    HANDOFF = "handoff"
    CANCELLED = "cancelled"


SUBJECTS: Mapping[Kind, Request[Any, LeaseAnswer]] = {
    Kind.COMPLETE: contract.COMPLETE,
    Kind.FAIL: contract.FAIL,
    Kind.HANDOFF: contract.HANDOFF,
    Kind.CANCELLED: contract.CANCELLED,
}

KINDS: Mapping[type[LastWord], Kind] = {
    Complete: Kind.COMPLETE,
    Fail: Kind.FAIL,
    Handoff: Kind.HANDOFF,
    CancelReport: Kind.CANCELLED,
}


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    kind: Kind
    word: msgspec.Raw
    checkpoints: tuple[CheckpointReport, ...] = ()

    @classmethod
    def of(cls, word: LastWord, checkpoints: tuple[CheckpointReport, ...] = ()) -> "Letter":
        raw = msgspec.Raw(msgspec.json.encode(word))
        return cls(kind=KINDS[type(word)], word=raw, checkpoints=checkpoints)


class Outbox:
    def __init__(self, tools: Tools, folder: Path) -> None:
        self._tools = tools
        self._folder = folder

    async def keep(self, name: str, letter: Letter) -> None:
        """Write it down; on disk when this returns. Raises OSError."""
        path = self._folder / f"{name}.json"
        await self._tools.offload(files.write_durably, path, msgspec.json.encode(letter))

    async def deliver(self, name: str, letter: Letter) -> Standing:
        """Say it until it is answered, then strike it out.

        A refusal that time does not change counts as superseded: nobody wants to hear it.
        """
        standing = await self._say(letter)
        await self._tools.offload((self._folder / f"{name}.json").unlink, missing_ok=True)
        return standing

    async def left_over(self) -> dict[str, Letter]:
        """What earlier processes could not say, by name. What is unreadable stays where it is."""
        letters: dict[str, Letter] = {}
        for name, raw in (await self._tools.offload(files.read_all, self._folder)).items():
            try:
                letters[name.removesuffix(".json")] = decode_json(raw, Letter)
            except msgspec.DecodeError as exc:
                log.error("outbox.unreadable", file=str(self._folder / name), reason=str(exc))
        return letters

    async def _say(self, letter: Letter) -> Standing:
        request = SUBJECTS[letter.kind]
        try:
            for report in letter.checkpoints:
                standing = await say(self._tools, contract.CHECKPOINT, report)
                if standing is Standing.SUPERSEDED:
                    return standing
        except RefusedError as exc:
            log.error("report.refused", subject="checkpoint", reason=exc.refusal.message)
        try:
            word = decode_json(letter.word, request.carries)
            return await say(self._tools, request, word)
        except (msgspec.DecodeError, RefusedError) as exc:
            log.error("report.refused", subject=letter.kind, reason=str(exc))
            return Standing.SUPERSEDED
