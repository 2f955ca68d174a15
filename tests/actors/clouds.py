"""An office with providers, and what one asks it about them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from relaymd.bus import contract, operating
from relaymd.bus import messages as m
from tests.actors.cloud import Cloud
from tests.actors.office import Office, Parts, opened, turns


@asynccontextmanager
async def over(path: Path, *clouds: Cloud) -> AsyncGenerator[Office]:
    async with opened(path / "db", Parts(providers=clouds)) as office:
        yield office


async def look(office: Office, times: int = 3) -> None:
    """Let the provisioner look so often, each time at what the last look led to."""
    for _ in range(times):
        office.tick("provisioner")
        await turns()
        await office.ledger.settled(None)
        await turns()


async def states(office: Office) -> list[str]:
    return [str(one.state) for one in (await office.operator.status()).allocations]


async def images(office: Office) -> list[str | None]:
    return [one.image for one in (await office.operator.status()).allocations]


async def kinds(office: Office) -> list[str]:
    rows = await office.ledger.archive.events_after(0, limit=10_000)
    return [row.kind for row in rows if ".provider." in row.subject]


async def clusters(office: Office) -> tuple[operating.ClusterView, ...]:
    found = await office.operator.bus.ask(contract.CLUSTERS, operating.ListClusters())
    return found.clusters


async def switch(office: Office, cluster: str, *, enabled: bool) -> m.Done:
    message = operating.SwitchCluster(cluster=cluster, enabled=enabled, by="ada")
    return await office.operator.bus.ask(contract.SWITCH, message)
