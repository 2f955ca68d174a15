"""The decoders of files: what people write, what the state folder holds, what stores give back."""

import os
import re
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from relaymd.actors import filesystems
from relaymd.actors.providers import processes
from relaymd.bus import server
from relaymd.bus.messages import Complete
from relaymd.cli import draft, lock
from relaymd.cli.failures import CommandError
from relaymd.config import Config, read_config
from relaymd.connection import (
    NoStackError,
    connection_file,
    credentials_file,
    generate,
    read_connection,
    read_credentials,
)
from relaymd.core import supervision
from relaymd.core.checkpoint import Checkpoint
from relaymd.core.ids import AllocationId, Epoch, Generation, JobId, UnixTime, WorkerId
from relaymd.core.reaping import Evidence
from relaymd.core.specification import FILE_NAMES, decode, encode
from relaymd.core.strict import InvalidDocumentError
from relaymd.engine import Segment
from relaymd.settings import InvalidConfigError, keys
from relaymd.storage import folder as folders
from relaymd.storage.bundles import InvalidBundleError, read_specification
from relaymd.storage.folder import FolderStore
from relaymd.storage.generations import load_manifest
from relaymd.storage.manifest import digest
from relaymd.storage.patterns import compiled
from relaymd.storage.store import DamagedObjectError, StorageDeniedError
from relaymd.storage.trees import load_index
from relaymd.worker import progress
from relaymd.worker.identity import InvalidIdentityError, identify
from relaymd.worker.outbox import Letter, Outbox
from relaymd.worker.output import whole
from tests.hostile.decoders import Decoder, at_once, in_place
from tests.hostile.payloads import Json

JOB = JobId("j-0")

SPECIFICATION: Json = {
    "command": ["python", "run.py"],
    "checkpoint_watch_paths": ["state.*", "out/**"],
    "checkpoint_poll_interval_seconds": 60.0,
    "checkpoint_marker": "ckpt_is_valid",
    "progress_file_path": "progress.json",
    "fatal_log_patterns": ["NaN", "a(b|c)+"],
    "environment": {"OMP_NUM_THREADS": "4"},
    "resources": {"gpus": 1, "vram_gb": 8.0, "gpu_models": ["a100"], "clusters": ["c"]},
    "outputs": ["result/"],
}
AS_TOML = b"""command = ["python", "run.py"]
checkpoint_watch_paths = ["state.*"]
checkpoint_poll_interval_seconds = 60
[environment]
A = "4"
[resources]
gpus = 1
"""
AS_YAML = b"""command: python run.py
checkpoint_watch_paths: [state.*, 'out/**']
environment: &a
  A: "4"
resources: {gpus: 1, clusters: [c]}
max_runtime_seconds: 3600
"""
CONFIGURATION: Json = {
    "state_dir": "~/x",
    "log_level": "info",
    "storage": {"kind": "s3", "bucket": "b", "endpoint": "https://x"},
    "bridge_port": 36158,
    "lease_time_to_live_seconds": 20,
    "salad": {"organization": "o", "project": "p", "container_group": "g"},
    "clusters": [
        {"name": "base", "is_template": True, "gpu": {"type": "a100", "count": 1}},
        {"name": "one", "extends": "base", "wall_time": "1-12:00:00", "ssh": {"host": "login"}},
        {"name": "two", "extends": "one", "worker_images": {"i": {"sif_path": "/i.sif"}}},
    ],
}
NONE: list[Json] = []
MANIFEST: Json = {
    "format": 1, "job": JOB, "generation": 1, "epoch": 1, "at": 0.0, "progress": {"step": 3},
    "files": [
        {"path": "a", "size": 3, "mode": 420, "mtime_ns": 1, "chunks": [["0" * 64, 3]]},
        {"path": "b/c", "size": 0, "mode": 420, "mtime_ns": 1, "chunks": [*NONE]},
    ],
}  # fmt: skip
INDEX = {"files": [{"path": "a/b", "size": 3, "digest": "0" * 64, "mode": 420}]}
MOUNTS = b"""22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw
28 22 0:24 / /home/a\\040b rw shared:9 - nfs4 server:/x rw,vers=4.2
"""


