"""What a command prints: one JSON document, or a table for people."""

import sys
from collections.abc import Collection, Iterable, Sequence

import asyncclick as click
import msgspec


def document(value: object) -> None:
    """The answer as one JSON document on one line of its own."""
    click.echo(msgspec.json.encode(value))


def line(text: str) -> None:
    click.echo(clean(text))


def aside(text: str) -> None:
    """For a person and not for a program that reads the answer: on stderr."""
    click.echo(clean(text), err=True)


def clean(text: str, keep: str = "") -> str:
    """Control characters made visible: a title must not steer the terminal that shows it."""
    return "".join(
        letter if letter.isprintable() or letter in keep else repr(letter)[1:-1] for letter in text
    )


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    elastic: Collection[str] = (),
    empty: str = "",
) -> None:
    """A table in colours at a terminal; elsewhere plain aligned text, never cut.

    elastic: the columns that give way, by breaking their lines, where the terminal is narrow.
    """
    found = [[clean(cell) for cell in row] for row in rows]
    if not found:
        click.echo(empty, err=True)
    elif sys.stdout.isatty():
        _rich(columns, found, elastic)
    else:
        _plain(columns, found)


def _plain(columns: Sequence[str], rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in ([name.upper() for name in columns], *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _rich(columns: Sequence[str], rows: list[list[str]], elastic: Collection[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    view = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    widths = _widths(columns, rows, elastic, console.width)
    for name, width in zip(columns, widths, strict=True):
        # What stands in the others is an identifier or a figure, and useless when it is cut.
        view.add_column(name, no_wrap=name not in elastic, overflow="fold", width=width)
    for row in rows:
        view.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    console.print(view)


def _widths(
    columns: Sequence[str], rows: list[list[str]], elastic: Collection[str], room: int
) -> list[int]:
    """Each column as wide as it needs to be; where there is no room, elastic ones share what is.

    None becomes narrower than an identifier in it, or than its longest word where that is less.
    """
    cells = [*zip(columns, *rows, strict=True)]
    widths = [max(map(len, column)) for column in cells]
    least = {
        n: min(max(len(word) for cell in cells[n] for word in cell.split()), IDENTIFIER)
        for n, name in enumerate(columns)
        if name in elastic
    }
    over = sum(widths) + len(widths) + 1 - room
    while over > 0 and (wide := [n for n in least if widths[n] > least[n]]):
        widths[max(wide, key=lambda n: widths[n] - least[n])] -= 1
        over -= 1
    return widths


IDENTIFIER = 14
"""Characters of an identifier: what an elastic column still holds in one line."""

NEWLINES = "\n\t"
"""Harmless in a text of several lines, such as an engine's last words."""

STYLES = {
    "running": "green",
    "completed": "bold green",
    "failed": "bold red",
    "draining": "yellow",
    "cancelling": "yellow",
    "suspect": "yellow",
    "quarantined": "red",
    "dead": "red",
    "assigned": "cyan",
    "queued": "blue",
}
"""Words that carry a colour wherever they stand alone."""


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values below each other."""
    found = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in found), default=0)
    for name, value in found:
        click.echo(f"{name.ljust(width)}  {clean(value, keep=NEWLINES)}")
