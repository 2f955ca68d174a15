"""What a worker elsewhere is told of our configuration: settings, and apart from them secrets."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from relaymd.config import SECRETS, Config, StorageKind
from relaymd.connection import Access
from relaymd.core.clusters import ClusterConfig
from relaymd.settings import keys

SAID_OTHERWISE = frozenset({"worker_dir", "worker_slots", "worker_idle_strategy"})
"""Settings of workers on this machine: a cluster has its own."""

ANYWHERE = frozenset({"0.0.0.0", "::", "*"})


class WorkerEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    settings: dict[str, str]
    """Variables that anybody may read."""

    secrets: dict[str, str]
    """Variables that nobody but the worker may."""

    file: str
    """Where the secrets are kept on a cluster, relative to the home; another for each stack."""


def for_cluster(config: Config, cluster: ClusterConfig, access: Access) -> WorkerEnvironment:
    """access: of the role worker, as this machine has it."""
    url = cluster.nats_url or _reachable(access.url, config.nats_host)
    settings = dict(_settings(config))
    settings |= {"RELAYMD_WORKER_IDLE_STRATEGY": cluster.idle_strategy.value}
    if cluster.idle_poll_max_seconds is not None:
        settings["RELAYMD_WORKER_IDLE_POLL_MAX_SECONDS"] = f"{cluster.idle_poll_max_seconds:g}"
    secrets = {"RELAYMD_NATS_PASSWORD": access.password, **dict(_secrets(config))}
    # An address may itself hold a password.
    (secrets if "@" in url else settings)["RELAYMD_NATS_URL"] = url
    settings["RELAYMD_NATS_USER"] = access.user
    stack = f"{socket.gethostname()}:{Path(config.state_dir).resolve()}:{cluster.name}"
    digest = hashlib.sha256(stack.encode()).hexdigest()[:12]
    return WorkerEnvironment(
        settings=settings,
        secrets=secrets,
        file=f".config/relaymd/{cluster.name}-{digest}.env",
    )


def _settings(config: Config) -> Iterator[tuple[str, str]]:
    for key in keys(Config):
        value = _value(config, key.path)
        ours = key.name.startswith(("worker_", "storage.")) and key.name not in SAID_OTHERWISE
        if ours and key.name not in SECRETS and value is not None and value != key.default:
            yield key.variable, _text(value)
    if config.storage.kind is StorageKind.FOLDER:
        folder = config.storage.path or str(Path(config.state_dir) / "storage")
        yield "RELAYMD_STORAGE_PATH", folder


def _secrets(config: Config) -> Iterator[tuple[str, str]]:
    for key in keys(Config):
        value = _value(config, key.path)
        if key.name in SECRETS and key.name.startswith("storage.") and value is not None:
            yield key.variable, str(value)


def _value(config: Config, path: tuple[str, ...]) -> Any:
    value: Any = config
    for part in path:
        value = getattr(value, part)
    return value


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, dict)):
        return msgspec.json.encode(value).decode()
    return str(value)


def _reachable(url: str, listens_on: str) -> str:
    """A server that listens everywhere is reached by this machine's name."""
    if listens_on not in ANYWHERE:
        return url
    parts = urlsplit(url)
    name = socket.getfqdn()
    host = f"{name}:{parts.port}" if parts.port else name
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}{host}").geturl()
