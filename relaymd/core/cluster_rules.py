"""What the values of a cluster must satisfy beyond their types, one sentence each.

What passes here can be written into a script: one line is one line.
"""

import re
from collections.abc import Iterable, Iterator

from relaymd.core.clusters import ClusterConfig, GpuConfig, SaladConfig, WorkerImage
from relaymd.core.ids import TOKEN
from relaymd.core.strict import InvalidDocumentError

_ONE_WORD = ("partition", "account", "qos", "gres", "memory", "memory_per_gpu", "exclude")
_ONE_LINE = ("constraint", "venv", "sif_cache_dir", "work_dir", "log_dir", "credentials_file")
_MEMORY = re.compile(r"\d+[KMGT]?")
_SALAD_NAME = re.compile(r"[a-z][a-z0-9-]{0,61}[a-z0-9]")
_ONE_KEY = re.compile(r"[!-~]+")
_SAFE_URL = re.compile(r"https://|http://(127\.0\.0\.1|localhost|\[::1\])[:/]")
_AT_LEAST_ONE = ("nodes", "ntasks", "max_pending_jobs", "max_allocations", "slots")


def check(cluster: ClusterConfig, *, taken: Iterable[str] = ()) -> None:
    """Raises InvalidDocumentError for the first thing that is wrong."""
    for key, reason in _complaints(cluster, frozenset(taken)):
        where = f"clusters.{cluster.name}.{key}"
        raise InvalidDocumentError(f"clusters: {cluster.name}: {key}: {reason}", key=where)


def salad_complaints(salad: SaladConfig, *, taken: Iterable[str] = ()) -> dict[str, str]:
    """What is wrong with each key, named as in the configuration: `salad.slots`."""
    return {f"salad.{key}": reason for key, reason in _of_salad(salad, frozenset(taken))}


def _complaints(cluster: ClusterConfig, taken: frozenset[str]) -> Iterator[tuple[str, str]]:
    yield from _of_name(cluster.name, taken)
    yield from _of_words(cluster)
    yield from _of_numbers(cluster)
    yield from _of_time(cluster)
    if cluster.gpu is not None:
        yield from _of_gpu(cluster.gpu)
    for name, image in cluster.worker_images.items():
        yield from _of_image(name, image)
    if cluster.ssh is not None:
        yield from _of_ssh(cluster)


def _of_name(name: str, taken: frozenset[str]) -> Iterator[tuple[str, str]]:
    if not TOKEN.fullmatch(name):
        yield "name", "letters, digits, - and _ are allowed, at most 64"
    if name in taken:
        yield "name", "it is the name of another provider"


def _of_words(cluster: ClusterConfig) -> Iterator[tuple[str, str]]:
    for key in (*_ONE_WORD, *_ONE_LINE):
        text = getattr(cluster, key)
        if text is not None and (not text.strip() or _breaks(text)):
            yield key, "it must be one line that is not empty"
        if text is not None and key in _ONE_WORD and any(letter.isspace() for letter in text):
            yield key, f"{text!r} must not contain a space"
    for key in ("memory", "memory_per_gpu"):
        text = getattr(cluster, key)
        if text is not None and not _MEMORY.fullmatch(text):
            yield key, f"{text!r} is not an amount such as 16G"
    for key in ("sbatch_lines", "modules", "bind", "platforms"):
        if not all(line.strip() and not _breaks(line) for line in getattr(cluster, key)):
            yield key, "each must be one line that is not empty"
    if any(line.lstrip().startswith("#") for line in cluster.sbatch_lines):
        yield "sbatch_lines", "write the options without #SBATCH"
    if cluster.memory is not None and cluster.memory_per_gpu is not None:
        yield "memory", "it and memory_per_gpu exclude each other"
    if "\0" in cluster.prologue:
        yield "prologue", "it contains a NUL"


