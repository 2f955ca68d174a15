"""What `relaymd config explain` shows: each value and where it came from, secrets masked."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from relaymd.config import SECRETS, Loaded
from relaymd.settings import Setting


def explain(loaded: Loaded) -> list[Setting]:
    """What may be shown of each value: secrets are masked, absent ones are still None."""
    return [
        msgspec.structs.replace(setting, value=_shown(setting.key, setting.value))
        for setting in (*loaded.settings, *_of_clusters(loaded))
        if setting.key != "clusters" or not loaded.clusters
    ]


def _of_clusters(loaded: Loaded) -> Iterator[Setting]:
    """What somebody wrote about each cluster, and in which entry."""
    origin = next(one.origin for one in loaded.settings if one.key == "clusters")
    for cluster in loaded.clusters:
        name = cluster.config.name
        for key, entry in cluster.written_in.items():
            value: Any = cluster.written
            for part in key.split("."):
                value = value[part]
            inherited = f" (in {entry})" if entry != name else ""
            yield Setting(key=f"clusters.{name}.{key}", value=value, origin=origin + inherited)


def _shown(key: str, value: Any) -> Any:
    if isinstance(value, str) and key in SECRETS:
        return "********"
    if isinstance(value, str):
        return re.sub(r"://[^/@\s]+@", "://********@", value)
    return value
