"""Allocations and replicas, over the simulated API: machines come, are claimed, are lost, go."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import msgspec
import pytest

from relaymd.actors.providers.provider import ProviderError, ProviderRefusedError
from relaymd.actors.providers.salad import Patience, SaladProvider
from relaymd.actors.providers.salad_api import opened
from relaymd.core.allocation import Allocation, Sighting, Whereabouts
from relaymd.core.clusters import GpuConfig, SaladConfig
from relaymd.core.ids import AllocationId, UnixTime
from relaymd.core.replicas import KEEP
from tests.salad_server import GROUP, KEY, ORGANIZATION, PROJECT, Container, SaladServer


class Desk:
    """What the provisioner is to the provider: it keeps the allocations."""

    def __init__(self, server: SaladServer, provider: SaladProvider, config: SaladConfig) -> None:
        self.config = config
        self.server = server
        self.provider = provider
        self.live: dict[AllocationId, Allocation] = {}
        self.ended: dict[AllocationId, str] = {}

    async def submit(self, name: str) -> AllocationId:
        id = AllocationId(name)
        made = Allocation(id=id, cluster="salad", requested_at=UnixTime(float(len(self.live))))
        self.live[id] = made
        await self.provider.submit(made)
        return id

    async def look(self) -> dict[AllocationId, Sighting]:
        seen = dict(await self.provider.observe([*self.live.values()]))
        for id, sighting in seen.items():
            if sighting.where is Whereabouts.GONE:
                self.ended[id] = sighting.reason
                del self.live[id]
            elif sighting.external:
                self.live[id] = msgspec.structs.replace(self.live[id], external=sighting.external)
        return seen

    async def until(self, id: AllocationId, where: Whereabouts) -> Sighting:
        async with asyncio.timeout(10):
            while True:
                seen = await self.look()
                if id in seen and seen[id].where is where:
                    return seen[id]
                await asyncio.sleep(0.05)

    async def until_replicas(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.server.replicas != count or len(self.server.instances) != count:
                await self.look()
                await asyncio.sleep(0.05)

    async def running(self, *names: str) -> list[AllocationId]:
        ids = [await self.submit(name) for name in names]
        for id in ids:
            await self.until(id, Whereabouts.RUNNING)
        return ids

    async def cancel(self, id: AllocationId) -> None:
        await self.provider.cancel(self.live[id])


HASTY = Patience(gone_after=0.1, surplus_for=0.3)


@asynccontextmanager
async def desk() -> AsyncGenerator[Desk]:
    async with SaladServer(Container()).serving() as server:
        config = SaladConfig(
            organization=ORGANIZATION,
            project=PROJECT,
            container_group=GROUP,
            api_key=KEY,
            api_url=server.url,
            max_replicas=5,
            slots=2,
            gpu=GpuConfig(type="rtx4090", count=2, vram_gb=24),
            request_seconds=5,
        )
        async with opened(config, rng=lambda: 0.0) as api:
            yield Desk(server, SaladProvider(api, config, HASTY), config)


async def test_an_allocation_is_a_replica_and_gets_the_machine_that_runs() -> None:
    async with desk() as one:
        a = await one.submit("a")
        assert (one.server.replicas, one.server.status) == (1, "running")
        seen = (await one.look())[a]
        assert seen.where is Whereabouts.PENDING
        assert seen.reason.startswith("Salad looks for a machine")
        await one.until(a, Whereabouts.RUNNING)
        assert one.live[a].external == one.server.running[0].machine


async def test_each_allocation_has_a_machine_of_its_own() -> None:
    async with desk() as one:
        ids = await one.running("a", "b", "c")
        assert len({one.live[id].external for id in ids}) == 3
        assert one.server.replicas == 3


async def test_taken_back_the_machine_of_this_allocation_goes_and_no_other() -> None:
    async with desk() as one:
        a, b, c = await one.running("a", "b", "c")
        kept = {one.live[a].external, one.live[c].external}
        await one.cancel(b)
        await one.until_replicas(2)
        assert {each.machine for each in one.server.running} == kept
        await one.look()
        assert one.ended == {b: "it was taken back"}
        assert all(each.deletion_cost == KEEP for each in one.server.running)


async def test_taken_back_twice_is_once() -> None:
    async with desk() as one:
        a, b = await one.running("a", "b")
        await one.cancel(b)
        await one.cancel(b)
        await one.until_replicas(1)
        assert one.server.running[0].machine == one.live[a].external


async def test_the_last_one_leaves_no_replica() -> None:
    async with desk() as one:
        (a,) = await one.running("a")
        await one.cancel(a)
        await one.until_replicas(0)


async def test_before_it_has_a_machine_its_replica_goes() -> None:
    async with desk() as one:
        (a,) = await one.running("a")
        one.server.container.starts = 60
        b = await one.submit("b")
        await one.cancel(b)
        assert one.server.replicas == 1
        await one.look()
        assert one.server.running[0].machine == one.live[a].external
        assert b in one.ended


async def test_a_machine_that_runs_but_was_not_looked_at_is_not_taken_back_blindly() -> None:
    async with desk() as one:
        a = await one.submit("a")
        await asyncio.sleep(0.2)
        assert one.server.running
        with pytest.raises(ProviderError, match="looked at first"):
            await one.cancel(a)
        assert one.server.replicas == 1
        await one.until(a, Whereabouts.RUNNING)


async def test_where_salad_took_the_wrong_machine_the_dismissed_one_is_exchanged() -> None:
    async with desk() as one:
        a, b = await one.running("a", "b")
        bad = one.live[b].external
        one.server.contrary = True
        await one.cancel(b)
        await one.until(a, Whereabouts.GONE)
        c = await one.submit("c")
        await one.until(c, Whereabouts.RUNNING)
        assert one.live[c].external != bad
        assert one.server.replicas == 1


async def test_a_lost_machine_is_gone_and_its_successor_goes_to_who_claims_it_next() -> None:
    async with desk() as one:
        (a,) = await one.running("a")
        lost = one.live[a].external
        one.server.lose(one.server.running[0])
        assert (await one.look())[a].where is Whereabouts.UNKNOWN, "one list proves nothing"
        seen = await one.until(a, Whereabouts.GONE)
        assert seen.reason == f"Salad took machine {lost} away"
        b = await one.submit("b")
        await one.until(b, Whereabouts.RUNNING)
        assert one.server.replicas == 1
        assert len(one.server.started) == 2


async def test_the_successor_of_a_lost_machine_that_nobody_claims_goes_after_a_while() -> None:
    async with desk() as one:
        (a,) = await one.running("a")
        one.server.lose(one.server.running[0])
        await one.until(a, Whereabouts.GONE)
        await one.until_replicas(0)


async def test_a_replica_that_nobody_asked_for_any_more_is_raised_again() -> None:
    async with desk() as one:
        await one.running("a", "b")
        one.server.replicas = 1  # by somebody in the portal
        await one.look()
        assert one.server.replicas == 2


async def test_another_orchestrator_knows_the_machines_of_the_one_before() -> None:
    async with desk() as one:
        ids = await one.running("a", "b", "c")
        before = dict(one.live)
        async with opened(one.config, rng=lambda: 0.0) as api:
            one.provider = SaladProvider(api, one.config, HASTY)
            d = await one.submit("d")
            assert one.server.replicas == 3, "never fewer than what runs"
            await one.until(d, Whereabouts.RUNNING)
            assert {id: one.live[id] for id in ids} == before
            assert len(one.server.running) == 4


async def test_a_submit_that_was_not_heard_is_made_good_by_the_next_look() -> None:
    async with desk() as one:
        one.server.down = True
        with pytest.raises(ProviderError) as raised:
            await one.submit("a")
        assert not isinstance(raised.value, ProviderRefusedError)
        one.server.down = False
        await one.look()
        assert (one.server.replicas, one.server.status) == (1, "running")


async def test_a_quota_is_a_refusal_in_salads_words_and_the_claim_is_forgotten() -> None:
    async with desk() as one:
        await one.running("a")
        one.server.refuses_scaling = "the quota is 1"
        with pytest.raises(ProviderRefusedError, match="the quota is 1"):
            await one.submit("b")
        del one.live[AllocationId("b")]
        one.server.refuses_scaling = ""
        await one.submit("c")
        assert one.server.replicas == 2


async def test_a_group_that_failed_says_why() -> None:
    async with desk() as one:
        one.server.status, one.server.description = "failed", "no such image"
        with pytest.raises(ProviderRefusedError, match="has failed: no such image"):
            await one.submit("a")


async def test_while_salad_is_down_nobody_is_gone() -> None:
    async with desk() as one:
        (a,) = await one.running("a")
        one.server.down = True
        for _ in range(3):
            with pytest.raises(ProviderError):
                await one.look()
        one.server.down = False
        assert (await one.look())[a].where is Whereabouts.RUNNING


def test_the_offer_says_what_one_replica_has() -> None:
    config = SaladConfig(
        max_replicas=3, slots=2, gpu=GpuConfig(type="rtx4090", count=2, vram_gb=24)
    )
    (offer,) = SaladProvider(None, config).offers()  # type: ignore[arg-type] # nothing is asked

    assert (offer.cluster, offer.limit, offer.slots) == ("salad", 3, 2)
    assert [gpu.model for gpu in offer.template.gpus] == ["rtx4090"]
    assert "CUDA" in offer.template.platforms
    assert offer.closed == "RELAYMD_SALAD_API_KEY is not set"
