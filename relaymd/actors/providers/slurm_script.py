"""The batch script of one allocation, from the template in `deploy/slurm`. Pure but for its file.

Whatever the configuration holds becomes one word of the shell or one option of `sbatch`; secrets
are not among it.
"""

import hashlib
import re
import shlex
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

import jinja2

import relaymd
from relaymd.core.allocation import Allocation
from relaymd.core.clusters import ClusterConfig, WorkerImage
from relaymd.core.resources import ProviderKind
from relaymd.core.walltime import spelled

TEMPLATE = "worker.sh.j2"
LOG_DIR = "relaymd-logs"
LOCK_SECONDS = 3600
"""How long a worker waits for another that fetches the image."""

_PLAIN = re.compile(r"[\w@%+=:,./|&*\[\]-]+")


class MissingTemplateError(Exception):
    """The package was built without its templates."""


def render(
    cluster: ClusterConfig,
    allocation: Allocation,
    *,
    settings: Mapping[str, str],
    credentials: str | None,
    avoid: Collection[str] = (),
) -> str:
    """The script.

    settings: variables for the worker, none of them secret. credentials: the file with the
    secret ones, on the cluster; it may begin with `~/`. avoid: nodes, by SLURM's names.
    """
    seconds = allocation.wall_seconds or cluster.wall_seconds
    name = allocation.image
    image = cluster.worker_images.get(name) if name is not None else None
    folders = [settings[key] for key in ("RELAYMD_STORAGE_PATH",) if key in settings]
    return _template().render(
        cluster=cluster,
        options=_options(cluster, allocation, seconds, avoid),
        identity=_identity(cluster, allocation),
        settings=settings,
        credentials=credentials,
        seconds=None if seconds is None else int(seconds),
        modules=cluster.modules,
        prologue=cluster.prologue.strip("\n"),
        work_dir=cluster.work_dir,
        image=image,
        image_file=None if name is None or image is None else _file_of(name, image),
        lock_seconds=LOCK_SECONDS,
        device=_device(cluster),
        bind=[*cluster.bind, *folders],
        command=f"{cluster.venv}/bin/relaymd-worker" if cluster.venv else "relaymd-worker",
    )


def log_dir(cluster: ClusterConfig) -> str:
    """Relative to the home, or absolute."""
    return (cluster.log_dir or LOG_DIR).removeprefix("~/")


def log_file(cluster: ClusterConfig, allocation: Allocation) -> str:
    return f"{log_dir(cluster)}/{allocation.id}.log"


def nodes_of(hosts: Collection[str], nodes: Collection[str]) -> tuple[str, ...]:
    """Which of SLURM's nodes these hosts are; none where they are all there are.

    nodes: those that SLURM has named; one that it does not know would make it refuse a submit.
    """
    short = {host.partition(".")[0] for host in hosts}
    found = {node for node in nodes if node.partition(".")[0] in short}
    return tuple(sorted(found)) if found < {*nodes} else ()


def _options(
    cluster: ClusterConfig, allocation: Allocation, seconds: float | None, avoid: Collection[str]
) -> list[str]:
    """What stands behind `#SBATCH`; a person's own lines come last and win."""
    gpu = cluster.gpu
    kind = f":{gpu.type}" if gpu is not None and gpu.type else ""
    gres = cluster.gres or (None if gpu is None else f"gpu{kind}:{gpu.count}")
    values: dict[str, object | None] = {
        "job-name": allocation.id,
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "nodes": cluster.nodes,
        "ntasks": cluster.ntasks,
        "cpus-per-task": cluster.cpus_per_task,
        "gres": gres,
        "mem": cluster.memory,
        "mem-per-gpu": cluster.memory_per_gpu,
        "constraint": cluster.constraint,
        "exclude": ",".join(name for name in (cluster.exclude, *avoid) if name) or None,
        "time": None if seconds is None else spelled(seconds),
        "signal": f"B:USR1@{int(cluster.signal_seconds)}",
        "output": log_file(cluster, allocation),
        "open-mode": "append",
        "export": "NONE",
    }
    ours = [f"--{name}={_word(str(value))}" for name, value in values.items() if value is not None]
    return [*ours, "--no-requeue", *cluster.sbatch_lines]


def _identity(cluster: ClusterConfig, allocation: Allocation) -> dict[str, str]:
    named = {"RELAYMD_WORKER_IMAGE": allocation.image} if allocation.image is not None else {}
    return {
        "RELAYMD_WORKER_ID": f"w{allocation.id.removeprefix('a')}",
        "RELAYMD_WORKER_ALLOCATION": allocation.id,
        "RELAYMD_WORKER_CLUSTER": cluster.name,
        "RELAYMD_WORKER_PROVIDER": ProviderKind.SLURM.value,
        "RELAYMD_WORKER_SLOTS": str(cluster.slots),
        **named,
    }


def _device(cluster: ClusterConfig) -> str:
    if cluster.gpu is None and not cluster.gres:
        return ""
    return " --rocm" if "HIP" in cluster.platforms else " --nv"


def _file_of(name: str, image: WorkerImage) -> str:
    """Another address is another file, so that a changed one is fetched anew."""
    return f"{name}-{hashlib.sha256((image.image_uri or '').encode()).hexdigest()[:12]}.sif"


def _word(text: str) -> str:
    """One word of a `#SBATCH` line, by the quoting that Slurm reads."""
    if _PLAIN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _path(text: str) -> str:
    """A path as one word of the shell; `~/`, `$HOME` and such in front are the shell's to fill."""
    if text.startswith("~/"):
        return '"$HOME"/' + shlex.quote(text[2:])
    if found := re.match(r"\$\{?([A-Za-z_]\w*)\}?(?=/|$)", text):
        rest = text[found.end() :]
        return f'"${{{found.group(1)}}}"' + (shlex.quote(rest) if rest else "")
    return shlex.quote(text)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # a script is no page; each value is quoted for the shell where it stands
    )
    environment.filters.update(sh=shlex.quote, path=_path)
    return environment.get_template(TEMPLATE)


def folder() -> Path:
    """Where the templates are: in the wheel, or in a checkout. Raises MissingTemplateError."""
    package = Path(relaymd.__file__).parent
    for place in (package / "deploy" / "slurm", package.parent / "deploy" / "slurm"):
        if (place / TEMPLATE).is_file():
            return place
    raise MissingTemplateError(f"the template {TEMPLATE} is missing beside {package}")
