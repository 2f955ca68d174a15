"""Proof from the engine's own files that every step was done once.

The trajectory does not only have to have the right number of frames: the potential energy of
each frame, computed anew from its positions, has to be the one that the reporter wrote for
that step. A frame that is doubled, missing or in another's place does not pass.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# OpenMM and mdtraj carry no type information.

import csv
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import openmm
from mdtraj.formats import XTCTrajectoryFile
from numpy.typing import NDArray
from openmm import unit

ROUNDING = 60.0
"""kJ/mol by which rounding positions to 0.001 nm may change the energy of the whole box.

Its spread is about 9; that between frames of different steps is about 80.
"""

CONTINUOUS = 1e-5
"""Relative difference of the potential energy before and after a hand-over."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of energies.csv. Energies in kJ/mol, temperature in K, time in ps."""

    step: int
    time: float
    potential: float
    kinetic: float
    temperature: float


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must hold, and whether it does."""

    says: str
    holds: bool


def read_energies(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        lines = [line for line in csv.reader(file) if line and not line[0].startswith("#")]
    return [
        Row(
            step=int(step),
            time=float(ps),
            potential=float(potential),
            kinetic=float(kinetic),
            temperature=float(kelvin),
        )
        for step, ps, potential, kinetic, kelvin in lines
    ]


def check(folder: Path, *, total_steps: int, row_every: int, frame_every: int) -> list[Check]:
    """Judge the outputs of the water example in a folder."""
    rows = read_energies(folder / "energies.csv")
    try:
        steps, positions = read_frames(folder / "trajectory.xtc")
    except RuntimeError as exc:  # all that mdtraj says of a torn file
        return [Check(says=f"trajectory.xtc cannot be read: {exc}", holds=False)]
    return [
        _check_steps("energies.csv: rows", [row.step for row in rows], total_steps, row_every),
        _check_steps("trajectory.xtc: frames", steps, total_steps, frame_every),
        _check_time(rows),
        check_frames(folder / "system.xml", steps, positions, rows),
        *check_handovers(read_handovers(folder / "handovers.csv"), rows),
    ]


def read_frames(path: Path) -> tuple[list[int], NDArray[np.float32]]:
    """Steps and positions (frame, atom, xyz; nm)."""
    with XTCTrajectoryFile(str(path)) as file:
        positions, _, steps, _ = file.read()
    return [int(step) for step in steps], positions


def _check_steps(what: str, found: list[int], total: int, every: int) -> Check:
    wanted = [*range(every, total + 1, every)]
    if found == wanted:
        return Check(says=f"{what} {every}, {2 * every} … {total}, each once", holds=True)
    missing = sorted({*wanted} - {*found})
    doubled = sorted({step for step in found if found.count(step) > 1})
    return Check(says=f"{what}: missing {missing[:5]}, doubled {doubled[:5]}", holds=False)


def _check_time(rows: list[Row]) -> Check:
    """Simulated time has to grow with the steps, without a jump at a hand-over."""
    per_step = rows[0].time / rows[0].step
    worst = max(abs(row.time - per_step * row.step) for row in rows)
    return Check(says=f"time is step × {per_step * 1000:.1f} fs throughout", holds=worst < 1e-6)


def check_frames(
    system: Path, steps: list[int], positions: NDArray[np.float32], rows: list[Row]
) -> Check:
    written = {row.step: row.potential for row in rows}
    context = _context(system)
    errors = [
        abs(_potential(context, frame) - written.get(step, float("inf")))
        for step, frame in zip(steps, positions, strict=True)
    ]
    worst = max(errors, default=float("inf"))
    return Check(
        says=f"energies of {len(errors)} frames, computed anew, are those of their steps "
        f"(worst {worst:.0f} kJ/mol, by rounding)",
        holds=worst < ROUNDING,
    )


def _context(system: Path) -> Any:
    return openmm.Context(
        openmm.XmlSerializer.deserialize(system.read_text()),
        openmm.VerletIntegrator(0.001),
        openmm.Platform.getPlatformByName("CPU"),
        {"Threads": "2"},
    )


def _potential(context: Any, positions: NDArray[np.float32]) -> float:
    context.setPositions(positions.astype(float))
    energy = context.getState(getEnergy=True).getPotentialEnergy()
    return float(energy.value_in_unit(unit.kilojoules_per_mole))


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine found when it took over. Energies in kJ/mol."""

    step: int
    saved: float
    restored: float


def read_handovers(path: Path) -> list[Handover]:
    with path.open(newline="") as file:
        return [
            Handover(
                step=int(line["step"]),
                saved=float(line["potential_saved"]),
                restored=float(line["potential_restored"]),
            )
            for line in csv.DictReader(file)
        ]


def check_handovers(found: list[Handover], rows: list[Row]) -> list[Check]:
    """What each engine found against what its predecessor had left, and had written down."""
    written = {row.step: row.potential for row in rows}
    return [_check_handover(one, written.get(one.step, one.saved)) for one in found]


def _check_handover(one: Handover, written: float) -> Check:
    gap = max(abs(one.restored - one.saved), abs(written - one.saved))
    return Check(
        says=f"energy at the hand-over, step {one.step}: "
        f"{one.saved:.3f} → {one.restored:.3f} kJ/mol",
        holds=gap <= CONTINUOUS * abs(one.saved),
    )
