"""What `squeue`, `sacct` and `sbatch` print, as values. Pure; no text can make it fail.

Times are asked for as seconds since 1970 (SLURM_TIME_FORMAT=%s), fields are separated by `|`,
and the job's name, which a user may choose as wildly as he likes, comes last.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from relaymd.core.ids import UnixTime

SQUEUE_FORMAT = "%i|%T|%S|%e|%N|%r|%j"
"""Id, state, start (expected while it waits), end, nodes, reason, name."""

SACCT_FORMAT = "JobIDRaw,State,ExitCode,DerivedExitCode,Start,End,JobName"

NOTHING = frozenset({"", "N/A", "None", "(null)", "Unknown", "UNLIMITED", "NONE", "INVALID"})

LONGEST_REASON = 500
"""Characters that are kept of a reason: it goes into the ledger and to people."""

_JOB = re.compile(r"[0-9][\w.+,%\[\]-]{0,99}", re.ASCII)
"""Also of an array's element, and of a part of a heterogeneous job."""

_NUMBER = re.compile(r"[0-9]{1,20}")
_ACCEPTED = re.compile(rf"({_NUMBER.pattern})(?:;[\w.-]+)?")
_SECONDS = re.compile(r"[0-9]{1,12}")
_STATE = re.compile(r"[A-Z_]{1,40}")


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `squeue`."""

    job: str
    name: str
    state: str
    start: UnixTime | None
    """Of a job that waits: when the scheduler expects to start it."""

    end: UnixTime | None
    nodes: str
    reason: str
    """Why it waits; of no meaning once it runs."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A job's own line in `sacct`, or that of one of its steps."""

    state: str
    exit_code: tuple[int, int]
    """Code and signal."""


class Accounted(msgspec.Struct, frozen=True, kw_only=True):
    """What `sacct` knows of one job."""

    job: str
    name: str
    own: Part
    derived_exit_code: tuple[int, int]
    """The worst of its steps'."""

    start: UnixTime | None
    end: UnixTime | None
    steps: tuple[Part, ...] = ()


def queued(text: str) -> list[Queued]:
    """Lines that are none, such as a greeting of the login node, are passed over."""
    found: list[Queued] = []
    for fields in _lines(text, 7):
        job, state, start, end, nodes, reason, name = fields
        if not _JOB.fullmatch(job):
            continue
        row = Queued(
            job=job,
            name=name,
            state=plain_state(state),
            start=time_in(start),
            end=time_in(end),
            nodes=_something(nodes),
            reason=_something(reason)[:LONGEST_REASON],
        )
        found.append(row)
    return found


def accounted(text: str) -> list[Accounted]:
    """The jobs in the order of the text; each with the steps that follow it."""
    jobs: dict[str, Accounted] = {}
    for job, state, code, derived, start, end, name in _lines(text, 7):
        number, dot, _ = job.partition(".")
        part = Part(state=plain_state(state), exit_code=exit_code(code))
        if not _NUMBER.fullmatch(number):
            continue
        if not dot:
            jobs[number] = Accounted(
                job=number,
                name=name,
                own=part,
                derived_exit_code=exit_code(derived),
                start=time_in(start),
                end=time_in(end),
            )
        elif number in jobs:
            known = jobs[number]
            jobs[number] = msgspec.structs.replace(known, steps=(*known.steps, part))
    return [*jobs.values()]


def accepted(stdout: str) -> str | None:
    """The job's id in what `sbatch --parsable` printed; None where there is none."""
    for line in reversed(stdout.splitlines()):
        if found := _ACCEPTED.fullmatch(line.strip()):
            return found.group(1)
    return None


def plain_state(text: str) -> str:
    """`CANCELLED by 1000` and `CANCELLED+` are CANCELLED; empty: it is no state."""
    words = text.upper().split()
    state = words[0].rstrip("+") if words else ""
    return state if _STATE.fullmatch(state) else ""


def exit_code(text: str) -> tuple[int, int]:
    code, _, signal = text.partition(":")
    return _number(code), _number(signal)


def time_in(text: str) -> UnixTime | None:
    """Seconds since 1970; a Slurm that writes dates all the same tells us nothing."""
    return UnixTime(float(text)) if _SECONDS.fullmatch(text.strip()) else None


def errors(stderr: str) -> list[str]:
    """The sentences of an error output, without the name of the command before them."""
    lines = (re.sub(r"^\w+: (error|fatal): ", "", line.strip()) for line in stderr.splitlines())
    return [line for line in lines if line]


def _lines(text: str, count: int) -> Iterator[list[str]]:
    return _fields(text.splitlines(), count)


def _fields(lines: Iterable[str], count: int) -> Iterator[list[str]]:
    for line in lines:
        fields = [field.strip() for field in line.split("|", count - 1)]
        if len(fields) == count:
            yield fields


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _something(text: str) -> str:
    return "" if text in NOTHING else text
