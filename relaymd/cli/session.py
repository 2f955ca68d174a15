"""A command's conversation with the stack: found, opened as an operator, closed at the end."""

import getpass
import logging
import os
import socket
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncclick as click

from relaymd.bus import contract
from relaymd.bus.bus import Bus, Journal
from relaymd.bus.operating import JobDetails, ShowJob
from relaymd.cli.failures import USAGE, CommandError
from relaymd.config import Config, Loaded, read_config
from relaymd.connection import Role, find
from relaymd.core.ids import TOKEN, JobId, UnixTime
from relaymd.imports import not_found

REACH_WITHIN = 1.5
"""Seconds to look for the server before a person is told that it is not there."""


@dataclass(frozen=True)
class Session:
    config: Config
    bus: Bus
    journal: Journal

    async def job(self, id: str) -> JobDetails:
        """The job with the id, or with the one id that begins so. Raises RefusedError."""
        return await self.bus.ask(contract.SHOW, ShowJob(job=job_id(id)))

    async def full_id(self, id: str) -> JobId:
        return (await self.job(id)).view.job.id


@asynccontextmanager
async def session() -> AsyncGenerator[Session]:
    """Raises NoStackError, UnreachableError, InvalidConfigError."""
    config = settings().config
    hush()
    # Here, because help and completion speak to nobody, and these are half of a command's start.
    from relaymd.bus.client import connect
    from relaymd.bus.journal import NatsJournal

    access = find(config, Role.OPERATOR)
    async with connect(
        access.url,
        role=Role.OPERATOR,
        user=access.user,
        password=access.password,
        name=f"relaymd-{os.getpid()}",
        patience=REACH_WITHIN,
    ) as bus:
        yield Session(config=config, bus=bus, journal=NatsJournal(bus))


def settings() -> Loaded:
    """The configuration, `--state-dir` above it. Says on stderr what looks misspelt."""
    loaded = read_config(environment(), Path.cwd(), Path.home())
    for warning in loaded.warnings:
        click.echo(f"relaymd: {warning}", err=True)
    return loaded


def environment() -> Mapping[str, str]:
    """This process's variables, with the state folder that the command line names."""
    context = click.get_current_context(silent=True)
    chosen = context.find_root().params.get("state_dir") if context else None
    return {**os.environ, "RELAYMD_STATE_DIR": chosen} if chosen else os.environ


def hush() -> None:
    """A person at the command line reads sentences, not logs."""
    with not_found("rich"):  # which structlog takes for tracebacks in logs
        import structlog  # here, because help and completion log nothing

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger().addHandler(logging.NullHandler())


def job_id(text: str) -> JobId:
    if not TOKEN.fullmatch(text):
        raise CommandError(f"{text!r} cannot be a job's id", USAGE)
    return JobId(text)


def whoami() -> str:
    """Who asks, as the job's events will say it."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return f"uid {os.getuid()}@{socket.gethostname()}"


def now() -> UnixTime:
    return UnixTime(time.time())
