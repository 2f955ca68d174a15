"""What the ratios were when they were last looked at, and which of a run's are worse."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from benchmarks.rows import Row, Run

FILE = Path(__file__).parent / "baseline.json"

WORSE = 1.3
"""Factor by which a ratio may be worse; runs on a shared machine wander."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    ratio: float
    more_is_better: bool = False


def compare(run: Run, file: Path) -> list[str]:
    """A sentence for each ratio that is worse than its baseline by more than 30 %.

    A figure of the baseline that this run measured not at all is none of them; `failed` tells.
    """
    known = read(file)
    return [
        f"{row.what}: {row.ratio:.3f} x {row.beside_what}, before {known[row.what].ratio:.3f}"
        for row in run.rows
        if row.ratio is not None and row.what in known and _worsening(row, known[row.what]) > WORSE
    ]


def _worsening(row: Row, entry: Entry) -> float:
    """By what factor the ratio is worse; less than 1 where it is better."""
    assert row.ratio is not None
    if entry.more_is_better:
        return entry.ratio / row.ratio if row.ratio else float("inf")
    return row.ratio / entry.ratio


def read(file: Path) -> Mapping[str, Entry]:
    return msgspec.json.decode(file.read_bytes(), type=dict[str, Entry])


def write(run: Run, file: Path) -> None:
    """Take this run's ratios for the baseline; what it did not measure stays as it was."""
    known = dict(read(file)) if file.exists() else {}
    for row in run.rows:
        if row.ratio is not None:
            known[row.what] = Entry(ratio=round(row.ratio, 4), more_is_better=row.more_is_better)
    data = msgspec.json.encode(dict(sorted(known.items())))
    file.write_bytes(msgspec.json.format(data, indent=2) + b"\n")
