"""SLURM's commands, run in a shell with time limits of their own, their output as values.

Each runs under `timeout` there, so that none is left behind on a login node whose connection
broke; and is waited for a little longer than that here.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from relaymd.actors.providers import slurm_refusals, slurm_text
from relaymd.actors.providers.provider import ProviderError
from relaymd.actors.providers.shell import Finished, Shell, UnansweredError
from relaymd.actors.providers.slurm_text import Accounted, Queued
from relaymd.core.ids import AllocationId, UnixTime


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """All in seconds."""

    submit: float = 40.0
    """A controller under load answers a submit after many, and it counts all the same."""

    look: float = 20.0
    grace: float = 5.0
    """For the way there and back, and for `timeout` to kill what does not hear TERM."""


LIMITS = Limits()

EARLIER = timedelta(days=2)
"""How far before its request an allocation is looked for: clocks and time zones differ."""

MANY = 100
"""Names in one question."""

AT_HOME = """cd && mkdir -p -- "$1" && shift || exit
for name in $(env | sed -n 's/^\\(SBATCH_[A-Z_]*\\)=.*/\\1/p'); do unset "$name"; done
exec "$@"
"""
"""Relative names in a script are as a person means them, and it alone says what is asked for."""

KEEP = """cd && umask 077 && mkdir -p -- "$(dirname -- "$1")" &&
cat >"$1.new.$$" && mv -- "$1.new.$$" "$1"
"""


class SlurmCommands:
    """Raises ProviderError where a command did not answer, and never takes that for an answer."""

    def __init__(self, shell: Shell, limits: Limits = LIMITS) -> None:
        self._shell = shell
        self._limits = limits

    async def submit(self, id: AllocationId, script: str, *, log_dir: str) -> str:
        """The job's id. Raises ProviderRefusedError where there certainly is no job."""
        command = _limited(self._limits.submit, "sbatch", "--parsable", f"--job-name={id}")
        finished = await self._shell.run(
            ["sh", "-c", AT_HOME, "sh", log_dir, *command],
            stdin=script.encode(),
            within=self._limits.submit + self._limits.grace,
        )
        if finished.code:
            raise slurm_refusals.judged(finished)
        job = slurm_text.accepted(finished.stdout)
        if job is None:
            raise UnansweredError(f"sbatch named no job but said {finished.stdout[:200]!r}")
        return job

    async def queue(self) -> list[Queued]:
        """All of our user's jobs that the controller remembers, ended ones included."""
        finished = await self._ask(
            "squeue", "--noheader", "--me", "--states=all", f"--format={slurm_text.SQUEUE_FORMAT}"
        )
        return slurm_text.queued(finished.stdout)

    async def accounting(self, names: Collection[AllocationId], since: UnixTime) -> list[Accounted]:
        """What accounting knows of jobs of these names."""
        day = (datetime.fromtimestamp(since, UTC) - EARLIER).date()
        finished = await self._ask(
            "sacct", "--noheader", "--parsable2", f"--starttime={day.isoformat()}",
            f"--format={slurm_text.SACCT_FORMAT}", f"--name={','.join(names)}",
        )  # fmt: skip
        return slurm_text.accounted(finished.stdout)

    async def cancel(self, id: AllocationId) -> None:
        """By name: a job of which we know no number is met as well, and none is no error."""
        await self._ask("scancel", f"--name={id}")

    async def keep_private(self, path: str, content: bytes) -> None:
        """Write a file there, readable to its owner only; relative to the home."""
        finished = await self._shell.run(
            ["sh", "-c", KEEP, "sh", path],
            stdin=content,
            within=self._limits.look + self._limits.grace,
        )
        if finished.code:
            raise ProviderError(f"{path} cannot be written: {_words(finished)}")

    async def _ask(self, *command: str) -> Finished:
        finished = await self._shell.run(
            ["env", "SLURM_TIME_FORMAT=%s", *_limited(self._limits.look, *command)],
            within=self._limits.look + self._limits.grace,
        )
        if finished.code:
            raise ProviderError(f"{command[0]} failed: {_words(finished)}")
        return finished


def _limited(seconds: float, *command: str) -> Sequence[str]:
    return ["timeout", "-k", "2", f"{seconds:g}", *command]


def _words(finished: Finished) -> str:
    if finished.code in (124, 137):
        return "it did not answer in time"
    return "; ".join(slurm_text.errors(finished.stderr))[:300] or f"exit code {finished.code}"
