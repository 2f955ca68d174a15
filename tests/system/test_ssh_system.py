"""Commands through the system's own `ssh` and a master connection, against a real sshd."""

import asyncio
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest

from relaymd.actors.providers.provider import ProviderError
from relaymd.actors.providers.shell import Finished, LocalShell, UnansweredError
from relaymd.actors.providers.shells import shell_for
from relaymd.actors.providers.ssh import SshShell
from relaymd.actors.providers.ssh_system import SystemSsh
from relaymd.core.clusters import SshClient, SshConfig
from tests.actors.office import until
from tests.system.sshd import SSHD, Sshd, keygen, serving

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(SSHD is None, reason="openssh-server is not installed"),
]


@pytest.fixture
def sshd(tmp_path: Path) -> Generator[Sshd]:
    with serving(tmp_path / "sshd") as server:
        yield server  # a master connection ends with the server


@pytest.fixture
def control() -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="relaymd-") as short:  # a socket's path has 100 bytes
        yield Path(short) / "c"


def login(sshd: Sshd, **changes: str) -> SshConfig:
    made = SshConfig(
        host="127.0.0.1",
        user=sshd.user,
        port=sshd.port,
        client=SshClient.SYSTEM,
        identity_file=str(sshd.key),
        known_hosts_file=str(sshd.known_hosts),
        config_file=str(sshd.config),
    )
    return msgspec.structs.replace(made, **changes)


def script(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


async def test_a_command_is_answered_with_its_code_and_both_streams(
    sshd: Sshd, control: Path
) -> None:
    far = SystemSsh(login(sshd), LocalShell(), control=control)
    said = await far.run(script("cat; echo no >&2; exit 3"), stdin=b"yes", within=30)

    assert said == Finished(code=3, stdout="yes", stderr="no\n")


async def test_words_are_not_split_or_expanded(sshd: Sshd, control: Path) -> None:
    words = ["a b", "$HOME", "*", "';'", "", "new\nline", "-n"]
    far = SystemSsh(login(sshd), LocalShell(), control=control)
    said = await far.run(["printf", "<%s>", *words], within=30)

    assert said.stdout == "".join(f"<{word}>" for word in words)


async def test_after_the_first_all_commands_take_its_connection(sshd: Sshd, control: Path) -> None:
    far = SystemSsh(login(sshd), LocalShell(), control=control)
    await far.run(["true"], within=30)
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(far.run(["echo", str(n)], within=60)) for n in range(20)]

    assert [run.result().stdout for run in runs] == [f"{n}\n" for n in range(20)]
    assert sshd.connections == 1


async def test_who_cannot_log_in_by_a_key_uses_the_master_that_a_person_opened(
    sshd: Sshd, control: Path, tmp_path: Path
) -> None:
    keygen(tmp_path / "other")
    far = SystemSsh(
        login(sshd, identity_file=str(tmp_path / "other")), LocalShell(), control=control
    )
    with pytest.raises(
        ProviderError, match=r"Permission denied.*log in once by hand: ssh "
    ) as said:
        await far.run(["true"], within=30)
    assert not isinstance(said.value, UnansweredError)

    person = SystemSsh(login(sshd), LocalShell(), control=control).by_hand()
    await asyncio.to_thread(
        subprocess.run,
        person.split(),
        check=True,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert (await far.run(["echo", "in"], within=30)).stdout == "in\n"
    assert sshd.connections == 1


async def test_an_unknown_host_is_refused(sshd: Sshd, control: Path) -> None:
    sshd.known_hosts.write_text("")
    sshd.config.write_text("StrictHostKeyChecking no\n")
    far = SystemSsh(login(sshd), LocalShell(), control=control)
    with pytest.raises(ProviderError, match="Host key verification failed"):
        await far.run(["true"], within=30)
    assert sshd.connections == 0


async def test_nobody_there_is_one_sentence(sshd: Sshd, control: Path) -> None:
    sshd.stop()
    far = SystemSsh(login(sshd), LocalShell(), control=control)
    with pytest.raises(ProviderError, match=r"was not reached: .*Connection refused") as said:
        await far.run(["true"], within=30)
    assert not isinstance(said.value, UnansweredError)


async def test_a_server_killed_in_the_middle_leaves_the_command_unanswered(
    sshd: Sshd, control: Path
) -> None:
    far = SystemSsh(login(sshd), LocalShell(), control=control)
    await far.run(["true"], within=30)
    waits = asyncio.create_task(far.run(script("echo up; exec sleep 3"), within=30))
    await until(lambda: sshd.log.count("Starting session: command") == 2)
    sshd.cut()
    with pytest.raises(UnansweredError, match="was lost while /bin/sh ran"):
        await waits
    assert (await far.run(["echo", "again"], within=30)).stdout == "again\n"


async def test_a_frozen_server_is_unanswered(sshd: Sshd, control: Path) -> None:
    far = SystemSsh(login(sshd), LocalShell(), control=control)
    await far.run(["true"], within=30)
    sshd.freeze()
    with pytest.raises(UnansweredError, match="did not end within 2 s"):
        await far.run(["true"], within=2)
    sshd.thaw()
    assert (await far.run(["echo", "back"], within=30)).stdout == "back\n"


def test_the_configuration_says_which_ssh_is_used(sshd: Sshd, tmp_path: Path) -> None:
    assert isinstance(shell_for(None, tmp_path), LocalShell)
    assert isinstance(shell_for(login(sshd), tmp_path), SystemSsh)
    built_in = msgspec.structs.replace(login(sshd), client=SshClient.BUILT_IN)
    assert isinstance(shell_for(built_in, tmp_path), SshShell)
