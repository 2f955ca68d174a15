"""A simulation of ten particles that is stopped, goes on, and has every row once."""

# pyright: basic, reportAttributeAccessIssue=false, reportOperatorIssue=false
# OpenMM carries no type information.

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openmm
import pytest
from openmm import app, unit

from relaymd.engine import Segment, ShortFileError
from relaymd.engine_openmm import CheckpointReporter

TOTAL = 1000


class Run:
    """One start of the script: what it would do in its folder."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.rows = folder / "rows.csv"
        self.segment = Segment(progress_file=folder / "progress.json")
        self.checkpoints = CheckpointReporter(
            self.segment,
            every=150,
            total_steps=TOTAL,
            path=folder / "checkpoint.json",
            growing=[self.rows],
            **options,
        )
        self.simulation = ten_particles()
        self.begun = self.checkpoints.resume(self.simulation)
        rows = app.StateDataReporter(
            str(self.rows), 50, step=True, potentialEnergy=True, append=self.begun is not None
        )
        self.simulation.reporters += [rows, self.checkpoints]

    def steps(self) -> list[int]:
        with self.rows.open(newline="") as file:
            return [int(row[0]) for row in csv.reader(file) if not row[0].startswith("#")]


class StopsAt:
    """A reporter that does what SIGTERM would do, at a step."""

    def __init__(self, step: int, stop: Callable[[], None]) -> None:
        self._step = step
        self._stop = stop

    def describeNextReport(self, simulation: Any) -> tuple[int, bool, bool, bool, bool]:  # noqa: N802 - OpenMM's name
        return (max(self._step - simulation.currentStep, 0) or TOTAL, False, False, False, False)

    def report(self, simulation: Any, _state: Any) -> None:
        if simulation.currentStep == self._step:
            self._stop()


def ten_particles() -> Any:
    system, topology = openmm.System(), app.Topology()
    chain = topology.addChain()
    bonds = openmm.HarmonicBondForce()
    for number in range(10):
        system.addParticle(10.0)
        topology.addAtom("C", None, topology.addResidue("X", chain))
        if number:
            bonds.addBond(number - 1, number, 0.2, 500.0)
    system.addForce(bonds)
    integrator = openmm.VerletIntegrator(0.002 * unit.picoseconds)
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = app.Simulation(topology, system, integrator, platform)
    simulation.context.setPositions([openmm.Vec3(0.21 * n, 0, 0) for n in range(10)])
    return simulation


def test_stopped_and_continued_it_has_each_row_once_and_the_same_end(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = Run(tmp_path / "whole")
    assert whole.checkpoints.run(whole.simulation)

    first = Run(tmp_path)

    def stop() -> None:
        first.segment.asked_to_stop = True

    first.simulation.reporters.append(StopsAt(430, stop))
    assert first.begun is None
    assert not first.checkpoints.run(first.simulation)

    second = Run(tmp_path)
    assert second.begun == {}
    assert second.checkpoints.run(second.simulation)
    assert second.steps() == list(range(50, TOTAL + 1, 50))
    assert second.rows.read_text() == whole.rows.read_text()
    assert second.segment.progress_file.read_text().startswith('{"fraction": 1.0')


def test_what_was_written_behind_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    killed = Run(tmp_path)
    killed.simulation.step(390)  # the newest checkpoint is of step 300
    assert killed.steps()[-1] == 350

    again = Run(tmp_path)
    assert again.simulation.currentStep == 300
    assert again.steps()[-1] == 300
    assert again.checkpoints.run(again.simulation)
    assert again.steps() == list(range(50, TOTAL + 1, 50))


def test_rows_from_before_the_first_checkpoint_do_not_count(tmp_path: Path) -> None:
    killed = Run(tmp_path)
    killed.simulation.step(100)
    again = Run(tmp_path)
    assert again.begun is None
    assert again.checkpoints.run(again.simulation)
    assert again.steps() == list(range(50, TOTAL + 1, 50))


def test_what_save_is_given_comes_back_and_a_short_file_is_an_error(tmp_path: Path) -> None:
    marker = tmp_path / "valid"
    first = Run(tmp_path, marker=marker)
    first.simulation.step(100)
    first.checkpoints.save(first.simulation, seed=7)
    assert marker.exists()
    assert Run(tmp_path).begun == {"seed": 7}
    first.rows.write_text("")
    with pytest.raises(ShortFileError):
        Run(tmp_path)
