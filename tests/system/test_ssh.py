"""Commands over SSH, against a real sshd: answers, keys, losses, and what is said of them."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from relaymd.actors.providers.provider import ProviderError
from relaymd.actors.providers.shell import Finished, UnansweredError
from relaymd.actors.providers.ssh import SshShell
from relaymd.core.clusters import SshConfig
from tests.actors.office import until
from tests.system.sshd import SSHD, Sshd, keygen, serving
from tests.system.stack import is_alive

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(SSHD is None, reason="openssh-server is not installed"),
]


@pytest.fixture
def sshd(tmp_path: Path) -> Generator[Sshd]:
    with serving(tmp_path / "sshd") as server:
        yield server


def login(sshd: Sshd) -> SshConfig:
    return SshConfig(
        host="127.0.0.1",
        user=sshd.user,
        port=sshd.port,
        identity_file=str(sshd.key),
        known_hosts_file=str(sshd.known_hosts),
        config_file=str(sshd.config),
    )


def shell(sshd: Sshd, **changes: str | None) -> AbstractAsyncContextManager[SshShell]:
    return using(msgspec.structs.replace(login(sshd), **changes))


@asynccontextmanager
async def using(login: SshConfig) -> AsyncGenerator[SshShell]:
    made = SshShell(login)
    try:
        yield made
    finally:
        await made.close()


def script(text: str, *words: str) -> list[str]:
    return ["/bin/sh", "-c", text, "sh", *words]


async def refusal(shell: SshShell) -> str:
    with pytest.raises(ProviderError) as raised:
        await shell.run(["true"], within=30)
    assert not isinstance(raised.value, UnansweredError), "it certainly did not run"
    return str(raised.value)


# -- answers ------------------------------------------------------------------------------------


async def test_a_command_is_answered_with_its_code_and_both_streams(sshd: Sshd) -> None:
    async with shell(sshd) as far:
        said = await far.run(script("cat; echo no >&2; exit 3"), stdin=b"yes", within=30)

    assert said == Finished(code=3, stdout="yes", stderr="no\n")


async def test_words_are_not_split_or_expanded(sshd: Sshd) -> None:
    words = ["a b", "$HOME", "*", "';'", "", "new\nline", "`id`", "ünïcode", "\\", "-n"]
    async with shell(sshd) as far:
        said = await far.run(["printf", "<%s>", *words], within=30)

    assert said.stdout == "".join(f"<{word}>" for word in words)


async def test_large_input_and_output_do_not_wait_for_each_other(sshd: Sshd) -> None:
    much = b"x" * 5_000_000
    async with shell(sshd) as far:
        said = await far.run(script("tee /dev/stderr"), stdin=much, within=60)

    assert (len(said.stdout), len(said.stderr)) == (len(much), len(much))


async def test_fifty_commands_take_one_connection(sshd: Sshd) -> None:
    async with shell(sshd) as far:
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(far.run(["echo", str(n)], within=60)) for n in range(50)]
        assert [run.result().stdout for run in runs] == [f"{n}\n" for n in range(50)]

    assert sshd.connections == 1


async def test_a_command_that_is_not_there_has_the_code_of_the_far_shell(sshd: Sshd) -> None:
    async with shell(sshd) as far:
        said = await far.run(["sbatch-of-nowhere"], within=30)

    assert said.code == 127
    assert "No such file" in said.stderr


async def test_a_command_that_died_of_a_signal_says_so(sshd: Sshd) -> None:
    async with shell(sshd) as far:
        said = await far.run(script("kill -KILL $$"), within=30)

    assert said.code in (-signal.SIGKILL, 128 + signal.SIGKILL)  # as the far shell tells it


async def test_what_a_command_leaves_running_does_not_hold_us_up(sshd: Sshd) -> None:
    async with shell(sshd) as far:
        said = await far.run(script("setsid sleep 60 & echo $!"), within=20)

    os.kill(int(said.stdout), signal.SIGKILL)


async def test_output_without_end_is_an_error_and_not_our_memory(sshd: Sshd) -> None:
    small = SshShell(login(sshd), longest_output=1000)
    assert (await small.run(script("head -c 1000 /dev/zero"), within=30)).code == 0
    with pytest.raises(ProviderError, match="printed more than 1000 bytes"):
        await small.run(["yes"], within=30)
    assert (await small.run(["true"], within=30)).code == 0
    await small.close()


async def test_a_word_with_a_zero_byte_is_refused(sshd: Sshd) -> None:
    async with shell(sshd) as far:
        with pytest.raises(ProviderError, match="zero byte"):
            await far.run(["echo", "a\0b"], within=30)


# -- who lets whom in ---------------------------------------------------------------------------


async def test_a_key_that_the_server_does_not_take_is_one_sentence(
    sshd: Sshd, tmp_path: Path
) -> None:
    keygen(tmp_path / "other")
    async with shell(sshd, identity_file=str(tmp_path / "other")) as far:
        said = await refusal(far)

    assert said.startswith("127.0.0.1 does not let us in")


async def test_a_key_that_is_not_there_is_one_sentence(sshd: Sshd, tmp_path: Path) -> None:
    async with shell(sshd, identity_file=str(tmp_path / "none")) as far:
        assert "No such file" in await refusal(far)


async def test_a_host_that_nobody_knows_is_refused_with_its_fingerprint(sshd: Sshd) -> None:
    sshd.known_hosts.write_text("")
    async with shell(sshd) as far:
        said = await refusal(far)

    assert said.startswith("the host key of 127.0.0.1 is not known: it is SHA256:")
    assert sshd.connections == 0


async def test_a_changed_host_key_is_refused_even_where_the_client_is_told_not_to_look(
    sshd: Sshd,
) -> None:
    sshd.stop()
    sshd.new_host_key()
    sshd.start()
    sshd.config.write_text("StrictHostKeyChecking no\nUserKnownHostsFile none\n")
    async with shell(sshd) as far:
        said = await refusal(far)

    assert said.startswith("the host key of 127.0.0.1 has changed: it is now SHA256:")
    assert sshd.connections == 0


async def test_a_configuration_without_known_hosts_trusts_nobody(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    sshd.config.write_text("StrictHostKeyChecking no\nUserKnownHostsFile none\n")
    async with shell(sshd, known_hosts_file=None) as far:
        assert "is not known" in await refusal(far)


async def test_nobody_there_is_one_sentence(sshd: Sshd) -> None:
    sshd.stop()
    async with shell(sshd) as far:
        assert "was not reached" in await refusal(far)


async def test_an_alias_of_the_configuration_leads_through_its_jump_host(
    sshd: Sshd, tmp_path: Path
) -> None:
    with serving(tmp_path / "inner") as inner:
        shutil.copy(sshd.folder / "key.pub", inner.folder / "authorized_keys")
        both = sshd.known_hosts.read_text() + inner.known_hosts.read_text()
        (tmp_path / "both").write_text(both)
        sshd.config.write_text(
            f"Host campus\n  Hostname 127.0.0.1\n  Port {inner.port}\n  ProxyJump gate\n"
            f"Host gate\n  Hostname 127.0.0.1\n  Port {sshd.port}\n"
            f"Host *\n  User {sshd.user}\n  IdentityFile {sshd.key}\n"
            f"  UserKnownHostsFile {tmp_path}/both\n"
        )
        async with using(SshConfig(host="campus", config_file=str(sshd.config))) as far:
            said = await far.run(["echo", "here"], within=30)
        assert said.stdout == "here\n"
        assert (sshd.connections, inner.connections) == (1, 1)


# -- losses -------------------------------------------------------------------------------------


async def running(
    far: SshShell, tmp_path: Path, *, within: float = 30
) -> tuple[asyncio.Task[Finished], int]:
    """A command that runs for a minute, and its process id."""
    note = tmp_path / "pid"
    os.mkfifo(note)
    hangs = script('echo $$ > "$1"; exec sleep 60', str(note))
    run = asyncio.create_task(far.run(hangs, within=within))
    return run, int(await asyncio.to_thread(note.read_text))


async def test_a_server_killed_in_the_middle_leaves_the_command_unanswered(
    sshd: Sshd, tmp_path: Path
) -> None:
    async with shell(sshd) as far:
        run, pid = await running(far, tmp_path)
        sshd.cut()
        with pytest.raises(UnansweredError, match="was lost while /bin/sh ran"):
            await run
        assert (await far.run(["echo", "again"], within=30)).stdout == "again\n"

    assert sshd.connections == 2
    os.kill(pid, signal.SIGKILL)


async def test_a_command_that_hangs_is_killed_and_the_connection_goes_on(
    sshd: Sshd, tmp_path: Path
) -> None:
    async with shell(sshd) as far:
        run, pid = await running(far, tmp_path, within=4)
        with pytest.raises(UnansweredError, match=r"/bin/sh on 127.0.0.1 did not end within 4 s"):
            await run
        assert (await far.run(["true"], within=30)).code == 0
        await gone(pid)

    assert sshd.connections == 1


async def test_commands_that_hang_do_not_hold_up_the_others(sshd: Sshd) -> None:
    async with shell(sshd) as far, asyncio.TaskGroup() as group:
        hanging = [
            group.create_task(outcome(far.run(["sleep", "60"], within=15))) for _ in range(5)
        ]
        assert (await far.run(["true"], within=10)).code == 0
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()


async def gone(pid: int) -> None:
    await until(lambda: not is_alive(pid))


async def outcome(run: Awaitable[Finished]) -> Finished | ProviderError:
    try:
        return await run
    except ProviderError as exc:
        return exc


async def test_a_frozen_server_is_unanswered_and_found_again_when_it_thaws(sshd: Sshd) -> None:
    async with shell(sshd) as far:
        assert (await far.run(["true"], within=30)).code == 0
        sshd.freeze()
        with pytest.raises(UnansweredError, match="did not answer within 6 s"):
            await far.run(["true"], within=6)
        with pytest.raises(ProviderError, match="was not reached within 1 s"):
            await far.run(["true"], within=1)
        sshd.thaw()

        async def again() -> Finished:
            while True:
                try:
                    return await far.run(["echo", "back"], within=10)
                except ProviderError:
                    await asyncio.sleep(0.1)

        assert (await asyncio.wait_for(again(), 30)).stdout == "back\n"


async def test_who_was_not_reached_is_left_alone_for_a_while(sshd: Sshd) -> None:
    sshd.stop()
    async with shell(sshd) as far:
        assert "the next try" not in await refusal(far)
        assert "was not reached" in (said := await refusal(far))
        assert "the next try is in" in said
