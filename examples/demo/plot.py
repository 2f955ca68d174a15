"""Energy and temperature over steps, with the hand-overs where they were."""

# pyright: reportUnknownMemberType=false
# matplotlib's types are unknown in part.

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from examples.demo.verify import Row

COLORS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280")
INK = "#2d3748"
STYLE: Any = {
    "font.size": 10,
    "axes.edgecolor": "#a0aec0",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """The steps that one worker did, and why it did no more."""

    begin: int
    end: int
    worker: str
    ended: str


def draw(rows: Sequence[Row], spans: Sequence[Span], path: Path) -> Path:
    """Write the PNG and return its path."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 6.2), dpi=150, layout="constrained")
        energy, temperature = figure.subplots(2, 1, sharex=True)
        _curve(energy, rows, spans, [row.potential / 1000 for row in rows])
        _curve(temperature, rows, spans, [row.temperature for row in rows])
        energy.set_ylabel("potential energy  [MJ/mol]")
        temperature.set_ylabel("temperature  [K]")
        temperature.set_xlabel("step")
        temperature.axhline(300, color="#a0aec0", linewidth=0.8, linestyle=":", zorder=0)
        _handovers(energy, temperature, spans)
        _workers(energy, spans)
        figure.suptitle("One simulation, three workers, every step once", fontweight="bold")
        figure.savefig(path)
    return path


def _curve(axes: Axes, rows: Sequence[Row], spans: Sequence[Span], values: list[float]) -> None:
    """Each worker's part in its colour, joined to the one before."""
    for index, span in enumerate(spans):
        part = [i for i, row in enumerate(rows) if span.begin <= row.step <= span.end]
        color = COLORS[index % len(COLORS)]
        axes.plot([rows[i].step for i in part], [values[i] for i in part], color=color, lw=1.1)
    axes.grid(axis="y", color="#e2e8f0", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)


def _handovers(energy: Axes, temperature: Axes, spans: Sequence[Span]) -> None:
    for span in spans[:-1]:
        for axes in (energy, temperature):
            axes.axvline(span.end, color=INK, linewidth=1.0, linestyle="--", alpha=0.7)
        temperature.annotate(
            f" {span.ended} \n step {span.end:,} ",
            (span.end, 0.03),
            xycoords=("data", "axes fraction"),
            fontsize=8.5,
            color=INK,
        )


def _workers(axes: Axes, spans: Sequence[Span]) -> None:
    for index, span in enumerate(spans):
        axes.annotate(
            span.worker,
            ((span.begin + span.end) / 2, 1.02),
            xycoords=("data", "axes fraction"),
            ha="center",
            fontsize=9,
            color=COLORS[index % len(COLORS)],
        )
