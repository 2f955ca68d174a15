"""Whether a fake engine's ledger has every step exactly once, in order."""

import hashlib
from pathlib import Path


def problems(ledger: Path, steps: int) -> list[str]:
    """What is wrong with the ledger of a run of so many steps; empty if nothing is."""
    found: list[str] = []
    checksum = ""
    lines = ledger.read_text().splitlines()
    if len(lines) != steps:
        found.append(f"{len(lines)} lines for {steps} steps")
    for step, line in enumerate(lines, start=1):
        checksum = hashlib.sha256(f"{checksum} {step}".encode()).hexdigest()[:16]
        if line.split() != [str(step), checksum]:
            found.append(f"line {step} is {line!r}, not step {step} {checksum}")
            break
    return found