def _specification(ending: str) -> Decoder:
    (name,) = (name for name in FILE_NAMES if name.endswith(ending))
    good: Json = {"json": [SPECIFICATION], "toml": [AS_TOML], "yaml": [SPECIFICATION, AS_YAML]}

    def read(_: Path, data: bytes) -> None:
        spec = decode(name, data)
        assert all("\0" not in word for word in spec.argv())
        encode(spec)
        spec.command_line()
        compiled(spec.watched)
        supervision.compiled(spec.fatal_log_patterns)

    return Decoder(f"core.specification {ending}", good[ending], read, (InvalidDocumentError,))


def _in_a_bundle(folder: Path, data: bytes) -> None:
    (folder / FILE_NAMES[0]).write_bytes(data)
    read_specification(folder)


def _drafted(folder: Path, data: bytes) -> None:
    (folder / FILE_NAMES[2]).write_bytes(data)
    draft.specification(folder, draft.Words(env=("A=b",), gpus=1))


def _configuration(folder: Path, data: bytes) -> None:
    (folder / "relaymd-config.yaml").write_bytes(data)
    _used(read_config({}, folder, folder).config)


def _used(config: Config) -> None:
    msgspec.json.encode(config)
    assert "\0" not in config.state_dir
    for cluster in config.clusters:
        assert cluster.wall_seconds is None or cluster.wall_seconds > 0


NAMES = cycle([key.variable for key in keys(Config)] + ["RELAYMD_CLUSTERS"] * 8)
ENTRIES = CONFIGURATION["clusters"]
VARIABLES: list[Any] = [ENTRIES, ["c"], b"5", b"0.5", b"a,b", b"info", b"null", b"s3", b"~/x"]


def _variable(folder: Path, data: bytes) -> None:
    text = os.fsdecode(data.replace(b"\0", b""))  # as `os.environ` holds what is no UTF-8
    _used(read_config({next(NAMES): text}, folder, folder).config)


