"""What it means when `sbatch` fails: whether the job may be there all the same, and what to do."""

import re
from collections.abc import Mapping

from relaymd.actors.providers.provider import ProviderError, ProviderRefusedError
from relaymd.actors.providers.shell import Finished, UnansweredError
from relaymd.actors.providers.slurm_text import errors

QUOTA_REST = 120.0
"""Seconds after which a quota may have room again: somebody's job has to end first."""

BUSY_REST = 60.0
CONFIGURATION_REST = 600.0
"""A person has to change something; asking now and then notices when an administrator did."""

_LIMIT = re.compile(r"\b(?:QOS|Assoc)\w*(?:Limit|Max\w+)\b")
_LOST = re.compile(
    r"Socket timed out|Zero Bytes|Unable to contact slurm controller|Communication connection|"
    r"connect failure|Connection (?:refused|reset|timed out)|Transport endpoint",
    re.I,
)
_BUSY = re.compile(r"temporarily un|try again|Slurm controller is in standby|in use", re.I)

LIMITS: tuple[tuple[str, str], ...] = (
    ("MaxSubmitJob", "as many of our jobs are in its queue as may be"),
    ("GrpSubmitJobs", "as many jobs of the group are in its queue as may be"),
    ("MaxJobs", "as many of our jobs run as may run"),
    ("GrpJobs", "as many jobs of the group run as may run"),
    ("MaxWall", "wall_time is longer than the limit"),
    ("Gres", "it asks for more GPUs than the limit"),
    ("Node", "it asks for more nodes than the limit"),
    ("Cpu", "it asks for more CPUs than the limit"),
    ("Mem", "it asks for more memory than the limit"),
)

REMEDIES: Mapping[str, str] = {
    "invalid partition": "look at `partition`",
    "account": "look at `account` and `partition`",
    "qos": "look at `qos`",
    "time limit": "look at `wall_time`",
    "--time": "look at `wall_time`",
    "node configuration": "look at `gres` or `gpu`, `nodes`, `ntasks` and `memory`",
    "memory specification": "look at `memory`",
    "feature": "look at `constraint`",
    "node name": "look at `exclude`",
    "generic resource": "look at `gres` or `gpu`",
    "gres": "look at `gres` or `gpu`",
    "unrecognized option": "look at `sbatch_lines`",
    "invalid option": "look at `sbatch_lines`",
    "invalid user": "this user has no account there",
    "access/permission": "this user may not use it",
}


def judged(finished: Finished) -> ProviderError:
    """The error that a failed `sbatch` is. One sentence; Slurm's own words are in it."""
    said = errors(finished.stderr)
    text = "; ".join(dict.fromkeys(said))[:500] or f"sbatch ended with {finished.code}"
    if finished.code in (124, 137):
        return UnansweredError("sbatch did not answer in time")
    if _LOST.search(text):
        return UnansweredError(f"SLURM did not answer: {text}")
    if limit := _LIMIT.search(text):
        return _quota(limit.group())
    if "job submit limit" in text:
        return ProviderRefusedError(f"a quota is full: {text}", retry_after=QUOTA_REST)
    if _BUSY.search(text):
        return ProviderRefusedError(f"SLURM takes no jobs now: {text}", retry_after=BUSY_REST)
    if not said or "sbatch" not in finished.stderr:  # whoever spoke, it was not sbatch
        return UnansweredError(f"sbatch failed: {text}")
    remedy = next((words for key, words in REMEDIES.items() if key in text.lower()), "")
    sentence = f"SLURM refused: {text}" + (f"; {remedy}" if remedy else "")
    return ProviderRefusedError(sentence, retry_after=CONFIGURATION_REST)


def _quota(limit: str) -> ProviderRefusedError:
    words = next((words for part, words in LIMITS if part.lower() in limit.lower()), "")
    sentence = f"a quota is full: {limit}" + (f": {words}" if words else "")
    return ProviderRefusedError(sentence, retry_after=QUOTA_REST)
