"""`relaymd worker`: a worker here, in the foreground."""

import asyncclick as click


@click.command()
async def worker() -> None:
    """Be a worker on this machine, until there is no work or a signal comes."""
    from relaymd.worker.main import work  # needs the extra `worker`

    await work()
