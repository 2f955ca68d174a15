"""The configuration: one YAML file, the environment above it, the defaults below it.

Looked up in `RELAYMD_CONFIG`, `./relaymd-config.yaml`, `~/.config/relaymd/config.yaml`; the
first found wins. Every key has the environment variable `RELAYMD_` + its name in capitals,
nested ones joined by `_`: `storage.bucket` is `RELAYMD_STORAGE_BUCKET`.
"""

from enum import StrEnum

import msgspec


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


class IdleStrategy(StrEnum):
    IMMEDIATE_EXIT = "immediate_exit"
    POLL_THEN_EXIT = "poll_then_exit"


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

    worker_dir: str | None = None
    """Where workers keep job folders; None: `workers/` in the state folder."""

    worker_slots: int = 1
    worker_idle_strategy: IdleStrategy | None = None
    """None: immediate_exit on SLURM, poll_then_exit elsewhere."""

    worker_idle_poll_max_seconds: float = 300.0
    """poll_then_exit: how long a worker waits for work before it leaves."""

    worker_checkpoint_poll_interval_seconds: float = 300.0
    worker_drain_seconds: float = 120.0
    """The longest a drain may take where no allocation's end limits it."""

    worker_alone_seconds: float = 900.0
    """How long a worker goes on without the control plane before it stops the engine."""
