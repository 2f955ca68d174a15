"""From the entries of `clusters:` to the clusters: what they extend is filled in, templates go.

Tables are merged key by key, lists and everything else replace what was inherited.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import msgspec

from relaymd.core import cluster_rules
from relaymd.core.clusters import ClusterConfig
from relaymd.core.strict import InvalidDocumentError, read

Entry: TypeAlias = Mapping[str, Any]

_OWN = frozenset({"name", "extends", "is_template"})
"""Keys that are never inherited."""


class ResolvedCluster(msgspec.Struct, frozen=True, kw_only=True):
    config: ClusterConfig
    written: dict[str, Any]
    """The keys that somebody wrote, here or in a template."""

    written_in: dict[str, str]
    """For each of these, with `.` for each level: the name of the entry where it stands."""


def resolve(raw: object, *, taken: Iterable[str] = ()) -> tuple[ResolvedCluster, ...]:
    """The clusters that a list of entries makes. Raises InvalidDocumentError.

    taken: names that no cluster may have.
    """
    entries = _by_name(raw)
    clusters: list[ResolvedCluster] = []
    for name, entry in entries.items():
        _check(entry, name)
        written, origins = _inherited(name, entries, ())
        config = _check({**written, "name": name, "is_template": False}, name)
        if not _is_template(entry):
            cluster_rules.check(config, taken=taken)
            clusters.append(ResolvedCluster(config=config, written=written, written_in=origins))
    return tuple(clusters)


def _by_name(raw: object) -> dict[str, Entry]:
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise InvalidDocumentError("clusters: expected a list of clusters", key="clusters")
    entries: dict[str, Entry] = {}
    for number, entry in enumerate(cast(Sequence[object], raw), start=1):
        if not isinstance(entry, Mapping):
            raise InvalidDocumentError(f"clusters: entry {number} has no keys and values")
        named = cast(Entry, entry)
        name = named.get("name")
        if not isinstance(name, str) or not name:
            raise InvalidDocumentError(f"clusters: entry {number} has no name", key="clusters")
        if name in entries:
            raise InvalidDocumentError(f"clusters: two entries are named {name!r}", key="clusters")
        entries[name] = named
    return entries


def _check(entry: Entry, name: str) -> ClusterConfig:
    """The entry as it stands, strictly; what is wrong is said with the cluster's name."""
    if isinstance(entry.get("wall_time"), (int, float)):
        reason = 'write it in quotes, such as "4:00:00"; YAML makes a number of it otherwise'
        raise _within(name, InvalidDocumentError(f"wall_time: {reason}", key="wall_time"))
    try:
        return read(entry, ClusterConfig)
    except InvalidDocumentError as exc:
        raise _within(name, exc) from None


def _within(name: str, exc: InvalidDocumentError) -> InvalidDocumentError:
    return InvalidDocumentError(f"clusters: {name}: {exc}", key=f"clusters.{name}.{exc.key or ''}")


def _inherited(
    name: str, entries: Mapping[str, Entry], seen: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What counts for the entry, and where each key of it is written."""
    if name in seen:
        circle = " extends ".join((*seen[seen.index(name) :], name))
        raise InvalidDocumentError(f"clusters: {circle}", key="clusters")
    entry = entries[name]
    own = {key: value for key, value in entry.items() if key not in _OWN}
    origins = dict.fromkeys(_leaves(own), name)
    above = entry.get("extends")
    if above is None:
        return own, origins
    if above not in entries:
        near = difflib.get_close_matches(str(above), entries.keys() - {name}, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidDocumentError(
            f"clusters: {name}: it extends {above!r}, which is no entry{hint}",
            key=f"clusters.{name}.extends",
        )
    inherited, places = _inherited(above, entries, (*seen, name))
    merged = _merged(inherited, own)
    known = {**places, **origins}
    return merged, {leaf: known[leaf] for leaf in _leaves(merged)}


def _merged(below: Entry, above: Entry) -> dict[str, Any]:
    merged = {**below, **above}
    for key, value in above.items():
        old = below.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(cast(Entry, old), cast(Entry, value))
    return merged


def _leaves(entry: Entry, above: str = "") -> list[str]:
    found: list[str] = []
    for key, value in entry.items():
        if isinstance(value, Mapping) and value:
            found += _leaves(cast(Entry, value), f"{above}{key}.")
        else:
            found.append(f"{above}{key}")
    return found


def _is_template(entry: Entry) -> bool:
    return entry.get("is_template") is True
