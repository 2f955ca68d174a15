"""A thousand cases of everything that is read from outside: one kind of error, and no crash."""

import json
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relaymd.config import Config, load_config, read_config
from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import Epoch, Generation, JobId, UnixTime
from relaymd.core.specification import FILE_NAMES, Specification, decode
from relaymd.core.strict import InvalidDocumentError
from relaymd.settings import InvalidConfigError
from relaymd.storage.generations import load_manifest
from relaymd.storage.manifest import FileEntry, Manifest, digest
from relaymd.storage.store import DamagedObjectError, StorageDeniedError
from tests.hostile.payloads import CASES as COUNT
from tests.simulation.loop import VirtualLoop
from tests.simulation.store import ModelStore

CASES = settings(
    max_examples=COUNT,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)

JOB = JobId("j-0")
ENTRY = FileEntry(path="a", size=0, mode=0o644, mtime_ns=1, chunks=())
SOUND = msgspec.to_builtins(
    Manifest(
        job=JOB, generation=Generation(1), epoch=Epoch(1), at=UnixTime(0.0), files=(ENTRY, ENTRY)
    )
)


def written(value: object) -> bytes:
    return json.dumps(value).encode()  # NaN and infinities as well, which are no JSON


def near(keys: list[str]) -> st.SearchStrategy[bytes]:
    """Bytes from far off to nearly right."""
    documents = st.dictionaries(st.sampled_from(keys), JSON, max_size=4)
    return st.binary(max_size=200) | JSON.map(written) | documents.map(written)


@given(st.sampled_from(FILE_NAMES), near([*Specification.__struct_fields__]))
@CASES
def test_a_specification_of_any_bytes_raises_one_kind_of_error(name: str, data: bytes) -> None:
    with suppress(InvalidDocumentError):
        decode(name, data).argv()


@given(near([*Config.__struct_fields__]))
@CASES
def test_a_configuration_of_any_bytes_raises_one_kind_of_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "relaymd-config.yaml").write_bytes(data)
    with suppress(InvalidConfigError):
        load_config({}, tmp_path, tmp_path)


@given(st.sampled_from([*Config.__struct_fields__]), st.text(max_size=20))
@CASES
def test_a_variable_of_any_text_raises_one_kind_of_error(
    tmp_path: Path, key: str, value: str
) -> None:
    with suppress(InvalidConfigError):
        read_config({f"RELAYMD_{key.upper()}": value}, tmp_path, tmp_path)


def changed(change: tuple[str, Any]) -> bytes:
    name, value = change
    if name in ENTRY.__struct_fields__:
        return written({**SOUND, "files": [{**SOUND["files"][0], name: value}]})
    return written({**SOUND, name: value})


NAMES = st.sampled_from([*Manifest.__struct_fields__, *ENTRY.__struct_fields__])


@given(st.binary(max_size=200) | JSON.map(written) | st.tuples(NAMES, JSON).map(changed))
@CASES
def test_a_manifest_of_any_bytes_is_damaged_or_whole(data: bytes) -> None:
    """Also where its hash is right, as that of one whom a stranger wrote."""
    store = ModelStore(Random(0))
    store.objects["m"] = data
    checkpoint = Checkpoint(
        generation=Generation(1),
        epoch=Epoch(1),
        manifest="m",
        digest=digest(data),
        at=UnixTime(0.0),
    )
    loop = VirtualLoop()  # type: ignore[abstract] # what nothing here calls is not written
    with suppress(DamagedObjectError, StorageDeniedError):
        loop.run(load_manifest(store, JOB, checkpoint))
