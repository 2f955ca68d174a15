"""An OpenMM reporter that writes checkpoints from which a simulation goes on exactly.

    segment = Segment.here()
    segment.listen()
    checkpoints = CheckpointReporter(segment, every=5000, total_steps=TOTAL,
                                     growing=["energies.csv", "trajectory.dcd"])
    begun = checkpoints.resume(simulation)            # cuts the growing files back
    simulation.reporters += [energies, trajectory, checkpoints]   # itself last
    if not checkpoints.run(simulation):
        sys.exit(TERMINATED)

Needs OpenMM, and of RelayMD only `engine.py`: the two files may be copied into a bundle.
"""

# pyright: basic
# OpenMM carries no type information.

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from relaymd.engine import Segment, cut_back, sizes, write_atomically

LOOK_EVERY = 100
"""Steps between two looks at whether to stop."""


class CheckpointReporter:
    """Puts state, step and the lengths of the other reporters' files into one file.

    The state is kept as XML, so that another kind of processor can read it too. Must be the
    last of the simulation's reporters: what the others write at the same step is then in.
    """

    def __init__(
        self,
        segment: Segment,
        *,
        every: int,
        total_steps: int,
        path: str | os.PathLike[str] = "checkpoint.json",
        growing: Iterable[str | os.PathLike[str]] = (),
        marker: str | os.PathLike[str] | None = None,
    ) -> None:
        """every: steps between two checkpoints. growing: what the other reporters append to."""
        self._segment = segment
        self._every = every
        self._total = total_steps
        self._path = Path(path)
        self._growing = tuple(growing)
        self._marker = marker
        self._saved_at: int | None = None

    def resume(self, simulation: Any) -> dict[str, Any] | None:
        """Take over the checkpoint, if there is one, and cut the growing files back to it.

        What `save` was given comes back; None where the simulation begins. Call it before other
        reporters open their files, and let them append. Raises ShortFileError and ValueError.
        """
        if not self._path.exists():
            cut_back({os.fspath(path): 0 for path in self._growing})
            return None
        import openmm

        saved = json.loads(self._path.read_text())
        cut_back(saved["sizes"])
        simulation.context.setState(openmm.XmlSerializer.deserialize(saved["state"]))
        simulation.currentStep = self._saved_at = saved["step"]
        return dict(saved["also"])

    def run(self, simulation: Any) -> bool:
        """Step to the end or until asked to stop, and save; whether it is the end."""
        while simulation.currentStep < self._total and not self._segment.asked_to_stop:
            simulation.step(min(LOOK_EVERY, self._total - simulation.currentStep))
        if self._saved_at != simulation.currentStep:
            self.save(simulation)
        return bool(simulation.currentStep >= self._total)

    def save(self, simulation: Any, **also: Any) -> None:
        """Write a checkpoint now. also: what else `resume` shall give back, as JSON can hold it."""
        import openmm

        state = simulation.context.getState(positions=True, velocities=True, parameters=True)
        step = simulation.currentStep
        saved = {
            "step": step,
            "sizes": sizes(self._growing),
            "also": also,
            "state": openmm.XmlSerializer.serialize(state),
        }
        with self._segment.checkpoint(self._marker):
            write_atomically(self._path, json.dumps(saved))
            self._segment.report(step=step, total_steps=self._total)
        self._saved_at = step

    # -- what OpenMM calls ----------------------------------------------------------------------

    def describeNextReport(self, simulation: Any) -> tuple[int, bool, bool, bool, bool]:  # noqa: N802 - OpenMM's name
        """Steps to the next checkpoint; nothing of the state, which `save` asks for itself."""
        return (self._every - simulation.currentStep % self._every, False, False, False, False)

    def report(self, simulation: Any, _state: Any) -> None:
        self.save(simulation)
