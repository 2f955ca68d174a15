"""A box of TIP3P-FB water that can be stopped at any instant and goes on where it was.

What makes that exact: one checkpoint file, replaced atomically, says how long the reporters'
files were when it was written. Whoever resumes cuts them back to that, so that no frame and no
row is there twice or missing. While a checkpoint is written the file `ckpt_is_valid` is absent.
"""

# pyright: basic, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false
# OpenMM carries no type information.

import json
import os
import sys
from pathlib import Path
from typing import Any

import openmm
from openmm import app, unit

from relaymd.engine import TERMINATED, Segment, cut_back, sizes, write_atomically

TOTAL_STEPS = int(os.environ.get("WATER_STEPS", "10000"))
BOX = float(os.environ.get("WATER_BOX_NM", "1.9"))
THREADS = os.environ.get("OPENMM_CPU_THREADS") or str(min(2, len(os.sched_getaffinity(0))))
PLATFORM = os.environ.get("WATER_PLATFORM", "CPU")
SEED = int(os.environ.get("WATER_SEED", "2026"))

BLOCK = 50
"""Steps between looks at the signal, and between two rows of energies.csv."""

FRAME = 100
"""Steps between two frames of the trajectory."""

CHECKPOINT = 250
"""Steps between two checkpoints; a multiple of BLOCK."""

STATE = Path("checkpoint.json")
MARKER = Path("ckpt_is_valid")
ENERGIES = Path("energies.csv")
TRAJECTORY = Path("trajectory.xtc")
HANDOVERS = Path("handovers.csv")
GROWING = (ENERGIES, TRAJECTORY, HANDOVERS)
"""Files that only ever get longer, and are cut back to the checkpoint on a resume."""


def box_of_water() -> tuple[Any, Any, Any]:
    """Topology, start positions and the system: PME, rigid water, 0.9 nm cutoff."""
    force_field = app.ForceField("amber14/tip3pfb.xml")
    model = app.Modeller(app.Topology(), [] * unit.nanometer)
    model.addSolvent(force_field, boxSize=openmm.Vec3(BOX, BOX, BOX) * unit.nanometer)
    system = force_field.createSystem(
        model.topology, nonbondedMethod=app.PME, nonbondedCutoff=0.9 * unit.nanometer
    )
    return model.topology, model.positions, system


def simulation_from(topology: Any, system: Any, *, seed: int) -> Any:
    integrator = openmm.LangevinMiddleIntegrator(
        300 * unit.kelvin, 1 / unit.picosecond, 0.002 * unit.picoseconds
    )
    integrator.setRandomNumberSeed(seed)
    platform = openmm.Platform.getPlatformByName(PLATFORM)  # an error where it is missing
    properties = {"DeterministicForces": "true"} if PLATFORM in ("CPU", "CUDA") else {}
    if PLATFORM == "CPU":
        properties["Threads"] = THREADS
    return app.Simulation(topology, system, integrator, platform, properties)


def prepare() -> None:
    """Write what every segment reads and never changes: the topology and the system."""
    topology, positions, system = box_of_water()
    simulation = simulation_from(topology, system, seed=SEED)
    simulation.context.setPositions(positions)
    simulation.minimizeEnergy(maxIterations=50)
    relaxed = simulation.context.getState(getPositions=True).getPositions()
    with Path("water.part").open("w") as file:
        app.PDBxFile.writeFile(topology, relaxed, file)
    Path("water.part").replace("water.cif")
    write_atomically("system.xml", openmm.XmlSerializer.serialize(system))


def begin(simulation: Any, positions: Any) -> None:
    """Step 0: cold positions, velocities for 150 K, empty reporters."""
    simulation.context.setPositions(positions)
    simulation.context.setVelocitiesToTemperature(150 * unit.kelvin, SEED)
    ENERGIES.unlink(missing_ok=True)
    TRAJECTORY.unlink(missing_ok=True)
    HANDOVERS.write_text("step,potential_saved,potential_restored\n")


def resume(simulation: Any, saved: dict[str, Any]) -> None:
    """Take over state and step, and cut the reporters' files back to that step."""
    cut_back(saved["sizes"])
    simulation.context.setState(openmm.XmlSerializer.deserialize(saved["state"]))
    with HANDOVERS.open("a") as file:
        file.write(f"{saved['step']},{saved['potential']!r},{potential(simulation)!r}\n")


def potential(simulation: Any) -> float:
    """In kJ/mol."""
    energy = simulation.context.getState(getEnergy=True).getPotentialEnergy()
    return float(energy.value_in_unit(unit.kilojoules_per_mole))


def report_to_files(simulation: Any) -> None:
    simulation.reporters.append(
        app.StateDataReporter(
            str(ENERGIES),
            BLOCK,
            step=True,
            time=True,
            potentialEnergy=True,
            kineticEnergy=True,
            temperature=True,
            append=ENERGIES.exists() and ENERGIES.stat().st_size > 0,
        )
    )
    grown = TRAJECTORY.exists() and TRAJECTORY.stat().st_size > 0
    simulation.reporters.append(app.XTCReporter(str(TRAJECTORY), FRAME, append=grown))


def save(simulation: Any, segment: Segment) -> None:
    """Write a checkpoint. State is kept as XML: another kind of processor can read it too."""
    state = simulation.context.getState(positions=True, velocities=True, parameters=True)
    saved = {
        "step": simulation.currentStep,
        "potential": potential(simulation),
        "sizes": sizes(GROWING),
        "state": openmm.XmlSerializer.serialize(state),
    }
    with segment.checkpoint(MARKER):
        write_atomically(STATE, json.dumps(saved))
        segment.report(step=simulation.currentStep, total_steps=TOTAL_STEPS)


def main() -> int:
    segment = Segment.here()
    segment.listen()
    if not Path("system.xml").exists():
        prepare()
    model = app.PDBxFile("water.cif")
    system = openmm.XmlSerializer.deserialize(Path("system.xml").read_text())
    saved = json.loads(STATE.read_text()) if STATE.exists() else None
    # The seed moves with the step: no segment draws the noise of another once more.
    start = saved["step"] if saved else 0
    simulation = simulation_from(model.topology, system, seed=SEED + start)
    if saved:
        resume(simulation, saved)
    else:
        begin(simulation, model.positions)
    print(f"from step {start} of {TOTAL_STEPS}, {system.getNumParticles()} atoms", flush=True)
    report_to_files(simulation)
    while simulation.currentStep < TOTAL_STEPS and not segment.asked_to_stop:
        simulation.step(min(BLOCK, TOTAL_STEPS - simulation.currentStep))
        if simulation.currentStep % CHECKPOINT == 0 and TRAJECTORY.exists():
            save(simulation, segment)
    if simulation.currentStep < TOTAL_STEPS:
        if TRAJECTORY.exists():
            save(simulation, segment)
        print(f"told to stop: left at step {simulation.currentStep}", flush=True)
        return TERMINATED
    save(simulation, segment)
    print(f"all {TOTAL_STEPS} steps done", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
