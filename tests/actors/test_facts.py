"""What is written of a cluster is, byte by byte, what readers of each release know."""

import msgspec

from relaymd.actors.facts import cluster_changed
from relaymd.core.ids import UnixTime
from tests.bus.samples import GOLDEN


def test_a_fact_about_a_cluster_is_spelled_as_it_always_was() -> None:
    row = cluster_changed(3, UnixTime(1.5), "north", "unreachable", "squeue: connection refused")
    assert (row.subject, row.kind) == ("relaymd.event.provider.north.unreachable", "unreachable")
    known = (GOLDEN / "0.1.0" / "ProviderChanged-1.json").read_bytes()
    assert msgspec.json.format(row.body, indent=1) + b"\n" == known
