"""Run AToM-OpenMM from wherever its checkpoint is, so that every sample is there exactly once.

AToM appends to `r*/NAME.out` and `r*/NAME.xtc` after its checkpoint too, and goes on behind
them when it is started again: what it had not saved would be there twice. And it writes a
frame some time after its line, so that a checkpoint in between has the one and not the other.
Here both are brought to what the checkpoint knows: cut back, or the last frame, whose positions
are the checkpoint's, written once more. AToM itself runs unchanged, in this process.

    python run.py        # in a folder with exactly one NAME_asyncre.cntl
"""

# pyright: basic, reportAttributeAccessIssue=false, reportMissingImports=false
# AToM-OpenMM and OpenMM carry no type information, and AToM-OpenMM is nothing we install.

import os
import re
import struct
import sys
from pathlib import Path
from typing import Any

MARKER = Path("ckpt_is_valid")
PROGRESS = Path("progress")

XTC_MAGIC = 1995
XTC_HEADER = struct.Struct(">iiif9fi")
"""Magic, atoms, step, time in ps, box in nm, atoms once more; XDR, so big-endian."""

XTC_PACKED = struct.Struct(">f3i3iii")
"""Precision, smallest and largest integers, an index, and the bytes that follow."""

XTC_PLAIN = 9
"""Up to so many atoms are stored as they are."""


def frame_ends(path: Path) -> list[int]:
    """The offset behind each whole frame of a trajectory, from the headers alone."""
    ends: list[int] = []
    with path.open("rb") as file:
        size, offset = os.fstat(file.fileno()).st_size, 0
        while len(head := file.read(XTC_HEADER.size)) == XTC_HEADER.size:
            magic, atoms, *_ = XTC_HEADER.unpack(head)
            if magic != XTC_MAGIC:
                raise SystemExit(f"{path} is no XTC trajectory at byte {offset}")
            offset += XTC_HEADER.size
            if atoms <= XTC_PLAIN:
                offset += 12 * atoms
            elif len(packed := file.read(XTC_PACKED.size)) == XTC_PACKED.size:
                offset += XTC_PACKED.size + (XTC_PACKED.unpack(packed)[-1] + 3) // 4 * 4
            else:
                break
            if offset > size:
                break
            ends.append(offset)
            file.seek(offset)
    return ends


class Replica:
    """The files of one replica, and what its checkpoint says of them."""

    def __init__(self, folder: Path, keywords: dict[str, Any]) -> None:
        name = keywords["BASENAME"]
        self.lines = folder / f"{name}.out"
        self.frames = folder / f"{name}.xtc"
        self.checkpoint = folder / keywords.get("CHECKPOINT_FILE", f"{name}_ckpt.xml")
        self.every_line = int(keywords["PRNT_FREQUENCY"])
        self.every_frame = int(keywords["TRJ_FREQUENCY"])
        self.topology = Path(f"{name}.pdb")
        self.step_ps = float(keywords["TIME_STEP"])

    @property
    def steps(self) -> int:
        """Steps of this replica that its checkpoint holds."""
        if not self.checkpoint.exists():
            return 0
        with self.checkpoint.open() as file:
            found = re.search(r'\bREMDSteps="([^"]+)"', file.read(16384))
        if not found:
            raise SystemExit(f"{self.checkpoint} does not say how many steps it holds")
        return round(float(found.group(1)))

    @property
    def samples(self) -> int:
        return self.steps // self.every_line

    def align(self) -> None:
        """Bring both files to the checkpoint. Exits where a sample is lost."""
        self._cut_lines(self.samples)
        self._cut_frames(self.steps // self.every_frame)

    def _cut_lines(self, wanted: int) -> None:
        lines = self.lines.read_bytes().splitlines(keepends=True) if self.lines.exists() else []
        whole = [line for line in lines if line.endswith(b"\n")]
        if len(whole) < wanted:
            raise SystemExit(
                f"{self.lines} has {len(whole)} samples, {self.checkpoint} knows {wanted}"
            )
        if len(lines) > wanted:
            os.truncate(self.lines, sum(map(len, whole[:wanted])))

    def _cut_frames(self, wanted: int) -> None:
        ends = frame_ends(self.frames) if self.frames.exists() else []
        if len(ends) == wanted - 1:
            self._cut(ends)
            self._write_last_frame(first=not ends)
        elif len(ends) < wanted:
            raise SystemExit(
                f"{self.frames} has {len(ends)} frames, {self.checkpoint} knows {wanted}"
            )
        else:
            self._cut(ends[:wanted])

    def _cut(self, ends: list[int]) -> None:
        """Keep these frames and nothing behind them; no file where there are none."""
        if ends:
            os.truncate(self.frames, ends[-1])
        else:
            self.frames.unlink(missing_ok=True)

    def _write_last_frame(self, *, first: bool) -> None:
        import openmm  # here, because it is seldom needed and slow to import
        from openmm import app, unit

        if self.steps % self.every_frame:
            raise SystemExit(f"{self.frames} lacks a frame that no file holds any more")
        state = openmm.XmlSerializer.deserialize(self.checkpoint.read_text())
        frames = app.XTCFile(
            str(self.frames),
            app.PDBFile(str(self.topology)).topology,
            self.step_ps * unit.picosecond,
            interval=self.every_frame,
            append=not first,
        )
        frames.writeModel(state.getPositions(), periodicBoxVectors=state.getPeriodicBoxVectors())
        print(f"{self.frames}: the frame that AToM had not written yet is written", flush=True)


def replicas(keywords: dict[str, Any]) -> list[Replica]:
    folders = sorted(path for path in Path().glob("r[0-9]*") if path.is_dir())
    return [Replica(folder, keywords) for folder in folders]


def wanted(keywords: dict[str, Any]) -> int | None:
    """Samples of each replica; None where the control file does not say."""
    told = str(keywords.get("MAX_SAMPLES", ""))
    if not told:
        return None
    start = Path("starting_sample")
    before = int(start.read_text()) if told.startswith("+") and start.exists() else 0
    return int(told) + before


def main() -> None:
    from atom_openmm.abfe_production import abfe_production
    from atom_openmm.rbfe_production import rbfe_production
    from atom_openmm.utils.config import parse_config

    found = sorted(Path().glob("*_asyncre.cntl"))
    if len(found) != 1:
        raise SystemExit(f"one *_asyncre.cntl must lie here, not {len(found)}")
    control = str(found[0])
    keywords = parse_config(control)
    before = replicas(keywords)
    if any(one.checkpoint.exists() for one in before) and not MARKER.exists():
        raise SystemExit(f"the checkpoint is not valid: {MARKER} is missing")
    for one in before:
        one.align()
        print(f"{one.lines.parent}: goes on behind sample {one.samples}", flush=True)

    production = rbfe_production if "LIGAND1_ATOMS" in keywords else abfe_production
    production(control)

    after = replicas(keywords)
    for one in after:
        one.align()
    least, target = min(one.samples for one in after), wanted(keywords)
    if target is not None and least < target:
        sys.exit(f"AToM stopped at {least} of {target} samples: is WALL_TIME too short?")
    PROGRESS.write_text("1.0\n")


if __name__ == "__main__":
    main()
