"""When an attempt has to end although its engine still runs, and what an engine's end means."""

import re
import signal
from collections.abc import Iterable, Sequence

import msgspec

from relaymd.core.checkpoint import Progress
from relaymd.core.ids import Monotonic
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.specification import Specification

FROM_OUTSIDE = frozenset(
    {signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU}
)
"""Signals that others send: a scheduler at its time limit, the kernel out of memory."""

LONGEST_LINE = 1000
"""Characters of a line that are kept while its end has not come, and as evidence."""

NO_ROOM = ("No space left on device", "Disk quota exceeded")
"""What the C library calls it, whatever the engine's language."""

SHELL_SIGNAL = 128
"""A shell says of a command that a signal ended: 128 and its number."""


class Signs(msgspec.Struct, frozen=True, kw_only=True):
    """What is seen of a running engine."""

    launched: Monotonic
    progressed: Monotonic | None = None
    """When its progress last changed; None: not since it was launched."""

    fatal: str | None = None
    """A line of this segment's output that the bundle calls fatal."""

    restored: Progress | None = None
    """Of the checkpoint that this segment began with."""

    progress: Progress | None = None
    """What the engine says now."""


def judge(spec: Specification, signs: Signs, *, now: Monotonic) -> AttemptEnd | None:
    """Why the engine has to be stopped, or None where it may go on."""
    if signs.fatal is not None:
        return _failed("its output matches a fatal pattern", signs.fatal)
    if (lost := fallen_back(spec, signs.restored, signs.progress)) is not None:
        return _failed(lost)
    runtime = now - signs.launched
    if spec.max_runtime_seconds is not None and runtime > spec.max_runtime_seconds:
        return _failed(f"it ran longer than {spec.max_runtime_seconds:g} s")
    if signs.progressed is None:
        limit = spec.startup_progress_timeout_seconds or spec.progress_timeout_seconds
        if limit is not None and runtime > limit:
            return _failed(f"it made no progress within {limit:g} s of its start")
        return None
    limit = spec.progress_timeout_seconds
    if limit is not None and now - signs.progressed > limit:
        return _failed(f"it made no progress for {limit:g} s")
    return None


def fallen_back(
    spec: Specification, restored: Progress | None, progress: Progress | None
) -> str | None:
    """Whether an engine that should go on has begun anew; how far it fell back, in words.

    Such an engine would write over the checkpoint that it did not read.
    """
    limit = spec.progress_rollback_limit
    if limit is None or restored is None or progress is None:
        return None
    for unit, before, after in (
        ("step ", restored.step, progress.step),
        ("fraction ", restored.fraction, progress.fraction),
    ):
        if before is not None and after is not None:
            if after < before * (1 - limit):
                return f"it fell back to {unit}{after:g} after {unit}{before:g} was restored"
            return None
    return None


def look_every(spec: Specification) -> float:
    """Seconds between two looks: fine enough for the shortest limit, at most 2."""
    limits = (
        spec.startup_progress_timeout_seconds,
        spec.progress_timeout_seconds,
        spec.max_runtime_seconds,
    )
    shortest = min((limit for limit in limits if limit is not None), default=20.0)
    return min(max(shortest / 10, 0.05), 2.0)


def compiled(patterns: Iterable[str]) -> list[re.Pattern[str]]:
    """The fatal patterns; one that is no regular expression is meant literally."""
    found: list[re.Pattern[str]] = []
    for pattern in patterns:
        try:
            found.append(re.compile(pattern))
        except (re.error, OverflowError, RecursionError):
            found.append(re.compile(re.escape(pattern)))
    return found


class FatalSearch:
    """Looks for fatal lines in text that arrives in pieces, cut anywhere."""

    def __init__(self, patterns: Sequence[re.Pattern[str]]) -> None:
        self._patterns = patterns
        self._begun = ""
        self.found: str | None = None
        """The first line that matched."""

    def feed(self, text: str) -> str | None:
        """Take in what came next, and return what was found so far."""
        if self.found is None and self._patterns:
            lines = (self._begun + text).splitlines(keepends=True)
            unfinished = bool(lines) and not lines[-1].endswith(("\n", "\r"))
            self._begun = lines[-1][-LONGEST_LINE:] if unfinished else ""
            self.found = next(filter(self._is_fatal, lines), None)
            if self.found is not None:
                self.found = self.found.strip()[:LONGEST_LINE]
        return self.found

    def _is_fatal(self, line: str) -> bool:
        text = line.rstrip("\r\n")
        return any(pattern.search(text) for pattern in self._patterns)


def signal_of(code: int) -> signal.Signals | None:
    """The signal that ended a process, also where a shell stands between it and us."""
    number = -code if code < 0 else code - SHELL_SIGNAL
    try:
        return signal.Signals(number)
    except ValueError:
        return None


def classify(code: int, evidence: str, *, disk_full: bool = False) -> AttemptEnd:
    """What an engine's end by itself means.

    evidence: the last lines of its output. disk_full: as seen after its end; an engine that
    could not write did not fail, its node did.
    """
    if code == 0:
        return AttemptEnd(outcome=Outcome.COMPLETED, reason="the engine finished", exit_code=0)
    ended_by = signal_of(code)
    if ended_by is None:
        reason = f"the engine exited with code {code}"
        if disk_full or any(words in evidence for words in NO_ROOM):
            return AttemptEnd(
                outcome=Outcome.NODE_UNFIT,
                reason=f"{reason}, and this node's disk is full",
                exit_code=code,
                evidence=evidence,
            )
        return _failed(reason, evidence, code)
    reason = f"the engine was ended by {ended_by.name}"
    if ended_by in FROM_OUTSIDE:
        return AttemptEnd(
            outcome=Outcome.INTERRUPTED,
            reason=f"{reason} from outside",
            exit_code=code,
            evidence=evidence,
        )
    return _failed(reason, evidence, code)


def _failed(reason: str, evidence: str = "", code: int | None = None) -> AttemptEnd:
    if not reason.startswith("the engine"):
        reason = f"the engine was stopped: {reason}"
    return AttemptEnd(
        outcome=Outcome.ENGINE_FAILED, reason=reason, exit_code=code, evidence=evidence
    )