def _of_numbers(cluster: ClusterConfig) -> Iterator[tuple[str, str]]:
    for key in (*_AT_LEAST_ONE, "cpus_per_task"):
        number = getattr(cluster, key)
        if number is not None and number < 1:
            yield key, "it must be at least 1"
    for key in ("signal_seconds", "idle_poll_max_seconds"):
        number = getattr(cluster, key)
        if number is not None and not 0 < number < float("inf"):
            yield key, "it must be more than 0 seconds"
    if not 0 <= cluster.jit_threshold_hours < float("inf"):
        yield "jit_threshold_hours", "it cannot be less than 0"
    if not 0 <= cluster.wall_time_spread <= 0.5:
        yield "wall_time_spread", "it must be between 0 and 0.5"


def _of_time(cluster: ClusterConfig) -> Iterator[tuple[str, str]]:
    try:
        seconds = cluster.wall_seconds
    except ValueError as exc:
        yield "wall_time", str(exc)
        return
    if seconds is not None and seconds <= cluster.signal_seconds:
        yield "wall_time", "it must be longer than signal_seconds"


def _of_gpu(gpu: GpuConfig) -> Iterator[tuple[str, str]]:
    if gpu.count < 1:
        yield "gpu.count", "it must be at least 1; leave gpu out where there is none"
    if not 0 <= gpu.vram_gb < float("inf"):
        yield "gpu.vram_gb", "it cannot be less than 0"
    if gpu.type and not TOKEN.fullmatch(gpu.type.replace(".", "_")):
        yield "gpu.type", f"{gpu.type!r} is not the name of a GPU type such as a100"


def _of_image(name: str, image: WorkerImage) -> Iterator[tuple[str, str]]:
    key = f"worker_images.{name}"
    if not TOKEN.fullmatch(name.replace(".", "_")):
        yield key, "its name has letters, digits, dots, - and _"
    if (image.sif_path is None) == (image.image_uri is None):
        yield key, "it needs either sif_path or image_uri"
    if any(_breaks(text) for text in (image.sif_path, image.image_uri) if text is not None):
        yield key, "a path or address is one line"
    if image.image_uri is not None and "://" not in image.image_uri:
        yield f"{key}.image_uri", f"{image.image_uri!r} has no scheme such as docker://"


def _of_ssh(cluster: ClusterConfig) -> Iterator[tuple[str, str]]:
    ssh = cluster.ssh
    assert ssh is not None
    # A host that begins with a dash would be an option of `ssh`.
    if not ssh.host.strip() or ssh.host.startswith("-") or any(c.isspace() for c in ssh.host):
        yield "ssh.host", f"{ssh.host!r} is not the name of a host"
    if ssh.user is not None and (not ssh.user or ssh.user.startswith("-") or _breaks(ssh.user)):
        yield "ssh.user", f"{ssh.user!r} is not the name of a user"
    if ssh.port is not None and not 0 < ssh.port <= 65535:
        yield "ssh.port", f"{ssh.port} is not a port"
    if not 0 < ssh.connect_seconds < float("inf"):
        yield "ssh.connect_seconds", "it must be more than 0 seconds"


def _of_salad(salad: SaladConfig, taken: frozenset[str]) -> Iterator[tuple[str, str]]:
    yield from _of_name(salad.name, taken)
    given = (salad.organization, salad.project, salad.container_group)
    if any(given) and not salad.is_configured:
        yield "container_group", "organization, project and container_group belong together"
    for key in ("organization", "project", "container_group"):
        name = getattr(salad, key)
        if name is not None and not _SALAD_NAME.fullmatch(name):
            yield key, f"{name!r} is not a name: lower-case letters, digits and -, 2 to 63 of them"
    if salad.api_key is not None and not _ONE_KEY.fullmatch(salad.api_key):
        yield "api_key", "it must be one word"
    if not _SAFE_URL.match(salad.api_url):
        yield "api_url", "it must begin with https://, for the key travels with each request"
    for key in ("max_replicas", "slots"):
        if getattr(salad, key) < 1:
            yield key, "it must be at least 1"
    if not 0 < salad.request_seconds < float("inf"):
        yield "request_seconds", "it must be more than 0 seconds"
    if salad.gpu is not None:
        yield from _of_gpu(salad.gpu)


def _breaks(text: str) -> bool:
    return any(letter in text for letter in "\n\r\0")
