"""What a SLURM state means: whether an allocation waits, runs or has ended, and how it ended.

The job's own state does not tell all: a batch script may end with 0 although a step of it was
killed. So the steps count where the job itself calls its end a good one.
"""

from collections.abc import Iterable, Mapping

from relaymd.actors.providers.slurm_text import Accounted, Part, Queued
from relaymd.core.allocation import Sighting, Whereabouts
from relaymd.core.outcome import Outcome

WAITS = frozenset(
    ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
)
RUNS = frozenset(
    (
        *("RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING"),
        *("RESIZING", "STAGE_OUT", "POWER_UP_NODE", "UPDATE_DB"),
    )
)

ENDS: Mapping[str, tuple[Outcome, str]] = {
    "COMPLETED": (Outcome.INTERRUPTED, "its script ended in good order"),
    "TIMEOUT": (Outcome.INTERRUPTED, "its wall time was over"),
    "DEADLINE": (Outcome.INTERRUPTED, "its deadline had come"),
    "PREEMPTED": (Outcome.INTERRUPTED, "it was preempted by a job of higher priority"),
    "NODE_FAIL": (Outcome.INTERRUPTED, "its node failed"),
    "BOOT_FAIL": (Outcome.INTERRUPTED, "its node did not boot"),
    "OUT_OF_MEMORY": (Outcome.INTERRUPTED, "it used more memory than it was given"),
    "CANCELLED": (Outcome.INTERRUPTED, "it was cancelled"),
    "REVOKED": (Outcome.INTERRUPTED, "another cluster of the federation took it"),
    "LAUNCH_FAILED": (Outcome.NODE_UNFIT, "SLURM could not start its script"),
    "RECONFIG_FAIL": (Outcome.NODE_UNFIT, "its node could not be configured"),
    "FAILED": (Outcome.NODE_UNFIT, "its script failed"),
}
"""All of Slurm's states that are ends, and what each means for a job whose worker went with it."""

EXIT_CODES: Mapping[int, str] = {
    69: "its worker found no server, or was not wanted",
    72: "there is no Apptainer or no RelayMD on its node",
    73: "its worker's folder could not be used",
    74: "its container image could not be fetched",
    75: "its worker left with something unsaid",
    77: "its credentials cannot be read, or are open to others",
    78: "its configuration is wrong",
    126: "its command cannot be executed",
    127: "its command was not found",
}
"""Of `relaymd-worker`, and of the script around it."""

TELLING = ("OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "TIMEOUT", "PREEMPTED", "DEADLINE")
"""States of a step that tell more than a job's FAILED or COMPLETED, the most telling first."""


def is_end(state: str) -> bool:
    return state in ENDS


def from_queue(row: Queued) -> Sighting:
    """What one line of `squeue` says."""
    if row.state in WAITS:
        return Sighting(
            where=Whereabouts.PENDING,
            external=row.job,
            reason=why_it_waits(row.reason),
            estimated_start=row.start,
        )
    if row.state in RUNS:
        return Sighting(
            where=Whereabouts.RUNNING, external=row.job, started_at=row.start, deadline=row.end
        )
    if row.state in ENDS:
        return ended(row.state, external=row.job, because=row.reason)
    words = f"it is {row.state}" if row.state else "SLURM names no state of it"
    return Sighting(where=Whereabouts.UNKNOWN, external=row.job, reason=words)


def from_accounting(job: Accounted) -> Sighting:
    """What `sacct` says. A job that it calls alive is unknown: the queue would have it."""
    if job.own.state not in ENDS:
        return Sighting(where=Whereabouts.UNKNOWN, external=job.job)
    state = _telling(job.own.state, job.steps)
    code, signal = job.own.exit_code
    if state == "COMPLETED" and job.derived_exit_code != (0, 0):
        state, (code, signal) = "FAILED", job.derived_exit_code
    return ended(state, external=job.job, code=code, signal=signal)


def ended(
    state: str, *, external: str = "", code: int = 0, signal: int = 0, because: str = ""
) -> Sighting:
    """code, signal: of the script, where its state is FAILED."""
    outcome, words = ENDS[state]
    if state == "FAILED" and signal:
        outcome, words = Outcome.INTERRUPTED, f"its script was ended by signal {signal}"
    elif state == "FAILED" and code in EXIT_CODES:
        words = f"{EXIT_CODES[code]} (exit code {code})"
    elif state == "FAILED" and code > 128:
        outcome, words = Outcome.INTERRUPTED, f"its script was ended by signal {code - 128}"
    elif state == "FAILED" and code:
        words = f"its script failed with exit code {code}"
    elif because and state in ("FAILED", "LAUNCH_FAILED") and because != "NonZeroExitCode":
        # Of what was cancelled the queue still says why it had waited.
        words += f" ({because})"
    return Sighting(
        where=Whereabouts.GONE,
        external=external,
        outcome=outcome,
        reason=f"{state}: {words}",
    )


def _telling(state: str, steps: Iterable[Part]) -> str:
    if state not in ("COMPLETED", "FAILED"):
        return state
    seen = {step.state for step in steps}
    return next((better for better in TELLING if better in seen), state)


WAITING: Mapping[str, str] = {
    "Priority": "jobs of higher priority are before it",
    "Resources": "it is next, once nodes are free",
    "Dependency": "it waits for another job",
    "BeginTime": "it may not begin yet",
    "JobHeldUser": "it is held by its user: `scontrol release` frees it",
    "JobHeldAdmin": "it is held by an administrator",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition takes no jobs now",
    "PartitionTimeLimit": "wall_time is longer than the partition allows",
    "PartitionNodeLimit": "its partition does not have so many nodes",
    "ReqNodeNotAvail": "nodes that it needs are down or reserved",
    "Reservation": "it waits for its reservation",
    "Licenses": "it waits for a licence",
    "BadConstraints": "no node can ever fulfil what it asks for",
    "InvalidAccount": "its account is not valid",
    "InvalidQOS": "its QOS is not valid",
    "launch_failed_requeued_held": "SLURM could not start its script and holds it",
    "user_env_retrieval_failed_requeued_held": "the user's environment cannot be read on the node",
}


def why_it_waits(reason: str) -> str:
    """A pending reason with Slurm's own word in front."""
    if words := WAITING.get(reason.split(",")[0].strip("()")):
        return f"{reason}: {words}"
    if reason.startswith(("QOS", "Assoc")):
        return f"{reason}: what this account may use at a time is in use"
    return reason
