"""`relaymd status`: whether the stack runs and how it does; or a wait until it runs."""

import asyncio
from pathlib import Path

import asyncclick as click

from relaymd.bus import contract
from relaymd.bus.bus import BusError, RefusedError
from relaymd.bus.operating import AskStatus, Status
from relaymd.cli.failures import UNREACHABLE, CommandError, explained
from relaymd.cli.session import now, session, settings
from relaymd.cli.shown import document, fields, line
from relaymd.cli.words import ago
from relaymd.connection import NoStackError, read_connection, read_credentials

LOOK_AGAIN = 0.1
"""Seconds between two looks while nobody is there who could push."""


@click.command()
@click.option("--wait", type=click.FloatRange(min=0), metavar="SECONDS", help="Until it answers.")
@click.option("--link", is_flag=True, help="The address of the status page, with its token.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def status(wait: float | None, link: bool, as_json: bool) -> None:
    """Whether the stack runs, and how it does."""
    if link:
        line(page_link(Path(settings().config.state_dir)))
        return
    found = await (_ask() if wait is None else _ask_until(wait))
    if as_json:
        document(found)
    else:
        _show(found)


def page_link(state: Path) -> str:
    """The status page's address as a browser needs it the first time. A secret."""
    connection = read_connection(state)
    if connection.bridge_url is None:
        raise CommandError("the stack runs without a bridge", UNREACHABLE)
    return f"{connection.bridge_url}/?token={read_credentials(state).bridge_token}"


async def _ask() -> Status:
    async with session() as stack:
        return await stack.bus.ask(contract.STATUS, AskStatus())


async def _ask_until(wait: float) -> Status:
    clock = asyncio.get_running_loop().time
    end = clock() + wait
    while True:
        try:
            return await _ask()
        except RefusedError:
            raise
        except (NoStackError, BusError) as exc:
            if clock() >= end:
                reason, code = explained(exc)
                raise CommandError(f"not up within {wait:g} s: {reason}", code) from None
        await asyncio.sleep(LOOK_AGAIN)


def _show(found: Status) -> None:
    at = now()
    jobs = ", ".join(f"{count} {state}" for state, count in found.jobs.items() if count)
    live = [one for one in found.allocations if one.state != "ended"]
    fields(
        [
            ("version", found.version),
            ("started", ago(found.started_at, at)),
            ("jobs", jobs or "none"),
            ("workers", str(found.workers)),
            ("allocations", ", ".join(f"{one.id} ({one.state})" for one in live)),
            ("unpublished", str(found.unpublished_events or "")),
        ]
    )
    for actor in found.actors:
        if actor.restarts:
            line(f"{actor.name} was restarted {actor.restarts} times: {actor.last_error}")