def _private(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path.parent


def _held(folder: Path, data: bytes) -> None:
    (folder / "lock").write_bytes(data)
    with open(folder / "lock", "rb") as file:
        str(lock.StateHeldError(folder, lock.read(file.fileno())))


def _port(folder: Path, data: bytes) -> None:
    (folder / "port").write_bytes(data)
    assert 0 < server.choose_port(server.Settings(folder=folder)) < 65536


ALLOCATION = AllocationId("a-1")


def _pid(folder: Path, data: bytes) -> None:
    home = processes.home(folder, ALLOCATION)
    home.mkdir(parents=True, exist_ok=True)
    (home / "pid").write_bytes(data)
    evidence, pid = processes.look(folder, ALLOCATION)
    assert pid is None
    assert evidence is not Evidence.GONE or data.strip().lstrip(b"+0").replace(b"_", b"").isdigit()


def _last_words(folder: Path, data: bytes) -> None:
    home = processes.home(folder, ALLOCATION)
    home.mkdir(parents=True, exist_ok=True)
    (home / "worker.log").write_bytes(data)
    processes.last_words(folder, ALLOCATION).encode()


def _outbox(folder: Path, data: bytes) -> None:
    (folder / "letter.json").write_bytes(data)
    tools: Any = SimpleNamespace(offload=in_place)  # the one that reading needs
    for letter in at_once(Outbox(tools, folder).left_over()).values():
        assert isinstance(letter, Letter)


def _store(folder: Path) -> FolderStore:
    folders.create(folder)
    return FolderStore(folder, in_place)


def _manifest(folder: Path, data: bytes) -> None:
    (folder / "m").write_bytes(data)
    committed = Checkpoint(
        generation=Generation(1), epoch=Epoch(1), manifest="m", digest=digest(data), at=UnixTime(0)
    )
    at_once(load_manifest(_store(folder), JOB, committed))


def _index(folder: Path, data: bytes) -> None:
    (folder / "tree.json").write_bytes(data)
    at_once(load_index(_store(folder), "tree/"))


def _told(_: Path, data: bytes) -> None:
    far = progress.parse(data)
    assert far is None or far.fraction is None or 0 <= far.fraction <= 1
    msgspec.json.encode(far)


def _identity(_: Path, data: bytes) -> None:
    text = os.fsdecode(data.replace(b"\0", b""))
    for name in ("ID", "ALLOCATION", "PROVIDER", "CLUSTER", "IMAGE", "DEADLINE", "EXTERNAL"):
        msgspec.json.encode(identify({f"RELAYMD_WORKER_{name}": text}, slots=1))


def _segment(_: Path, data: bytes) -> None:
    text = os.fsdecode(data.replace(b"\0", b""))
    for name in ("PROGRESS", "EPOCH", "GENERATION", "NOTICES", "PROGRESS_FILE"):
        Segment.here({f"RELAYMD_{name}": text})


def _output(_: Path, data: bytes) -> None:
    search = supervision.FatalSearch([re.compile("NaN")])
    at = 0
    while piece := whole(data[at : at + 32]):
        search.feed(piece.decode(errors="replace"))
        at += len(piece)
    assert len(data) - at < 4  # the begin of a letter waits for its end


SAVED = Letter.of(Complete(worker=WorkerId("w"), job=JOB, epoch=Epoch(1)))
LETTERS: list[Any] = [
    msgspec.json.decode(msgspec.json.encode(SAVED)),
    {"kind": "fail", "word": {}, "checkpoints": []},
]

FILES: tuple[Decoder, ...] = (
    *(_specification(ending) for ending in ("json", "toml", "yaml")),
    Decoder("storage.bundles", [SPECIFICATION], _in_a_bundle, (InvalidBundleError,)),
    Decoder("cli.draft", [SPECIFICATION, AS_YAML], _drafted, (InvalidDocumentError, CommandError)),
    Decoder("settings file", [CONFIGURATION], _configuration, (InvalidConfigError,)),
    Decoder("settings variable", VARIABLES, _variable, (InvalidConfigError,)),
    Decoder(
        "connection connection.json",
        [{"nats_url": "x", "bridge_url": None, "storage": {"kind": "folder"}, "pid": 1}],
        lambda folder, data: read_connection(_private(connection_file(folder), data)),
        (NoStackError,),
    ),
    Decoder(
        "connection credentials.json",
        [msgspec.to_builtins(generate())],
        lambda folder, data: read_credentials(_private(credentials_file(folder), data)),
        (NoStackError,),
    ),
    Decoder("cli.lock", [{"pid": 1, "host": "h", "since": 1.0}], _held),
    Decoder("bus.server", [b"4222\n"], _port),
    Decoder("actors.providers.processes pid", [b"-1\n", b"0"], _pid),
    Decoder(
        "actors.providers.processes log", [{"event": "x", "reason": "y"}, b"a\nb"], _last_words
    ),
    Decoder(
        "actors.filesystems",
        [MOUNTS],
        lambda _, data: filesystems.unsafe(Path("/home/a b/x"), os.fsdecode(data).splitlines()),
    ),
    Decoder("worker.outbox", LETTERS, _outbox),
    Decoder("storage.generations", [MANIFEST], _manifest, (DamagedObjectError, StorageDeniedError)),
    Decoder("storage.trees", [INDEX], _index, (DamagedObjectError,)),
    Decoder("worker.progress", [{"fraction": 0.5, "step": 1, "total_steps": 2}, b"0.5"], _told),
    Decoder("worker.identity", [b"w-1", b"123.5", b"slurm"], _identity, (InvalidIdentityError,)),
    Decoder("engine", [{"fraction": 0.5, "step": 1}, b"12"], _segment),
    Decoder("worker.output", ["aä€😀NaN" * 9], _output),
)
