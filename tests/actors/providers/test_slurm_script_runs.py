"""The batch script at work: what reaches the worker, what stays behind, how images are fetched."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.actors.providers.compute_node import CANARY, Node, container


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_worker_is_told_who_it_is_and_when_it_ends(node: Node) -> None:
    assert node.run() == (0, "")

    seen = node.seen()
    assert seen["RELAYMD_WORKER_ID"] == "w-1"
    assert seen["RELAYMD_WORKER_ALLOCATION"] == "a-1"
    assert (seen["RELAYMD_WORKER_CLUSTER"], seen["RELAYMD_WORKER_PROVIDER"]) == ("north", "slurm")
    assert seen["RELAYMD_WORKER_DEADLINE"] == "1795256690"
    assert seen["RELAYMD_NATS_URL"] == "nats://login:4222"
    assert (seen["RELAYMD_WORKER_EXTERNAL"], seen["RELAYMD_WORKER_NOTICE"]) == ("42", "30")


def test_a_deadline_in_the_environment_is_not_asked_for(node: Node) -> None:
    node.environment["SLURM_JOB_END_TIME"] = "1800000000"
    node.run()
    assert node.seen()["RELAYMD_WORKER_DEADLINE"] == "1800000000"


@pytest.mark.parametrize("squeue", ["exit 1", "echo N/A", "echo 2026-11-21T09:22:57", "echo"])
def test_without_the_schedulers_word_the_wall_time_counts(node: Node, squeue: str) -> None:
    node.program("squeue", f"#!/bin/sh\n{squeue}\n")
    before = int(time.time())
    node.run()
    assert 3600 <= int(node.seen()["RELAYMD_WORKER_DEADLINE"]) - before <= 3600 + 20


def test_the_secret_reaches_the_worker_as_it_is_and_nothing_runs_it(node: Node) -> None:
    assert node.run() == (0, "")

    assert node.seen()["RELAYMD_NATS_PASSWORD"] == CANARY
    assert not [*node.folder.rglob("hacked")]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_credentials_that_others_can_read_are_not_used(node: Node, mode: int) -> None:
    node.credentials.chmod(mode)
    code, said = node.run()

    assert code == 77
    assert "chmod 600" in said
    assert not (node.out / "environment").exists()


def test_absent_credentials_are_named(node: Node) -> None:
    node.credentials.unlink()
    code, said = node.run()
    assert (code, "north.env cannot be read" in said) == (77, True)


def test_a_clean_end_leaves_nothing_on_the_node(node: Node) -> None:
    node.run()

    assert node.left() == [f"relaymd-{os.getuid()}", f"relaymd-{os.getuid()}/workers"]
    assert [path.name for path in node.home.iterdir()] == ["north.env"]


def test_what_a_worker_could_not_say_stays_for_its_successor(node: Node) -> None:
    (node.out / "code").write_text("75")
    assert node.run()[0] == 75

    assert f"relaymd-{os.getuid()}/workers/w-1" in node.left()


def test_what_a_killed_run_left_is_tidied_away_and_a_living_one_is_not(node: Node) -> None:
    base = node.folder / "tmp" / f"relaymd-{os.getuid()}"
    (node.out / "waits").touch()
    living = node.start(job="41")
    until((node.out / "ready").exists)
    (base / "run-40").mkdir()
    for name in ("run-40", "run-41"):
        os.utime(base / name, (0, 0))
    (node.out / "waits").unlink()
    node.run()

    assert not (base / "run-40").exists()
    assert (base / "run-41").exists()
    os.killpg(living.pid, signal.SIGKILL)
    living.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("image", [None, "file"])
def test_a_signal_to_the_script_reaches_the_worker_and_its_end_is_waited_for(
    node: Node, image: str | None, number: signal.Signals
) -> None:
    container(node)
    (node.out / "waits").touch()
    process = node.start(image)
    until((node.out / "ready").exists)
    process.send_signal(number)
    process.communicate(timeout=20)

    assert process.returncode == 0
    assert node.said("heard") == f"{number.name.removeprefix('SIG')}\n"


def test_the_code_of_a_worker_that_heard_two_signals_is_its_own(node: Node) -> None:
    (node.out / "waits").touch()
    (node.out / "stays").touch()
    process = node.start()
    until((node.out / "ready").exists)
    process.terminate()
    until((node.out / "heard").exists)
    (node.out / "stays").unlink()
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0


# -- containers ----------------------------------------------------------------------------------


def test_a_clean_environment_keeps_who_the_worker_is_and_its_secret(node: Node) -> None:
    container(node)
    assert node.run("file") == (0, "")

    seen = node.seen()
    assert (seen["RELAYMD_WORKER_IMAGE"], seen["RELAYMD_WORKER_ID"]) == ("file", "w-1")
    assert (seen["RELAYMD_NATS_PASSWORD"], seen["CUDA_VISIBLE_DEVICES"]) == (CANARY, "1")
    words = node.said("exec")
    assert words.startswith("exec --cleanenv --nv --pwd ")
    assert "--bind /data --bind /my store " in words
    assert CANARY not in words, "arguments are public"


def test_a_node_without_apptainer_says_so(node: Node) -> None:
    container(node)
    (node.programs / "apptainer").unlink()
    if shutil.which("apptainer") or shutil.which("singularity"):
        node.environment["PATH"] = f"{node.programs}:/usr/bin:/bin"
    code, said = node.run("file")
    assert (code, "neither apptainer nor singularity" in said) == (72, True)


def test_an_image_that_is_not_there_is_named(node: Node) -> None:
    container(node)
    (node.folder / "md.sif").unlink()
    code, said = node.run("file")
    assert (code, "md.sif is not there" in said) == (74, True)


@pytest.fixture
def four(node: Node) -> Iterator[list[subprocess.Popen[bytes]]]:
    container(node)
    (node.out / "slow").touch()
    processes = [node.start("pulled", job=str(40 + n)) for n in range(4)]
    yield processes
    for process in processes:
        process.communicate(timeout=30)


def test_an_image_is_fetched_once_by_four_that_need_it_at_once(
    node: Node, four: list[subprocess.Popen[bytes]]
) -> None:
    for process in four:
        process.communicate(timeout=30)

    assert [process.returncode for process in four] == [0] * 4
    assert node.said("pulled") == "docker://lab/md:1\n"
    names = sorted(path.name for path in (node.folder / "images").iterdir())
    image = next(name for name in names if name.endswith(".sif"))
    assert names == [image, f"{image}.lock"], "no piece is left"


def test_a_fetch_that_failed_leaves_no_image_and_is_tried_again(node: Node) -> None:
    container(node)
    (node.out / "no-registry").touch()
    code, said = node.run("pulled")
    assert (code, "cannot be fetched" in said) == (74, True)
    assert not [*(node.folder / "images").glob("*.sif"), *(node.folder / "images").glob("*.part")]
    (node.out / "no-registry").unlink()

    assert node.run("pulled")[0] == 0


def test_a_piece_of_an_image_is_never_used(node: Node) -> None:
    container(node)
    (node.out / "slow").touch()
    process = node.start("pulled")
    images = node.folder / "images"
    until(lambda: bool([*images.glob("*.part")]))
    assert not [*images.glob("*.sif")]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    assert node.run("pulled")[0] == 0
    assert next(images.glob("*.sif")).read_text() == "whole\n"
