"""Simulations as scientists run them: killed, drained, finished by a third, and judged by
the files they leave, each sample, row and frame exactly once."""

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from examples.demo.verify import read_frames
from tests.system.stack import QUICK, Stack, running

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false, reportMissingImports=false
# AToM-OpenMM carries no type information, and need not be installed.

pytestmark = pytest.mark.system

EXAMPLES = Path(__file__).parents[2] / "examples"

PATIENT = {
    **QUICK,
    "RELAYMD_WORKER_CHECKPOINT_POLL_INTERVAL_SECONDS": "2",
    "RELAYMD_WORKER_DRAIN_SECONDS": "90",
}

LONG = 900.0
"""Seconds that a real engine may take where others compute too."""


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncGenerator[Stack, None]:
    async with running(tmp_path / "state", PATIENT) as stack:
        yield stack


def bundle(name: str, folder: Path, *, every: int) -> Path:
    """An example with another interval between its checkpoints."""
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("__pycache__"))
    specification = folder / "relaymd-worker.yaml"
    lines = specification.read_text().splitlines()
    key = "checkpoint_poll_interval_seconds:"
    edited = [f"{key} {every}" if line.startswith(key) else line for line in lines]
    assert edited != lines
    specification.write_text("\n".join(edited) + "\n")
    return folder


async def reached(stack: Stack, job: str, fraction: float, *, launches: int) -> Any:
    """Wait for a checkpoint with so much progress in the segment of that number; its worker."""

    async def look() -> bool:
        events = await stack.events(job)
        assert not [event for event in events if event["type"] in ("failed", "interrupted")][
            launches - 1 :
        ], events[-2:]
        begun = [i for i, event in enumerate(events) if event["type"] == "launched"]
        if len(begun) < launches:
            return False
        made = [e["checkpoint"] for e in events[begun[-1] :] if e["type"] == "checkpointed"]
        return any(one.get("progress", {}).get("fraction", 0) >= fraction for one in made)

    await stack.until(look, within=LONG, what=f"{job} has committed {fraction}")
    return await stack.worker_of(job)


async def relayed(stack: Stack, job: str, folder: Path, at: tuple[float, float]) -> list[Path]:
    """Kill the first worker and drain the second; what was committed at each end, and results."""
    kept: list[Path] = []
    first = await reached(stack, job, at[0], launches=1)
    os.kill(first["pid"], signal.SIGKILL)
    await stack.until_event(job, "interrupted", within=60)
    kept.append(await fetched(stack, job, folder / "killed", "--checkpoint"))
    second = await reached(stack, job, at[1], launches=2)
    assert second["id"] != first["id"]
    os.kill(second["pid"], signal.SIGTERM)
    await stack.until_event(job, "handed-off", within=120)
    kept.append(await fetched(stack, job, folder / "drained", "--checkpoint"))
    state = await stack.until_state(job, "completed", "failed", within=LONG)
    segments = (await stack.show(job))["segments"]
    assert state == "completed", segments
    assert [one["how"] for one in segments] == ["interrupted", "handed over", "completed"]
    return [*kept, await fetched(stack, job, folder / "results")]


async def fetched(stack: Stack, job: str, folder: Path, *words: str) -> Path:
    await stack.cli("jobs", "fetch", job, "--to", folder, *words)
    return folder


async def seconds_between(stack: Stack, job: str, before: str, after: str) -> float:
    """Between the last event of a kind and the next of another."""
    history = (await stack.show(job))["history"]
    begun = max(one["at"] for one in history if one["event"]["type"] == before)
    return float(min(o["at"] for o in history if o["event"]["type"] == after) - begun)


# -- AToM-OpenMM ------------------------------------------------------------------------------

SAMPLES = 6
REPLICAS = 4


def atom_bundle(folder: Path) -> Path:
    pytest.importorskip("atom_openmm", reason="AToM-OpenMM is not installed: make test-system")
    data = os.environ.get("RELAYMD_ATOM_DATA")
    if not data or not Path(data).is_dir():
        pytest.skip("RELAYMD_ATOM_DATA names no folder with AToM's input")
    made = bundle("atom", folder, every=2)
    for source in Path(data).iterdir():
        if source.suffix != ".md":
            (made / source.name).write_bytes(source.read_bytes())
    control = made / "temoa-g1_asyncre.cntl"
    told = control.read_text()
    control.write_text(told.replace("MAX_SAMPLES = 4", f"MAX_SAMPLES = {SAMPLES}"))
    assert control.read_text() != told
    return made


