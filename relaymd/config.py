"""The configuration: one YAML file, the environment above it, the defaults below it.

Looked up in `RELAYMD_CONFIG`, `./relaymd-config.yaml`, `~/.config/relaymd/config.yaml`; the
first found wins. Every key has the environment variable `RELAYMD_` + its name in capitals,
nested ones joined by `_`: `storage.bucket` is `RELAYMD_STORAGE_BUCKET`.
"""

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from relaymd.core import cluster_rules
from relaymd.core.clusters import ClusterConfig, IdleStrategy, SaladConfig
from relaymd.core.inheritance import ResolvedCluster, resolve
from relaymd.core.strict import InvalidDocumentError
from relaymd.settings import (
    InvalidConfigError,
    Setting,
    absolute,
    build,
    merge,
    misspelt,
    read_file,
)


class StorageKind(StrEnum):
    FOLDER = "folder"
    S3 = "s3"


class StorageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where simulation data lies. Access keys come from `secrets`, never from here."""

    kind: StorageKind = StorageKind.FOLDER
    path: str | None = None
    """folder: an absolute path; None: `storage/` in the state folder."""

    bucket: str | None = None
    prefix: str = ""
    """s3: put before every key, such as `relaymd/`."""

    region: str | None = None
    endpoint: str | None = None
    """s3: where to write; None: AWS itself."""

    read_endpoint: str | None = None
    """s3: where to read, such as a Cloudflare worker in front of B2; None: as `endpoint`."""

    read_token: str | None = None
    """s3: sent as a bearer token on reads through `read_endpoint`."""

    access_key_id: str | None = None
    secret_access_key: str | None = None
    """s3: better given in the environment than written in a file."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. Times are in seconds unless the name says otherwise."""

    state_dir: str = "~/.local/state/relaymd"
    """Everything `relaymd up` keeps: ledger, server, credentials, logs, the folder store."""

    log_level: str = "info"

    nats_url: str | None = None
    """A server to use; None: the one that `relaymd up` runs, found by the connection file."""

    nats_user: str | None = None
    nats_password: str | None = None
    """For `nats_url`; None: the credentials of the role in the state folder."""

    nats_host: str = "127.0.0.1"
    """Where the embedded server listens."""

    nats_port: int = 0
    """0: a free one, chosen once and remembered in the state folder."""

    storage: StorageConfig = StorageConfig()

    bridge_host: str = "127.0.0.1"
    bridge_port: int = 36158
    """The next free one is taken if it is not."""

    local_workers: int = 1
    """Worker processes that may run on this machine at a time; 0: none."""

    worker_heartbeat_interval_seconds: float = 5.0
    lease_time_to_live_seconds: float = 20.0
    lease_margin_seconds: float = 5.0
    lease_confirm_seconds: float = 10.0
    disconnect_grace_seconds: float = 3.0
    hang_up_grace_seconds: float = 1.0

    worker_dir: str | None = None
    """Where workers keep job folders; None: `workers/` in the state folder."""

    worker_slots: int | None = None
    """Jobs that one worker runs at a time; None: one a GPU, at least one."""

    worker_platforms: tuple[str, ...] = ()
    """What engines can run on here, in OpenMM's names; empty: CPU, with a GPU CUDA and OpenCL."""

    worker_idle_strategy: IdleStrategy | None = None
    """None: immediate_exit on SLURM, poll_then_exit elsewhere."""

    worker_idle_poll_max_seconds: float = 300.0
    """poll_then_exit: how long a worker waits for work before it leaves."""

    worker_checkpoint_poll_interval_seconds: float = 300.0
    worker_drain_seconds: float = 120.0
    """The longest a drain may take where no allocation's end limits it."""

    worker_transfer_memory_mib: int = 256
    """The most that a checkpoint's way into the store or back may take of memory, a job."""

    worker_staging_mib: int = 8192
    """The most that waits on the worker's disk to be stored, a job; 0: nothing does."""

    worker_alone_seconds: float = 900.0
    """How long a worker goes on without the control plane before it stops the engine."""

    overflow_after_seconds: float = 600.0
    """Salad gets what no cluster has started, or will start, within this time."""

    salad: SaladConfig = SaladConfig()
    clusters: tuple[ClusterConfig, ...] = ()
    """SLURM clusters, or partitions of one; an entry may extend another."""


SECRETS = frozenset(
    {
        "nats_password",
        "salad.api_key",
        "storage.access_key_id",
        "storage.read_token",
        "storage.secret_access_key",
    }
)
"""Keys whose values are never shown."""

PATHS = frozenset({"state_dir", "storage.path", "worker_dir"})
"""Keys that name folders: `~` is the home; others are relative to where they are written."""

LOCAL = "local"
"""The cluster that this machine is; no other may be named so."""

LEVELS = ("debug", "info", "warning", "error")

