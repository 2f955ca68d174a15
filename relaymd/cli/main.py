"""`relaymd`: finds the command, runs it, and turns what goes wrong into a sentence."""

import asyncio
import os
import sys
from collections.abc import Sequence

import asyncclick as click

from relaymd.cli.lazy import Entry, LazyGroup
from relaymd.process import run as run_process

COMMANDS = {
    "up": Entry("relaymd.cli.up:up", "Run the whole stack here, in the foreground."),
    "submit": Entry(
        "relaymd.cli.submit:submit", "Pack a folder, upload it, and queue it as a job."
    ),
    "jobs": Entry(
        "relaymd.cli.jobs:jobs", "List jobs; show, cancel, requeue one; its logs, files."
    ),
    "workers": Entry("relaymd.cli.workers:workers", "List workers; drain one."),
    "clusters": Entry(
        "relaymd.cli.clusters:clusters", "List clusters; show, switch one; what is planned."
    ),
    "events": Entry("relaymd.cli.events:events", "What happened; -f: what happens."),
    "status": Entry("relaymd.cli.status:status", "Whether the stack runs, and how it does."),
    "worker": Entry("relaymd.cli.worker:worker", "Be a worker, on this machine."),
    "config": Entry("relaymd.cli.config:config", "The configuration and where it comes from."),
    "version": Entry("relaymd.cli.version:version", "The version of this program."),
}

LONG_LIVED = {"up", "worker"}
"""Commands that run for long enough that a faster loop is worth the time of its import."""


@click.group(
    cls=LazyGroup,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--state-dir",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="The stack's folder; above RELAYMD_STATE_DIR and the configuration.",
)
def relaymd(state_dir: str | None) -> None:
    """Long simulations, handed from worker to worker and finished exactly."""
    del state_dir  # read where the configuration is: relaymd.cli.session.environment


def run() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(args: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    try:
        run_it = run_process if LONG_LIVED & {*args} else asyncio.run
        return run_it(_invoke(args))
    except KeyboardInterrupt:
        return 130


async def _invoke(args: Sequence[str]) -> int:
    try:
        code = await relaymd.main(args, prog_name="relaymd", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except click.Abort:
        return 130
    except BrokenPipeError:
        # Whoever read has enough; what is still buffered must not raise once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except asyncio.CancelledError:
        return 130
    except (Exception, ExceptionGroup) as exc:  # noqa: BLE001  the edge of the process
        return fail(exc)
    return code if isinstance(code, int) else 0


def fail(exc: Exception) -> int:
    """Say what went wrong; a mistake of ours is raised again, with its traceback."""
    from relaymd.cli import failures  # needs the bus's and the store's errors

    exc = _single(exc)
    if not isinstance(exc, failures.WORLD):
        raise exc
    message, code = failures.explained(exc)
    click.echo(f"relaymd: {message}", err=True)
    return code


def _single(exc: Exception) -> Exception:
    """What a group of one holds: tasks wrap what they raise."""
    match exc:
        case ExceptionGroup(exceptions=[Exception() as inner]):
            return _single(inner)
        case _:
            return exc
