"""Figures side by side, and what they say of the targets."""

from dataclasses import dataclass, field

MIB = 1024 * 1024
RATE, MOVED, TIME, RESTIC, SMALL = 0.9, 0.015, 0.1, 2.0, 1.0
"""The targets: shares of the best peer's rate, of the bytes, of the first upload's time; how
many times faster than restic; seconds."""


@dataclass
class Figure:
    seconds: list[float] = field(default_factory=list[float])
    moved: int | None = None
    """Bytes that travelled, where that is of interest."""

    @property
    def best(self) -> float:
        return min(self.seconds)


@dataclass
class Row:
    name: str
    bytes: int | None = None
    figures: dict[str, Figure] = field(default_factory=dict[str, Figure])

    def of(self, tool: str) -> Figure:
        return self.figures.setdefault(tool, Figure())


def printed(backend: str, rows: list[Row]) -> None:
    print(f"\n{backend:<32} {'seconds':>9} {'MiB/s':>8} {'moved':>8}  all")
    for row in rows:
        for tool, figure in row.figures.items():
            rate = f"{row.bytes / MIB / figure.best:8.0f}" if row.bytes else f"{'':8}"
            share = f"{figure.moved / row.bytes:8.2%}" if figure.moved and row.bytes else f"{'':8}"
            every = " ".join(f"{seconds:.2f}" for seconds in figure.seconds)
            name = f"{row.name}: {tool}"
            print(f"{name:<32} {figure.best:9.2f} {rate} {share}  {every}")
    print()


def judged(rows: list[Row]) -> list[tuple[str, bool]]:
    """Each target in a sentence, and whether it is met. Targets without a peer are left out."""
    first, again, back, small = rows
    ours, appended = first.of("relaymd").best, again.of("relaymd")
    found: list[tuple[str, bool]] = []
    copies = [first.figures[name].best for name in ("rclone", "aws") if name in first.figures]
    if copies:
        found.append(_ratio("first upload, of the better copy's rate", min(copies) / ours, RATE))
    share = (appended.moved or 0) / (again.bytes or 1)
    found.append((f"after 1 % was appended {share:.2%} of the bytes move", share <= MOVED))
    spent = appended.best / ours
    found.append((f"and it takes {spent:.2f} of the first upload's time", spent <= TIME))
    if "restic" in again.figures:
        times = again.figures["restic"].best / appended.best
        found.append(_ratio("times faster than restic with it", times, RESTIC))
    if "rclone" in back.figures:
        rate = back.figures["rclone"].best / back.of("relaymd").best
        found.append(_ratio("restore, of rclone's rate", rate, RATE))
    seconds = small.of("relaymd").best
    found.append((f"{small.name} take {seconds:.2f} s", seconds < SMALL))
    return found


def _ratio(words: str, ratio: float, target: float) -> tuple[str, bool]:
    return f"{words} {ratio:.2f} (target {target})", ratio >= target
