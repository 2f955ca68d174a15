"""Real engines below real guardians."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from relaymd.worker.engine import Command, Engine, LaunchError
from relaymd.worker.guardians import GuardedEngine, Guardians, guardians
from tests.worker.processes import is_alive, number_in, until

GRANDCHILD = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open("grandchild.new", "w").write(str(os.getpid()))
    os.rename("grandchild.new", "grandchild")
    time.sleep(600)
"""

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"

READY = "open('ready', 'w').close()\n"

SLEEP = "import time; time.sleep(600)"

WRITES_AT_TERM = """
import signal, sys, time

def write(*_):
    time.sleep(0.3)
    open("written", "w").close()
    sys.exit(0)

signal.signal(signal.SIGTERM, write)
open("ready", "w").close()
time.sleep(600)
"""

WORKER = """
import asyncio, os, sys
from pathlib import Path
from relaymd.worker.engine import Command
from relaymd.worker.guardians import guardians

async def main():
    here = Path.cwd()
    command = Command(
        argv=(sys.executable, "-c", sys.argv[1]), folder=here, environment={},
        stdout=here / "out", stderr=here / "err",
    )
    async with guardians() as engines, engines.launch(command) as engine:
        (here / "engine.new").write_text(str(engine.pid))
        (here / "engine.new").rename(here / "engine")
        await engine.exited()

asyncio.run(main())
"""


@asynccontextmanager
async def guarded(command: Command) -> AsyncGenerator[Engine]:
    async with guardians() as engines, engines.launch(command) as engine:
        yield engine


def python(folder: Path, script: str, **environment: str) -> Command:
    return Command(
        argv=(sys.executable, "-c", script),
        folder=folder,
        environment=environment,
        stdout=folder / "stdout",
        stderr=folder / "stderr",
    )


def shell(folder: Path, command: str) -> Command:
    return msgspec.structs.replace(python(folder, ""), argv=("/bin/sh", "-c", command))


@pytest.mark.parametrize("code", [0, 1, 3, 77, 255])
async def test_an_exit_code_arrives_as_it_is(tmp_path: Path, code: int) -> None:
    async with guarded(python(tmp_path, f"raise SystemExit({code})")) as engine:
        assert await engine.exited() == code


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
async def test_a_signal_that_ended_the_engine_arrives_as_its_negative(
    tmp_path: Path, number: signal.Signals
) -> None:
    script = f"import os; os.kill(os.getpid(), {int(number)})"
    async with guarded(python(tmp_path, script)) as engine:
        assert await engine.exited() == -number


async def test_the_end_of_an_engine_is_noticed_at_once(tmp_path: Path) -> None:
    """Not at the next checkpoint tick, five minutes later."""
    async with guarded(python(tmp_path, SLEEP)) as engine:
        assert isinstance(engine, GuardedEngine)
        os.kill(engine.pid, signal.SIGTERM)
        async with asyncio.timeout(1):
            assert await engine.exited() == -signal.SIGTERM


async def test_several_may_wait_for_the_same_end(tmp_path: Path) -> None:
    async with guarded(python(tmp_path, "pass")) as engine:
        assert [*await asyncio.gather(engine.exited(), engine.exited())] == [0, 0]


