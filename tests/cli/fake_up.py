"""`relaymd up` with another orchestrator in the place of ours."""

import os
import sys

import asyncclick as click

from relaymd.cli import up
from relaymd.cli.failures import CommandError
from relaymd.cli.main import fail
from relaymd.cli.stack import Stack
from relaymd.config import load_config
from relaymd.process import run

if __name__ == "__main__":
    config = load_config()
    stack = Stack(
        config,
        os.environ,
        lambda text: click.echo(text, err=True),
        orchestrator="tests.cli.fake_orchestrator",
    )
    try:
        run(up.locked(stack, config, quiet=False))
    except (CommandError, ExceptionGroup) as exc:
        sys.exit(fail(exc))
