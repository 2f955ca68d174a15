"""How a process finds the running stack and proves who it is: two files in the state folder.

`credentials.json` is made at the first start and stays; `connection.json` is there while
`relaymd up` runs. Both have mode 600.
"""

from enum import StrEnum
from pathlib import Path

import msgspec

from relaymd.config import StorageConfig


class Role(StrEnum):
    """Who may say what; the permissions stand in `nats/`."""

    ORCHESTRATOR = "orchestrator"
    WORKER = "worker"
    OPERATOR = "operator"
    OBSERVER = "observer"
    SYSTEM = "system"
    """NATS's own account, where the server tells who lost its connection."""


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """`credentials.json`. The user name of each role is its name."""

    passwords: dict[Role, str]
    bridge_token: str


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """`connection.json`."""

    nats_url: str
    bridge_url: str | None = None
    storage: StorageConfig
    """With the folder resolved, without secrets."""

    pid: int
    """Of `relaymd up`."""


def connection_file(state: Path) -> Path:
    return state / "connection.json"


def credentials_file(state: Path) -> Path:
    return state / "credentials.json"
