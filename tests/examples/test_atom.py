"""What the AToM bundle does before AToM goes on: its files as the checkpoint knows them."""

# pyright: basic, reportAttributeAccessIssue=false
# OpenMM carries no type information.

import os
from contextlib import chdir
from pathlib import Path
from typing import Any

import openmm
import pytest
from openmm import app, unit

from examples.atom.run import Replica, frame_ends
from examples.demo.verify import read_frames

KEYWORDS: dict[str, Any] = {
    "BASENAME": "x",
    "PRNT_FREQUENCY": 50,
    "TRJ_FREQUENCY": 50,
    "TIME_STEP": 0.002,
}
ATOMS = 20


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    """With four samples on disk, all of them in the checkpoint."""
    (tmp_path / "r0").mkdir()
    with chdir(tmp_path), Path("x.pdb").open("w") as file:
        app.PDBFile.writeFile(topology(), positions(0), file)
    made = Replica(tmp_path / "r0", KEYWORDS)
    made.topology = tmp_path / "x.pdb"
    grow(made, 4)
    save(made, 4)
    return made


def topology() -> Any:
    made = app.Topology()
    made.setPeriodicBoxVectors(box() * unit.nanometer)
    chain = made.addChain()
    for _ in range(ATOMS):
        made.addAtom("C", app.element.carbon, made.addResidue("X", chain))
    return made


def box() -> list[Any]:
    return [openmm.Vec3(3, 0, 0), openmm.Vec3(0, 3, 0), openmm.Vec3(0, 0, 3)]


def positions(sample: int) -> Any:
    return [openmm.Vec3(0.1 * n, 0.01 * sample, 0.05 * (n % 3)) for n in range(ATOMS)] * (
        unit.nanometer
    )


def grow(replica: Replica, samples: int) -> None:
    """Lines and frames of so many samples, as AToM writes them."""
    replica.lines.write_text("".join(f"{n} 300.0 -1.5\n" for n in range(1, samples + 1)))
    replica.frames.unlink(missing_ok=True)
    frames = app.XTCFile(str(replica.frames), topology(), 0.002 * unit.picosecond, interval=50)
    for sample in range(1, samples + 1):
        frames.writeModel(positions(sample), periodicBoxVectors=box())


def save(replica: Replica, samples: int) -> None:
    """A checkpoint that holds so many samples."""
    system = openmm.System()
    system.setDefaultPeriodicBoxVectors(*box())
    for _ in range(ATOMS):
        system.addParticle(12.0)
    force = openmm.CustomExternalForce("0*x")
    force.addGlobalParameter("REMDSteps", 50 * samples)
    system.addForce(force)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(positions(samples))
    state = context.getState(positions=True, parameters=True)
    replica.checkpoint.write_text(openmm.XmlSerializer.serialize(state))


def found(replica: Replica) -> tuple[int, list[int]]:
    steps, _ = read_frames(replica.frames)
    return len(replica.lines.read_text().splitlines()), steps


def test_files_that_fit_the_checkpoint_are_left_as_they_are(replica: Replica) -> None:
    before = replica.lines.read_bytes(), replica.frames.read_bytes()
    replica.align()
    assert (replica.lines.read_bytes(), replica.frames.read_bytes()) == before


def test_samples_behind_the_checkpoint_are_cut_off(replica: Replica) -> None:
    grow(replica, 6)
    replica.align()
    assert found(replica) == (4, [0, 50, 100, 150])


def test_what_was_torn_by_a_kill_is_cut_off(replica: Replica) -> None:
    grow(replica, 5)
    os.truncate(replica.frames, replica.frames.stat().st_size - 7)
    os.truncate(replica.lines, replica.lines.stat().st_size - 3)
    replica.align()
    assert found(replica) == (4, [0, 50, 100, 150])


@pytest.mark.parametrize("samples", [1, 4])
def test_a_frame_that_atom_had_not_written_yet_is_the_one_it_would_have_written(
    replica: Replica, samples: int
) -> None:
    grow(replica, samples)
    save(replica, samples)
    wanted = replica.frames.read_bytes()
    ends = frame_ends(replica.frames)
    os.truncate(replica.frames, ends[-2] if samples > 1 else 0)
    replica.align()
    assert replica.frames.read_bytes() == wanted


def test_a_lost_sample_ends_the_run_and_says_which(replica: Replica) -> None:
    grow(replica, 4)
    os.truncate(replica.lines, 20)
    with pytest.raises(SystemExit, match=r"x\.out has 1 samples, .*x_ckpt\.xml knows 4"):
        replica.align()


def test_two_lost_frames_end_the_run(replica: Replica) -> None:
    os.truncate(replica.frames, frame_ends(replica.frames)[1])
    with pytest.raises(SystemExit, match=r"x\.xtc has 2 frames, .* knows 4"):
        replica.align()


def test_without_a_checkpoint_nothing_counts(replica: Replica) -> None:
    replica.checkpoint.unlink()
    replica.align()
    assert replica.lines.read_bytes() == b""
    assert not replica.frames.exists()


def test_what_is_no_trajectory_ends_the_run(replica: Replica) -> None:
    replica.frames.write_bytes(b"x" * 1000)
    with pytest.raises(SystemExit, match="is no XTC trajectory at byte 0"):
        replica.align()
