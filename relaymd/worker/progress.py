"""How far an engine says it is, from the file that its bundle names."""

import math
from pathlib import Path

import msgspec

from relaymd.core.checkpoint import Progress
from relaymd.core.specification import Specification
from relaymd.process import Offload
from relaymd.worker import files

LARGEST = 2**53


async def read(offload: Offload, root: Path, spec: Specification) -> Progress | None:
    """None where the bundle names no file, or the file says nothing that can be understood."""
    if spec.progress_file_path is None:
        return None
    return parse(await offload(files.read_small, root / spec.progress_file_path))


def parse(data: bytes | None) -> Progress | None:
    """A fraction 0..1, or JSON with `fraction`, `step`, `total_steps`; anything else is unknown."""
    if not data:
        return None
    try:
        told = msgspec.json.decode(data, type=float | Progress)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _fraction_alone(data)
    if isinstance(told, Progress):
        return _of(told.fraction, told.step, told.total_steps)
    return _of(told, None, None)


def _fraction_alone(data: bytes) -> Progress | None:
    words = data.decode(errors="replace").split()
    try:
        return _of(float(words[-1]), None, None) if words else None
    except ValueError:
        return None


def _of(fraction: float | None, step: int | None, total: int | None) -> Progress | None:
    step, total = _counted(step), _counted(total)
    if fraction is None and step is not None and total:
        fraction = step / total
    if fraction is not None and not (math.isfinite(fraction) and 0 <= fraction <= 1):
        fraction = None
    if fraction is None and step is None:
        return None
    return Progress(fraction=fraction, step=step, total_steps=total)


def _counted(number: int | None) -> int | None:
    """None for what is no count, or what no message could carry."""
    return number if number is not None and 0 <= number < LARGEST else None
