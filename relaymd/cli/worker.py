"""`relaymd worker`: a worker here, in the foreground."""

import os

import asyncclick as click

from relaymd import logs
from relaymd.cli.failures import CommandError
from relaymd.cli.session import environment, settings
from relaymd.config import SECRETS


@click.command()
async def worker() -> int:
    """Be a worker on this machine, until there is no work or a signal comes."""
    from relaymd.worker.main import CODES, work  # needs the extra `worker`

    loaded = settings()
    secrets = [str(one.value) for one in loaded.settings if one.key in SECRETS and one.value]
    logs.set_up("worker", level=loaded.config.log_level, environ=os.environ, secrets=secrets)
    try:
        return await work(loaded.config, environment())
    except tuple(CODES) as exc:
        code = next(code for kind, code in CODES.items() if isinstance(exc, kind))
        raise CommandError(str(exc), code) from None
