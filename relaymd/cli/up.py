"""`relaymd up`: the whole stack in the foreground, until Ctrl-C."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import aclosing
from pathlib import Path

import asyncclick as click

from relaymd import logs
from relaymd.cli.facts import coming
from relaymd.cli.lock import Holder, hold
from relaymd.cli.orphans import reaped
from relaymd.cli.session import environment, now, settings
from relaymd.cli.shown import line
from relaymd.cli.stack import Running, Stack
from relaymd.cli.status import page_link
from relaymd.cli.words import Fact, of_fact
from relaymd.config import Config
from relaymd.process import signals

ROUTINE = frozenset({"assigned", "started", "checkpointed", "submitted", "requested"})
"""Events too common for a feed that somebody leaves open beside other work."""


@click.command()
@click.option("-q", "--quiet", is_flag=True, help="Print no events.")
async def up(quiet: bool) -> None:
    """Run the whole stack here: server, orchestrator, bridge, local workers."""
    config = settings().config
    stack = Stack(config, environment(), lambda text: click.echo(f"relaymd: {text}", err=True))
    await locked(stack, config, quiet=quiet)


async def locked(stack: Stack, config: Config, *, quiet: bool) -> None:
    """Run the stack until a signal, alone on its folder. Raises CommandError, also in a group."""
    file = stack.state / "logs" / "up.log"
    for folder in (stack.state, file.parent):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    holder = Holder(pid=os.getpid(), host=socket.gethostname(), since=now())
    with (
        hold(stack.state, holder),
        logs.into(file, "up", level=config.log_level, environ=os.environ),
    ):
        await _serve(stack, quiet=quiet)


async def _serve(stack: Stack, *, quiet: bool) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def signalled(_: signal.Signals) -> None:
        (hurry if stop.is_set() else stop).set()

    with signals(signalled):
        async with reaped(stack.children), stack.running() as running:
            async with asyncio.TaskGroup() as tasks:
                shown = tasks.create_task(_show(stack, running, quiet=quiet))
                await stop.wait()
                shown.cancel()
            await stack.send_workers_home(running.bus, hurry)
    line("RelayMD is down")


async def _show(stack: Stack, running: Running, *, quiet: bool) -> None:
    status = await running.ready()
    for text in _banner(stack.state, running, status.version):
        line(text)
    if quiet:
        return
    async with aclosing(coming(running.journal, job=None, after=status.last_event)) as facts:
        async for fact in facts:
            if _notable(fact):
                line(of_fact(fact))


def _banner(state: Path, running: Running, version: str) -> list[str]:
    # The link carries the token, which belongs on the owner's terminal and in no log.
    page = page_link(state) if sys.stdout.isatty() else running.connection.bridge_url
    return [
        f"RelayMD {version} is up (Ctrl-C stops it)",
        f"  state   {state}",
        f"  nats    {running.connection.nats_url}",
        f"  page    {page}",
        '  submit  relaymd submit DIR --title T --command "…" --checkpoint GLOB',
    ]


def _notable(fact: Fact) -> bool:
    return fact.kind not in ROUTINE