OTHER_VARIABLES = frozenset(
    {
        "RELAYMD_ALLOCATION",
        "RELAYMD_CLUSTER",
        "RELAYMD_CONFIG",
        "RELAYMD_DEADLINE",
        "RELAYMD_ENV",
        "RELAYMD_EPOCH",
        "RELAYMD_GENERATION",
        "RELAYMD_IMAGE",
        "RELAYMD_JOB_ID",
        "RELAYMD_JOB_TITLE",
        "RELAYMD_PARENT_PID",
        "RELAYMD_PROVIDER",
        "RELAYMD_SLOT",
        "RELAYMD_WORKER_ALLOCATION",
        "RELAYMD_WORKER_CLUSTER",
        "RELAYMD_WORKER_DEADLINE",
        "RELAYMD_WORKER_EXTERNAL",
        "RELAYMD_WORKER_ID",
        "RELAYMD_WORKER_IMAGE",
        "RELAYMD_WORKER_NOTICE",
        "RELAYMD_WORKER_PROVIDER",
    }
)
"""Set by us for our own processes and for engines; no settings."""


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration and how it came about."""

    config: Config
    settings: tuple[Setting, ...]
    warnings: tuple[str, ...] = ()
    """Variables that are probably misspelt."""

    file: Path | None = None
    clusters: tuple[ResolvedCluster, ...] = ()


def load_config(
    environ: Mapping[str, str] | None = None, cwd: Path | None = None, home: Path | None = None
) -> Config:
    """The configuration of this process. Raises InvalidConfigError, one sentence."""
    return read_config(
        os.environ if environ is None else environ, cwd or Path.cwd(), home or Path.home()
    ).config


def read_config(environ: Mapping[str, str], cwd: Path, home: Path) -> Loaded:
    """As `load_config`, with the origin of each value. Raises InvalidConfigError."""
    file = find(environ, cwd, home)
    document = read_file(file, Config, apart=frozenset({"clusters"})) if file else {}
    settings = [
        _resolved(setting, file, cwd, home) for setting in merge(Config, document, file, environ)
    ]
    clusters = _clusters(settings)
    apart = [one for one in settings if one.key != "clusters"]
    config = msgspec.structs.replace(
        build(Config, apart), clusters=tuple(one.config for one in clusters)
    )
    for setting in settings:
        if complaint := _complaint(setting, config):
            raise InvalidConfigError(f"{_place(setting)}: {complaint}")
    return Loaded(
        config=config,
        settings=tuple(settings),
        warnings=tuple(misspelt(Config, environ, OTHER_VARIABLES)),
        file=file,
        clusters=clusters,
    )


def _clusters(settings: list[Setting]) -> tuple[ResolvedCluster, ...]:
    values = {setting.key: setting for setting in settings}
    taken = {LOCAL}
    if values["salad.project"].value is not None:
        taken.add(str(values["salad.name"].value))
    written = values["clusters"]
    try:
        return resolve(written.value, taken=taken)
    except InvalidDocumentError as exc:
        where = written.origin.partition(":")[2]
        raise InvalidConfigError(f"{where}: {exc}") from None


def find(environ: Mapping[str, str], cwd: Path, home: Path) -> Path | None:
    """The first file that is there. One that `RELAYMD_CONFIG` names must be."""
    if named := environ.get("RELAYMD_CONFIG"):
        file = Path(absolute(named, cwd, home))
        if not file.is_file():
            raise InvalidConfigError(f"RELAYMD_CONFIG names {file}, which is not a file")
        return file
    places = (cwd / "relaymd-config.yaml", home / ".config" / "relaymd" / "config.yaml")
    return next((place for place in places if place.exists()), None)


def _resolved(setting: Setting, file: Path | None, cwd: Path, home: Path) -> Setting:
    """Paths made absolute: those of the file from its folder, all others from `cwd`."""
    if setting.key not in PATHS or setting.value is None:
        return setting
    base = file.parent if file and setting.origin.startswith("file:") else cwd
    return msgspec.structs.replace(setting, value=absolute(setting.value, base, home))


def _complaint(setting: Setting, config: Config) -> str | None:
    """What is wrong with a value whose type is right."""
    value: Any = setting.value
    match setting.key:
        case "log_level" if str(value) not in LEVELS:
            return f"{value!r} is none of {', '.join(LEVELS)}"
        case "lease_time_to_live_seconds" if value <= config.worker_heartbeat_interval_seconds:
            return "it must be longer than worker_heartbeat_interval_seconds"
        case key if key.startswith("salad."):
            return cluster_rules.salad_complaints(config.salad, taken={LOCAL}).get(key)
        case "storage.bucket" if config.storage.kind is StorageKind.S3 and not value:
            return "storage of the kind s3 needs a bucket"
        case "local_workers" if value < 0:
            return "it cannot be less than 0"
        case "worker_slots" if isinstance(value, int) and value < 1:
            return "it must be at least 1"
        case "worker_transfer_memory_mib" if value < 32:
            return "it must be at least 32"
        case "worker_staging_mib" if value < 0:
            return "it cannot be less than 0"
        case key if key.endswith("_port") and not 0 <= value <= 65535:
            return f"{value} is not a port"
        case key if key.endswith("_seconds") and not 0 < value < float("inf"):
            return "it must be more than 0 seconds"
        case _:
            return None


def _place(setting: Setting) -> str:
    """Where a person finds the value: the variable, or the file and the key."""
    kind, _, where = setting.origin.partition(":")
    if kind == "environment":
        return where
    return f"{where}: {setting.key}" if where else setting.key