async def test_output_and_errors_are_appended_to_their_files(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_text("before\n")
    script = "import sys; print('said'); print('complained', file=sys.stderr)"
    async with guarded(python(tmp_path, script)) as engine:
        await engine.exited()
    assert (tmp_path / "stdout").read_text() == "before\nsaid\n"
    assert (tmp_path / "stderr").read_text() == "complained\n"


async def test_the_engine_sees_its_folder_and_its_environment_only(tmp_path: Path) -> None:
    script = "import os; print(os.getcwd(), os.environ.get('ONE'), os.environ.get('HOME'))"
    async with guarded(python(tmp_path, script, ONE="1")) as engine:
        await engine.exited()
    assert (tmp_path / "stdout").read_text().split() == [str(tmp_path), "1", "None"]


async def test_the_engine_begins_with_the_usual_signals_and_no_pipe_of_ours(tmp_path: Path) -> None:
    script = (
        "import os, signal\n"
        "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)\n"
        "print(sorted(set(os.listdir('/proc/self/fd')) & {str(n) for n in range(4, 64)}))\n"
    )
    async with guarded(python(tmp_path, script)) as engine:
        await engine.exited()
    assert (tmp_path / "stdout").read_text().splitlines() == ["True", "[]"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [(("/nonexistent/engine",), "No such file"), (("/etc/passwd",), "Permission denied")],
)
async def test_a_command_that_cannot_be_executed_is_said_in_words(
    tmp_path: Path, argv: tuple[str, ...], words: str
) -> None:
    command = Command(
        argv=argv,
        folder=tmp_path,
        environment={},
        stdout=tmp_path / "stdout",
        stderr=tmp_path / "stderr",
    )
    with pytest.raises(LaunchError, match=words):
        async with guarded(command):
            pass


async def test_a_folder_that_is_gone_is_said_in_words(tmp_path: Path) -> None:
    command = python(tmp_path / "gone", "pass")
    with pytest.raises(LaunchError):
        async with guarded(command):
            pass


async def test_sigterm_reaches_the_whole_group(tmp_path: Path) -> None:
    script = (
        "import os, signal, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('ready', 'w').close()\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "raise SystemExit(40 - child.wait())\n"
    )
    async with guarded(python(tmp_path, script)) as engine:
        await until((tmp_path / "ready").exists)
        engine.terminate()
        assert await engine.exited() == 40 + signal.SIGTERM


async def test_a_shell_that_dies_of_sigterm_leaves_what_it_ran_the_time_to_write(
    tmp_path: Path,
) -> None:
    (tmp_path / "engine.py").write_text(WRITES_AT_TERM)
    async with guarded(shell(tmp_path, f"{sys.executable} engine.py; true")) as engine:
        await until((tmp_path / "ready").exists)
        engine.terminate()
        assert await engine.exited() == -signal.SIGTERM
        assert (tmp_path / "written").exists()


async def test_what_a_dead_shell_ran_is_killed_where_it_does_not_end(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text(
        f"{STUBBORN}import os; open('pid', 'w').write(str(os.getpid()))\n{READY}{SLEEP}"
    )
    async with guarded(shell(tmp_path, f"{sys.executable} engine.py; true")) as engine:
        await until((tmp_path / "ready").exists)
        engine.terminate()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await engine.exited()
        assert await engine.kill() == -signal.SIGTERM
        assert not is_alive(number_in(tmp_path / "pid"))


async def test_an_engine_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    async with guarded(python(tmp_path, STUBBORN + READY + SLEEP)) as engine:
        await until((tmp_path / "ready").exists)
        engine.terminate()
        assert await engine.kill() == -signal.SIGKILL


async def test_a_grandchild_in_a_session_of_its_own_does_not_outlive_the_engine(
    tmp_path: Path,
) -> None:
    script = GRANDCHILD + "while not os.path.exists('grandchild'): time.sleep(0.01)\n"
    async with guarded(python(tmp_path, script)) as engine:
        assert await engine.exited() == 0
        grandchild = number_in(tmp_path / "grandchild")
        assert grandchild
        assert not is_alive(grandchild)


async def test_leaving_the_block_kills_everything(tmp_path: Path) -> None:
    async with guarded(python(tmp_path, GRANDCHILD + SLEEP)) as engine:
        assert isinstance(engine, GuardedEngine)
        grandchild = await until(lambda: number_in(tmp_path / "grandchild"))
    assert not is_alive(grandchild)
    assert not is_alive(engine.pid)


@pytest.mark.parametrize("manners", [SLEEP, STUBBORN + SLEEP, GRANDCHILD + STUBBORN + SLEEP])
async def test_no_process_of_the_engine_outlives_a_worker_killed_with_9(
    tmp_path: Path, manners: str
) -> None:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, manners, cwd=tmp_path
    )
    engine = await until(lambda: number_in(tmp_path / "engine"))
    grandchild = 0
    if manners.startswith(GRANDCHILD):
        grandchild = await until(lambda: number_in(tmp_path / "grandchild"))
    worker.kill()
    await worker.wait()
    await until(lambda: not is_alive(engine), within=2)
    await until(lambda: not is_alive(grandchild), within=2)


async def test_the_guardian_ignores_signals_that_slurm_sends_to_every_process(
    tmp_path: Path,
) -> None:
    script = "import time; open('ready', 'w').close(); time.sleep(600)"
    async with guarded(python(tmp_path, script)) as engine:
        assert isinstance(engine, GuardedEngine)
        await until((tmp_path / "ready").exists)
        guardian = parent_of(engine.pid)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(guardian, number)
        engine.terminate()
        assert await engine.exited() == -signal.SIGTERM


async def test_an_engine_does_not_outlive_its_guardian(tmp_path: Path) -> None:
    async with guarded(python(tmp_path, STUBBORN + SLEEP)) as engine:
        assert isinstance(engine, GuardedEngine)
        os.kill(parent_of(engine.pid), signal.SIGKILL)
        assert await engine.exited() == -signal.SIGKILL
        await until(lambda: not is_alive(engine.pid), within=2)


async def test_the_next_engine_finds_its_guardian_ready(tmp_path: Path) -> None:
    async with guardians() as engines:
        for _ in range(3):
            async with engines.launch(python(tmp_path, "raise SystemExit(7)")) as engine:
                assert await engine.exited() == 7


async def test_a_ready_guardian_that_was_killed_is_replaced(tmp_path: Path) -> None:
    async with guardians() as engines:
        idle = await until(lambda: [pid for pid in children() if "guardian.py" in words_of(pid)])
        os.kill(idle[0], signal.SIGKILL)  # whether we have heard of its end or not
        async with engines.launch(python(tmp_path, "raise SystemExit(7)")) as engine:
            assert await engine.exited() == 7


async def test_engines_can_be_started_without_a_guardian_in_waiting(tmp_path: Path) -> None:
    engines = Guardians()
    async with engines.launch(python(tmp_path, "raise SystemExit(7)")) as engine:
        assert await engine.exited() == 7
    await engines.close()


async def test_an_environment_larger_than_a_pipe_arrives(tmp_path: Path) -> None:
    script = "import os; print(len(os.environ['A']) + len(os.environ['B']))"
    command = python(tmp_path, script, A="x" * 100_000, B="y" * 100_000)
    async with guarded(command) as engine:
        assert await engine.exited() == 0
    assert (tmp_path / "stdout").read_text() == "200000\n"


def children() -> list[int]:
    listing = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [int(pid) for found in listing for pid in found.read_text().split()]


def words_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
