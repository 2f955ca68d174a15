"""What a benchmark says: figures, each beside something measured in the same run."""

import operator
import statistics
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec


class Aim(msgspec.Struct, frozen=True):
    """What is promised of a figure, or of its ratio."""

    sign: str
    """`<=` or `>=`."""

    bound: float

    def holds(self, value: float) -> bool:
        return operator.le(value, self.bound) if self.sign == "<=" else value >= self.bound

    def told(self, value: float) -> str:
        """`holds`, or by what factor it is missed."""
        if self.holds(value):
            return "holds"
        if min(value, self.bound) <= 0:
            return "missed"
        return f"missed {max(value / self.bound, self.bound / value):.2f}x"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure."""

    what: str
    figure: float
    unit: str
    aim: Aim | None = None
    """Of the figure itself."""

    beside: float | None = None
    """The same of `beside_what`, measured in the same run."""

    beside_what: str = ""
    ratio_aim: Aim | None = None
    more_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        return self.figure / self.beside if self.beside else None

    def missed(self) -> bool:
        return any(aim is not None and not aim.holds(value) for aim, value in self._judged())

    def verdict(self) -> str:
        told = [
            f"{name} {aim.told(value)}"
            for (aim, value), name in zip(self._judged(), ("figure", "ratio"), strict=False)
            if aim is not None
        ]
        return ", ".join(told) or "published"

    def aims(self) -> str:
        said = [
            f"{aim.sign} {number(aim.bound)}{unit}"
            for aim, unit in ((self.aim, f" {self.unit}"), (self.ratio_aim, " x"))
            if aim is not None
        ]
        return ", ".join(said)

    def _judged(self) -> list[tuple[Aim | None, float]]:
        ratio = self.ratio
        judged: list[tuple[Aim | None, float]] = [(self.aim, self.figure)]
        return judged if ratio is None else [*judged, (self.ratio_aim, ratio)]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is made."""

    scratch: Path
    """An empty folder on the disk to measure."""

    quick: bool

    def of(self, quick: int, full: int) -> int:
        return quick if self.quick else full


Rows = Sequence[Row]
Measure = Callable[[Setting], Awaitable[Rows]]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What is written as JSON."""

    at: float
    """Unix seconds."""

    host: str
    cores: int
    quick: bool
    rows: list[Row]
    failed: dict[str, str] = {}
    """Benchmarks that ended with an error, and which."""


def at_most(bound: float) -> Aim:
    return Aim("<=", bound)


def at_least(bound: float) -> Aim:
    return Aim(">=", bound)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def p99(values: Sequence[float]) -> float:
    """The value that 99 % do not exceed."""
    return quantile(values, 0.99)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(rows: Sequence[Row]) -> str:
    """For a terminal."""
    head = ("what", "figure", "beside", "ratio", "aim", "holds")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    beside = f"{number(row.beside)} ({row.beside_what})" if row.beside is not None else ""
    ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
    return (row.what, f"{number(row.figure)} {row.unit}", beside, ratio, row.aims(), row.verdict())
