"""Following one job, event by event, until it needs nothing more."""

from relaymd.bus.facts import JobChanged
from relaymd.cli.facts import exit_code, until_final
from relaymd.cli.session import Session
from relaymd.cli.shown import document, line
from relaymd.cli.words import of_fact
from relaymd.core.ids import JobId


async def watch(stack: Session, job: JobId, *, after: int, as_json: bool) -> int:
    """Print what happens; the exit code is 0 only for a job that completed."""
    change: JobChanged | None = None
    async for change in until_final(stack.journal, job, after=after):
        if as_json:
            document(change)
        else:
            line(of_fact(change))
    return exit_code(change.state if change else None)