async def test_atom_openmm_has_each_sample_and_frame_once_and_its_analysis_reads_them(
    patient: Stack, tmp_path: Path
) -> None:
    words = ("--title", "temoa-g1", "--command", f"{sys.executable} run.py")
    job = await patient.submit(atom_bundle(tmp_path / "bundle"), *words)
    *kept, results = await relayed(patient, job, tmp_path, (1 / SAMPLES, 3 / SAMPLES))

    # It hangs after its last checkpoint: the files, not its exit, say when it may be ended.
    assert await seconds_between(patient, job, "draining", "handed-off") < 45
    # AToM ends when its last replica has them all; one that ran ahead may then have one more. No
    # line is lost or doubled where each file has exactly what AToM's own checkpoint counts.
    counts = [counted(results / f"r{number}") for number in range(REPLICAS)]
    assert min(counts) == SAMPLES
    assert max(counts) <= SAMPLES + 1
    for number, count in enumerate(counts):
        folder = Path(f"r{number}")
        lines = samples(results / folder)
        assert len(lines) == len(set(lines)) == count
        frames, _ = read_frames(results / folder / "temoa-g1.xtc")
        assert frames == [50 * k for k in range(count)]
        for generation in kept:
            saved = saved_samples(generation / folder)
            assert lines[: len(saved)] == saved, "what was committed has changed"
    assert any(saved_samples(kept[1] / f"r{number}") for number in range(REPLICAS))
    assert analysed(results) == SAMPLES


def samples(replica: Path) -> list[str]:
    text = (replica / "temoa-g1.out").read_text()
    assert text.endswith("\n")
    return text.splitlines()


def saved_samples(replica: Path) -> list[str]:
    """Those of a generation that are in AToM's own checkpoint too."""
    return samples(replica)[: counted(replica)]


def counted(replica: Path) -> int:
    """Samples that AToM's own checkpoint of the replica knows of."""
    begin = (replica / "temoa-g1_ckpt.xml").read_text()[:16384]
    (steps,) = re.findall(r'REMDSteps="(\d+)"', begin)
    return int(steps) // 50


def analysed(results: Path) -> int:
    """Samples of each replica that AToM's own free-energy estimate is made from."""
    from atom_openmm.uwham import calculate_uwham  # an extra that not everybody has

    ladder, four = [0.0, 0.5, 0.5, 0.0], [0.1, 0.1, 0.1, 0.1]
    with warnings.catch_warnings():
        # So few samples have no error bars.
        warnings.filterwarnings("ignore", category=RuntimeWarning)
        energy, _, _, _, count = calculate_uwham(
            str(results),
            "temoa-g1",
            intermd=[0, 1, 1, 0],
            lambda1=ladder,
            lambda2=ladder,
            alpha=four,
            u0=[110.0] * REPLICAS,
            w0=[0.0] * REPLICAS,
        )
    assert math.isfinite(energy)
    return int(count)


# -- GROMACS ----------------------------------------------------------------------------------


async def test_gromacs_has_each_energy_and_frame_once(patient: Stack, tmp_path: Path) -> None:
    needs("gmx", "gromacs")
    steps = 6_000
    words = ("--title", "gromacs", "--env", f"STEPS={steps}")
    job = await patient.submit(bundle("gromacs", tmp_path / "bundle", every=30), *words)
    *_, results = await relayed(patient, job, tmp_path, (0.1, 0.4))

    rows = energies(results)
    assert [round(ps / 0.002) for ps, _ in rows] == [*range(0, steps + 1, 100)]
    assert all(energy < 0 for _, energy in rows), "884 waters attract each other"
    frames, _ = read_frames(results / "trajectory.xtc")
    assert frames == [*range(0, steps + 1, 500)]
    assert len([*results.glob("md.part*.log")]) == 3


def energies(results: Path) -> list[tuple[float, float]]:
    """Time in ps and potential energy in kJ/mol of each energy frame, as GROMACS reads it."""
    words = ["gmx", "-quiet", "energy", "-f", "energy.edr", "-o", "energy.xvg", "-xvg", "none"]
    subprocess.run(
        words, cwd=results, input=b"Potential\n\n", check=True, capture_output=True, timeout=60
    )
    lines = (results / "energy.xvg").read_text().splitlines()
    return [(float(ps), float(energy)) for ps, energy in map(str.split, lines)]


def needs(command: str, package: str) -> None:
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed (Debian: {package})")


# -- LAMMPS -----------------------------------------------------------------------------------


async def test_lammps_has_each_row_and_frame_once(patient: Stack, tmp_path: Path) -> None:
    needs("lmp", "lammps")
    steps = 10_000
    words = ("--title", "lammps", "--env", f"STEPS={steps}", "--env", "EVERY=250")
    job = await patient.submit(bundle("lammps", tmp_path / "bundle", every=30), *words)
    *_, results = await relayed(patient, job, tmp_path, (0.1, 0.4))

    rows = [line.split() for line in (results / "thermo.txt").read_text().splitlines()]
    assert [int(row[0]) for row in rows] == [*range(100, steps + 1, 100)]
    totals = [float(potential) + float(kinetic) for _, potential, kinetic, _ in rows]
    assert max(totals) - min(totals) < 0.01, "energy is conserved across the hand-overs"
    trajectory = (results / "trajectory.lammpstrj").read_text()
    frames = [part.split("\n", 2) for part in trajectory.split("ITEM: TIMESTEP\n")[1:]]
    assert [int(frame[0]) for frame in frames] == [*range(0, steps + 1, 500)]
    assert {part.count("\n") for part in trajectory.split("ITEM: TIMESTEP\n")[1:]} == {508}
