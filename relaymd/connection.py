"""How a process finds the running stack and proves who it is: two files in the state folder.

`credentials.json` is made at the first start and stays; `connection.json` is there while
`relaymd up` runs. Both have mode 600. After a crash a `connection.json` may tell of a stack
that is gone: whoever connects will see.
"""

import os
import secrets
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from relaymd.config import Config, StorageConfig
from relaymd.core.strict import decode_json

ENTROPY = 24
"""Random bytes in a generated password or token."""


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


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server is, and as whom to go there."""

    url: str
    user: str
    password: str


T = TypeVar("T", bound=msgspec.Struct)


class NoStackError(Exception):
    """The files that say where the stack is are not there, or are not to be used."""


class StateFileError(NoStackError):
    """A file is there and unfit: unreadable, damaged, open to others. Shows no content."""


def find(config: Config, role: Role) -> Access:
    """By the configuration, else by the files of the state folder. Raises NoStackError."""
    state = Path(config.state_dir).expanduser()
    url = config.nats_url or read_connection(state).nats_url
    user = config.nats_user or role.value
    if config.nats_password is not None:
        return Access(url=url, user=user, password=config.nats_password)
    password = read_credentials(state).passwords.get(role)
    if password is None:
        raise StateFileError(f"{credentials_file(state)} has no password for the role {role}")
    return Access(url=url, user=user, password=password)


def generate() -> Credentials:
    """Fresh credentials for every role."""
    return Credentials(
        passwords={role: secrets.token_urlsafe(ENTROPY) for role in Role},
        bridge_token=secrets.token_urlsafe(ENTROPY),
    )


def ensure_credentials(state: Path) -> Credentials:
    """The state folder's credentials, made at the first start. Raises StateFileError."""
    path = credentials_file(state)
    if not path.exists():
        write_private(path, generate())
    return read_credentials(state)


def read_credentials(state: Path) -> Credentials:
    """The passwords. Raises NoStackError."""
    return _read(credentials_file(state), Credentials, f"no stack was ever started in {state}")


def read_connection(state: Path) -> Connection:
    """Where the stack answers. Raises NoStackError."""
    return _read(connection_file(state), Connection, f"no stack is running in {state}")


def write_connection(state: Path, connection: Connection) -> None:
    write_private(connection_file(state), connection)


def remove_connection(state: Path) -> None:
    connection_file(state).unlink(missing_ok=True)


def write_private(path: Path, value: msgspec.Struct) -> None:
    """Write as JSON with mode 600, whole or not at all, and on disk when this returns."""
    data = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, new = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # with mode 600
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(new).replace(path)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise


def _read(path: Path, as_type: type[T], absent: str) -> T:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        raise NoStackError(f"{absent}: there is no {path.name}") from None
    except OSError as error:
        raise StateFileError(f"{path} cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise StateFileError(f"{path} is open to others (mode {mode:o}): run `chmod 600 {path}`")
    try:
        return decode_json(data, as_type)
    except msgspec.DecodeError as error:
        raise StateFileError(f"{path} is damaged: {error}") from None


def connection_file(state: Path) -> Path:
    return state / "connection.json"


def credentials_file(state: Path) -> Path:
    return state / "credentials.json"
