"""A group of commands that imports a command's module only when it is called."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NamedTuple

import asyncclick as click
from asyncclick.shell_completion import CompletionItem


class Entry(NamedTuple):
    place: str
    """`module:attribute`."""

    help: str
    """One line, so that the list of commands needs no import."""


class LazyGroup(click.Group):
    """Its own commands, and those of `entries`, each imported when it is called."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *self.entries]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        module, _, name = entry.place.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    async def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            near = get_close_matches(args[0], known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return await super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Of `entries` the names only: to offer a command is no reason to import it."""
        items = [CompletionItem(name, help=text) for name, text in self._lines()]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(item for item in items if item.value.startswith(incomplete)), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self._lines())

    def _lines(self) -> list[tuple[str, str]]:
        """Each command and what it is for."""
        own = [(name, one.get_short_help_str(limit=80)) for name, one in self.commands.items()]
        return [*own, *((name, entry.help) for name, entry in self.entries.items())]


class ListingGroup(LazyGroup):
    """A noun: alone, or with options only, it lists."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry] | None = None, **kwargs: Any):
        super().__init__(*args, entries=entries or {}, no_args_is_help=False, **kwargs)

    async def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        helps = {"-h", "--help"}
        if ctx.resilient_parsing:  # of a line that is still being written
            return await super().parse_args(ctx, args)
        if not args or (args[0].startswith("-") and args[0] not in helps):
            args = ["list", *args]
        return await super().parse_args(ctx, args)
