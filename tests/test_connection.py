from pathlib import Path

import pytest

from relaymd.config import Config, StorageConfig
from relaymd.connection import (
    Connection,
    Credentials,
    NoStackError,
    Role,
    StateFileError,
    connection_file,
    credentials_file,
    ensure_credentials,
    find,
    generate,
    read_connection,
    read_credentials,
    remove_connection,
    write_connection,
    write_private,
)

RUNNING = Connection(nats_url="nats://127.0.0.1:1", storage=StorageConfig(), pid=1)


def test_credentials_are_made_once_and_are_for_their_owner_only(tmp_path: Path) -> None:
    made = ensure_credentials(tmp_path / "state")
    assert {*made.passwords} == {*Role}
    assert len({*made.passwords.values(), made.bridge_token}) == len(Role) + 1
    assert credentials_file(tmp_path / "state").stat().st_mode & 0o777 == 0o600
    assert ensure_credentials(tmp_path / "state") == made


def test_no_two_stacks_have_the_same_credentials() -> None:
    assert generate() != generate()


def test_a_connection_is_there_while_the_stack_runs(tmp_path: Path) -> None:
    write_connection(tmp_path, RUNNING)
    assert connection_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert read_connection(tmp_path) == RUNNING
    remove_connection(tmp_path)
    remove_connection(tmp_path)
    with pytest.raises(NoStackError, match=f"no stack is running in {tmp_path}"):
        read_connection(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    ensure_credentials(tmp_path)
    credentials_file(tmp_path).chmod(mode)
    with pytest.raises(StateFileError, match="open to others") as error:
        read_credentials(tmp_path)
    assert "\n" not in str(error.value)


def test_a_damaged_file_is_said_without_its_content(tmp_path: Path) -> None:
    path = credentials_file(tmp_path)
    path.touch(mode=0o600)
    path.write_text('{"passwords": {"worker": "canary')
    with pytest.raises(StateFileError, match="damaged") as error:
        read_credentials(tmp_path)
    assert "canary" not in str(error.value)


def test_a_file_that_cannot_be_read_is_not_an_absent_stack(tmp_path: Path) -> None:
    connection_file(tmp_path).mkdir()
    with pytest.raises(StateFileError, match="cannot be read"):
        read_connection(tmp_path)


def test_a_state_folder_that_is_a_file_has_no_stack(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    with pytest.raises(NoStackError):
        read_connection(tmp_path / "state")


def test_a_write_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    write_private(tmp_path / "file", RUNNING)
    write_private(tmp_path / "file", RUNNING)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_stack_of_the_state_folder_is_found(tmp_path: Path) -> None:
    made = ensure_credentials(tmp_path)
    write_connection(tmp_path, RUNNING)
    found = find(Config(state_dir=str(tmp_path)), Role.OPERATOR)
    assert (found.url, found.user) == (RUNNING.nats_url, "operator")
    assert found.password == made.passwords[Role.OPERATOR]


def test_a_configured_server_needs_no_state_folder(tmp_path: Path) -> None:
    config = Config(
        state_dir=str(tmp_path), nats_url="nats://site:4222", nats_user="me", nats_password="x"
    )
    found = find(config, Role.WORKER)
    assert (found.url, found.user, found.password) == ("nats://site:4222", "me", "x")


def test_credentials_without_the_role_are_said(tmp_path: Path) -> None:
    few = Credentials(passwords={Role.WORKER: "x"}, bridge_token="x")
    write_private(credentials_file(tmp_path), few)
    write_connection(tmp_path, RUNNING)
    with pytest.raises(StateFileError, match="no password for the role operator"):
        find(Config(state_dir=str(tmp_path)), Role.OPERATOR)
