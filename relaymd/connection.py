"""How a process finds the running stack and proves who it is: two files in the state folder.

`credentials.json` is made at the first start and stays; `connection.json` is there while
`relaymd up` runs. Both have mode 600.
"""

import os
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from relaymd.config import Config, StorageConfig

T = TypeVar("T", bound=msgspec.Struct)


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


class NoStackError(Exception):
    """The files that say where the stack is are not there, or cannot be read."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server is, and as whom to go there."""

    url: str
    user: str
    password: str


def find(config: Config, role: Role) -> Access:
    """By the configuration, else by the files of the state folder. Raises NoStackError."""
    state = Path(config.state_dir)
    url = config.nats_url or read_connection(state).nats_url
    if config.nats_password is not None:
        return Access(url=url, user=config.nats_user or role.value, password=config.nats_password)
    password = read_credentials(state).passwords.get(role)
    if password is None:
        raise NoStackError(f"{credentials_file(state)} has no password for the role {role}")
    return Access(url=url, user=config.nats_user or role.value, password=password)


def read_connection(state: Path) -> Connection:
    """Where the stack answers. Raises NoStackError."""
    return _read(connection_file(state), Connection, f"no stack runs on {state}")


def read_credentials(state: Path) -> Credentials:
    """The passwords. Raises NoStackError."""
    return _read(credentials_file(state), Credentials, f"no stack was ever started on {state}")


def write_private(path: Path, value: msgspec.Struct) -> None:
    """Write as JSON with mode 600, whole or not at all, and on disk when this returns."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _read(path: Path, kind: type[T], absent: str) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        raise NoStackError(f"{absent}: there is no {path.name}") from None
    except OSError as exc:
        raise NoStackError(f"{path} cannot be read: {exc.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise NoStackError(f"{path} is damaged: {exc}") from None
