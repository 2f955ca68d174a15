"""What an engine gets to see of the environment: all it needs, and no secret of ours."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from relaymd.core.checkpoint import Progress
from relaymd.core.ids import Epoch, Generation, JobId
from relaymd.core.resources import Gpu

OURS = ("RELAYMD_", "AWS_", "B2_", "NATS_", "TS_", "SALAD_", "INFISICAL_")
"""Prefixes of variables that speak to RelayMD and its services, not to an engine."""

SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|AUTH_?KEY|ACCESS_?KEY|CREDENTIAL", re.I)


def for_engine(
    inherited: Mapping[str, str],
    own: Mapping[str, str],
    *,
    job: JobId,
    epoch: Epoch,
    generation: Generation,
    gpus: Iterable[Gpu] | None,
    progress: Progress | None = None,
    progress_file: str | None = None,
    notices: Path | None = None,
) -> dict[str, str]:
    """The engine's environment.

    own: the bundle's, which may set anything but who it is and which devices are its slot's.
    gpus: these, also where there are none; None: nobody counts them here. generation: what was
    restored; 0: nothing. progress: of what was restored. notices: the pipe on which the
    engine may be heard. `relaymd.engine` is the reader of what is told here.
    """
    kept = {name: value for name, value in inherited.items() if not is_withheld(name)}
    devices = {} if gpus is None else {"CUDA_VISIBLE_DEVICES": ",".join(gpu.uuid for gpu in gpus)}
    return {
        **kept,
        **own,
        **devices,
        "RELAYMD_JOB_ID": job,
        "RELAYMD_EPOCH": str(epoch),
        "RELAYMD_GENERATION": str(generation),
        **({"RELAYMD_PROGRESS": msgspec.json.encode(progress).decode()} if progress else {}),
        **({"RELAYMD_PROGRESS_FILE": progress_file} if progress_file else {}),
        **({"RELAYMD_NOTICES": str(notices)} if notices else {}),
    }


def is_withheld(name: str) -> bool:
    return name.startswith(OURS) or SECRET.search(name) is not None
