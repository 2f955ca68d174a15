"""`relaymd events`: the stream of facts, what is stored and what comes."""

import asyncclick as click

from relaymd.cli.facts import coming, stored
from relaymd.cli.session import session
from relaymd.cli.shown import document, line
from relaymd.cli.words import Fact, of_fact

ALL = 10**9
"""More events than a stream holds."""


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("--job", "id", help="Only those of one job.")
@click.option("--after", type=click.IntRange(min=0), help="Everything after this number.")
@click.option(
    "-n", "--last", type=click.IntRange(min=1), default=50, show_default=True, help="How many."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")
async def events(follow: bool, id: str | None, after: int | None, last: int, as_json: bool) -> None:
    """What happened; with -f also what happens, as it happens."""
    async with session() as stack:
        job = await stack.full_id(id) if id else None
        if after is None or not follow:
            most = last if after is None else ALL
            found = await stored(stack.journal, job=job, after=after or 0, last=most)
            for fact in found:
                after = fact.seq
                _show(fact, as_json)
            if not found and not follow:
                click.echo("No events.", err=True)
        if follow:
            async for fact in coming(stack.journal, job=job, after=after or 0):
                _show(fact, as_json)


def _show(fact: Fact, as_json: bool) -> None:
    if as_json:
        document(fact)
    else:
        line(of_fact(fact))
