"""The bridge from its start to a signal: bus, application, socket."""

import argparse
import asyncio
import os
import socket
import sys
from pathlib import Path

import structlog
from aiohttp import web

from relaymd import logs
from relaymd.bus.bus import UnreachableError
from relaymd.bus.client import connect
from relaymd.bus.journal import NatsJournal
from relaymd.config import Config, load_config
from relaymd.connection import NoStackError, Role, find, read_credentials
from relaymd.process import follow_parent, run, signals
from relaymd.settings import InvalidConfigError
from relaymd.web.app import build, runner
from relaymd.web.listening import bind

log = structlog.get_logger()

REACH_WITHIN = 30.0
"""Seconds to look for a server that is just being started."""


def main() -> None:
    """The process. Exit code 1 with one log line when it cannot begin."""
    parser = argparse.ArgumentParser(prog="python -m relaymd.web", description=__doc__)
    parser.add_argument("--fd", type=int, help="a listening socket that the parent opened")
    arguments = parser.parse_args()
    follow_parent(os.environ)
    logs.set_up("bridge", environ=os.environ)
    try:
        run(serve(load_config(), arguments.fd))
    except (InvalidConfigError, NoStackError, UnreachableError, OSError) as exc:
        log.error("bridge.cannot_begin", reason=str(exc))
        sys.exit(1)


async def serve(config: Config, fd: int | None) -> None:
    """Serve until SIGINT or SIGTERM."""
    access = find(config, Role.OPERATOR)
    token = read_credentials(Path(config.state_dir)).bridge_token
    logs.set_up(
        "bridge", level=config.log_level, environ=os.environ, secrets=[token, access.password]
    )
    stop = asyncio.Event()
    async with connect(
        access.url,
        role=Role.OPERATOR,
        user=access.user,
        password=access.password,
        name=f"relaymd-bridge-{os.getpid()}",
        patience=REACH_WITHIN,
    ) as bus:
        served = runner(build(bus, NatsJournal(bus), token=token))
        await served.setup()
        try:
            with signals(lambda _: stop.set()):
                site = await _start(served, config, fd)
                log.info("bridge.serves", address=site.name)
                await stop.wait()
        finally:
            await served.cleanup()


async def _start(served: web.AppRunner, config: Config, fd: int | None) -> web.BaseSite:
    site: web.BaseSite
    if fd is not None:
        site = web.SockSite(served, socket.socket(fileno=fd))
    else:
        # Beside another bridge, or anything else that has the port: the log says where.
        site = web.SockSite(served, bind(config.bridge_host, config.bridge_port))
    await site.start()
    return site
