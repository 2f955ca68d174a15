"""What the demo shows: one line an event, a progress bar below them, a table at the end."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.demo.report import Leg
from examples.demo.scenario import Blow
from examples.demo.verify import Check
from relaymd.bus.facts import JobChanged
from relaymd.cli.words import of_job
from relaymd.core.events import Checkpointed

STYLES = {
    "assigned": "cyan",
    "launched": "green",
    "checkpointed": "dim",
    "draining": "yellow",
    "handed-off": "yellow",
    "interrupted": "red",
    "failed": "bold red",
    "completed": "bold green",
}


class Screen:
    """Live on a terminal; plain lines where there is none."""

    def __init__(self, console: Console | None = None) -> None:
        # Away from a terminal lines must not break in the middle of a sentence.
        width = None if sys.stdout.isatty() else 200
        self.console = console or Console(highlight=False, width=width)
        self._began = time.monotonic()
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("water", total=None)

    def __enter__(self) -> "Screen":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None
    ) -> None:
        self._bar.stop()

    def say(self, text: str, style: str = "") -> None:
        elapsed = f"{time.monotonic() - self._began:6.1f} s"
        self._hanging(f"[dim]{elapsed}[/dim] ", f"[{style or 'default'}]{escape(text)}[/]")

    def tell(self, change: JobChanged) -> None:
        """An event of the job."""
        match change.event:
            case Checkpointed(checkpoint=checkpoint) if checkpoint.progress:
                done = checkpoint.progress
                self._bar.update(self._task, completed=done.step, total=done.total_steps)
            case _:
                pass
        self.say(of_job(change.event), STYLES.get(change.kind, ""))

    def shout(self, how: str, blow: Blow) -> None:
        """Something the demo did to a worker."""
        self.say(f"✂ {how} to worker {blow.worker} at about step {blow.furthest}", "bold magenta")

    def table(self, rows: Sequence[Leg]) -> None:
        view = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
        for name in ("#", "worker", "steps", "ended", "without an engine", "work lost"):
            right = name in ("#", "steps")
            view.add_column(
                name, justify="right" if right else "left", no_wrap=name in ("worker", "steps")
            )
        for row in rows:
            idle = "" if row.idle is None else f"{row.idle:.1f} s before"
            lost = f"{row.lost_steps} steps, {row.lost_seconds:.1f} s" if row.lost_steps else "none"
            steps = f"{row.begin:,} – {row.end:,}"
            view.add_row(str(row.number), row.worker, steps, row.ended, idle, lost)
        self.console.print("\n[bold]Segments of one job[/bold]")
        self.console.print(view)

    def verdict(self, checks: Sequence[Check]) -> None:
        self.console.print("[bold]What the files say[/bold]")
        for check in checks:
            mark = "[green]✓[/green]" if check.holds else "[bold red]✗[/bold red]"
            self._hanging(f"  {mark}", escape(check.says))

    def _hanging(self, head: str, text: str) -> None:
        """A line that goes on below its text, not below its head, where the terminal is narrow."""
        grid = Table.grid(padding=(0, 1))
        grid.add_row(head, text)
        self.console.print(grid)
