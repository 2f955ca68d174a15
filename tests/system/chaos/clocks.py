"""Clocks that can be set wrong: a wall clock of its own for whatever process is given one.

libfaketime (Debian's package `faketime`) stands between a process and `clock_gettime`. It reads
a file at each call, so that a clock steps while the process runs. What counts seconds
(CLOCK_MONOTONIC) and the times of files stay true, as they do where an administrator or NTP sets
a machine's clock.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

TRUE_CLOCK = ("env", "-u", "LD_PRELOAD")
"""Before a command that is to go by the true clock."""

SLEEPING = Path(__file__).parent / "sleeping"
"""What lets a Python sleep beside libfaketime."""

LIBRARY = "faketime/libfaketimeMT.so.1"
PLACES = (Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/local/lib"))


class Clock:
    """A wall clock, right until it is stepped."""

    def __init__(self, file: Path) -> None:
        """Skips the test where libfaketime is not installed."""
        self._file = file
        self._library = _find()
        self.step(0)

    @property
    def environment(self) -> Mapping[str, str]:
        """What makes a process, and those it starts, go by this clock."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            "PYTHONPATH": str(SLEEPING),
        }

    def step(self, seconds: float) -> None:
        """Be so many seconds ahead of the truth, from now on; negative: behind."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.0f}\n")
        os.replace(new, self._file)


def _find() -> Path:
    found = [path for place in PLACES for path in place.glob(f"*/{LIBRARY}")]
    found += [place / LIBRARY for place in PLACES if (place / LIBRARY).exists()]
    if not found:
        pytest.skip("clocks cannot be stepped here: libfaketime is missing (apt install faketime)")
    return found[0]
