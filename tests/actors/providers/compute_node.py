"""A compute node for a batch script: a home, programs that play their part, what SLURM sets."""

import os
import stat
import subprocess
from pathlib import Path

from relaymd.actors.providers import slurm_script
from relaymd.core.allocation import Allocation
from relaymd.core.clusters import ClusterConfig, GpuConfig, WorkerImage
from relaymd.core.ids import AllocationId, UnixTime

CANARY = "canary of a secret = $(touch hacked) 'x'"

WORKER = """#!/bin/bash
env | grep -E '^(RELAYMD|XDG|CUDA)_' >"$OUT/environment"
echo "$@" >"$OUT/arguments"
pwd >"$OUT/folder"
trap 'echo TERM >>"$OUT/heard"; [ -e "$OUT/stays" ] || exit 0' TERM
trap 'echo USR1 >>"$OUT/heard"; [ -e "$OUT/stays" ] || exit 0' USR1
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
        self.program("scontrol", "#!/bin/sh\necho 'KeepAlive = 1'; echo 'KillWait     = 30 sec'\n")
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
        script.write_text(
            slurm_script.render(
                self.config,
                allocation(image),
                settings={
                    "RELAYMD_NATS_URL": "nats://login:4222",
                    "RELAYMD_STORAGE_PATH": "/my store",
                },
                credentials="~/north.env",
            )
        )
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


def allocation(image: str | None = None) -> Allocation:
    return Allocation(
        id=AllocationId("a-1"), cluster="north", requested_at=UnixTime(0.0), image=image
    )


def container(node: Node) -> None:
    """Give the node an apptainer, and the cluster two images."""
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
