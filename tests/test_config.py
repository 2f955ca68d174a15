"""The configuration: what counts, what is refused, and where each value is said to come from."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from relaymd.config import (
    OTHER_VARIABLES,
    SECRETS,
    Config,
    StorageKind,
    load_config,
    read_config,
)
from relaymd.core.clusters import IdleStrategy
from relaymd.explanation import explain
from relaymd.settings import InvalidConfigError, keys

EXAMPLE = Path(__file__).parent.parent / "deploy" / "config.example.yaml"


def load(tmp_path: Path, text: str = "", **environ: str) -> Config:
    (tmp_path / "relaymd-config.yaml").write_text(text)
    return load_config(environ, tmp_path, tmp_path / "home")


def refusal(tmp_path: Path, text: str = "", **environ: str) -> str:
    with pytest.raises(InvalidConfigError) as caught:
        load(tmp_path, text, **environ)
    return str(caught.value)


def test_without_file_and_environment_the_defaults_count(tmp_path: Path) -> None:
    config = load_config({}, tmp_path, Path("/home/ada"))
    expected = Config(state_dir="/home/ada/.local/state/relaymd")
    assert config == expected


def test_the_environment_counts_above_the_file_and_the_file_above_the_default(
    tmp_path: Path,
) -> None:
    text = "local_workers: 2\nbridge_port: 1234\nstorage:\n  bucket: from-file\n"
    config = load(
        tmp_path, text, RELAYMD_LOCAL_WORKERS="7", RELAYMD_STORAGE_BUCKET="from-environment"
    )
    assert (config.local_workers, config.bridge_port) == (7, 1234)
    assert config.storage.bucket == "from-environment"
    assert config.worker_drain_seconds == 120


def test_the_first_file_found_wins_and_the_others_are_not_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".config" / "relaymd").mkdir(parents=True)
    (home / ".config" / "relaymd" / "config.yaml").write_text("local_workers: 3")
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    named = tmp_path / "named.yaml"
    named.write_text("local_workers: 1")
    assert load_config({}, cwd, home).local_workers == 3
    (cwd / "relaymd-config.yaml").write_text("local_workers: 2")
    assert load_config({}, cwd, home).local_workers == 2
    assert load_config({"RELAYMD_CONFIG": str(named)}, cwd, home).local_workers == 1


def test_a_named_file_that_is_missing_is_an_error_and_no_other_is_taken(tmp_path: Path) -> None:
    message = refusal(tmp_path, "local_workers: 2", RELAYMD_CONFIG="nowhere.yaml")
    assert message == f"RELAYMD_CONFIG names {tmp_path / 'nowhere.yaml'}, which is not a file"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("storge:\n  bucket: b", "unknown key 'storge'; did you mean 'storage'?"),
        ("storage:\n  buckt: b", "unknown key 'storage.buckt'; did you mean 'bucket'?"),
        ("local_workers: many", "local_workers: expected int, got str"),
        ("local_workers: 1.5", "local_workers: expected int, got float"),
        ("storage: folder", "storage: expected object, got str"),
        ("storage:\n  kind: ftp", "storage.kind: invalid enum value 'ftp'"),
        ("storage:\n  kind: s3", "storage of the kind s3 needs a bucket"),
        ("- a\n- b", "expected keys and values, got list"),
        ("a: [1", "is not YAML that can be read"),
        ("bridge_port: 70000", "bridge_port: 70000 is not a port"),
        ("worker_drain_seconds: 0", "worker_drain_seconds: it must be more than 0 seconds"),
        ("worker_drain_seconds: .nan", "worker_drain_seconds: it must be more than 0 seconds"),
        ("log_level: loud", "log_level: 'loud' is none of debug, info, warning, error"),
        ("local_workers: -1", "local_workers: it cannot be less than 0"),
        ("worker_slots: 0", "worker_slots: it must be at least 1"),
        (
            "lease_time_to_live_seconds: 4",
            "it must be longer than worker_heartbeat_interval_seconds",
        ),
    ],
)
def test_a_wrong_file_is_one_sentence_that_names_file_and_key(
    tmp_path: Path, text: str, says: str
) -> None:
    message = refusal(tmp_path, text)
    assert says in message
    assert "\n" not in message
    if "needs a bucket" not in says:
        assert str(tmp_path / "relaymd-config.yaml") in message or "lease" in text


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("RELAYMD_LOCAL_WORKERS", "many", "RELAYMD_LOCAL_WORKERS='many' cannot be used"),
        ("RELAYMD_BRIDGE_PORT", "99999", "RELAYMD_BRIDGE_PORT: 99999 is not a port"),
        ("RELAYMD_STORAGE_KIND", "ftp", "RELAYMD_STORAGE_KIND='ftp' cannot be used"),
        ("RELAYMD_LOCAL_WORKERS", "", "RELAYMD_LOCAL_WORKERS='' cannot be used"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str, says: str) -> None:
    assert says in refusal(tmp_path, **{name: value})


def test_a_file_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "relaymd-config.yaml").mkdir()
    with pytest.raises(InvalidConfigError, match="cannot be read"):
        load_config({}, tmp_path, tmp_path)


def test_variables_are_converted_to_the_type_of_their_key(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        RELAYMD_WORKER_DRAIN_SECONDS="30",
        RELAYMD_STORAGE_KIND="s3",
        RELAYMD_STORAGE_BUCKET="b",
        RELAYMD_STORAGE_REGION="null",
        RELAYMD_NATS_URL="",
        RELAYMD_WORKER_IDLE_STRATEGY="immediate_exit",
    )
    assert config.worker_drain_seconds == 30.0
    assert config.storage.kind is StorageKind.S3
    assert config.storage.region is None
    assert config.nats_url is None
    assert config.worker_idle_strategy is IdleStrategy.IMMEDIATE_EXIT


def test_paths_are_relative_to_where_they_are_written(tmp_path: Path) -> None:
    home, cwd, folder = tmp_path / "home", tmp_path / "cwd", tmp_path / "etc"
    for one in (home, cwd, folder):
        one.mkdir()
    file = folder / "relaymd.yaml"
    file.write_text("state_dir: state\nworker_dir: ~/jobs\nstorage:\n  path: /data/../store\n")
    environ = {"RELAYMD_CONFIG": str(file)}
    config = load_config(environ, cwd, home)
    assert config.state_dir == str(folder / "state")
    assert config.worker_dir == str(home / "jobs")
    assert config.storage.path == "/store"
    config = load_config({**environ, "RELAYMD_STATE_DIR": "here"}, cwd, home)
    assert config.state_dir == str(cwd / "here")


def test_each_value_is_explained_by_its_origin(tmp_path: Path) -> None:
    file = tmp_path / "relaymd-config.yaml"
    file.write_text("local_workers: 2\n")
    loaded = read_config({"RELAYMD_LOG_LEVEL": "debug"}, tmp_path, tmp_path)
    found = {setting.key: setting for setting in explain(loaded)}
    assert found["local_workers"].origin == f"file:{file}"
    assert found["log_level"].origin == "environment:RELAYMD_LOG_LEVEL"
    assert found["worker_slots"].origin == "default"
    assert {*found} == {key.name for key in keys(Config)}


CLUSTERS = """
clusters:
  - {name: campus, is_template: true, account: lab, gpu: {type: a100, count: 2}}
  - {name: a100, extends: campus, partition: a100, wall_time: "4:00:00"}
"""


def test_clusters_are_read_from_the_file_and_explained_key_by_key(tmp_path: Path) -> None:
    file = tmp_path / "relaymd-config.yaml"
    file.write_text(CLUSTERS)
    loaded = read_config({}, tmp_path, tmp_path)
    (cluster,) = loaded.config.clusters
    assert (cluster.name, cluster.account, cluster.wall_seconds) == ("a100", "lab", 14400.0)
    found = {setting.key: (setting.value, setting.origin) for setting in explain(loaded)}
    assert found["clusters.a100.partition"] == ("a100", f"file:{file}")
    assert found["clusters.a100.gpu.count"] == (2, f"file:{file} (in campus)")
    assert "clusters" not in found


def test_clusters_of_the_environment_replace_those_of_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, CLUSTERS, RELAYMD_CLUSTERS='[{"name": "other"}]')
    assert [cluster.name for cluster in config.clusters] == ["other"]


@pytest.mark.parametrize(
    ("text", "environ", "says"),
    [
        ("clusters: [{name: x, acount: lab}]", {}, "did you mean 'account'?"),
        ("clusters: [{name: local}]", {}, "local: name: it is the name of another provider"),
        ("salad: {project: md}", {}, "organization, project and container_group belong together"),
        ("salad: {project: MD}", {}, "salad.project: 'MD' is not a name"),
        (
            "salad: {api_url: 'http://example.org'}",
            {},
            "salad.api_url: it must begin with https://",
        ),
        ("", {"RELAYMD_SALAD_API_KEY": "a b"}, "RELAYMD_SALAD_API_KEY: it must be one word"),
        ("salad: {slots: 0}", {}, "salad.slots: it must be at least 1"),
        (
            "salad: {organization: acme, project: md, container_group: gpus}\n"
            "clusters: [{name: salad}]",
            {},
            "salad: name: it is the name of another provider",
        ),
        ("", {"RELAYMD_CLUSTERS": "x"}, "RELAYMD_CLUSTERS='x' cannot be used"),
        ("", {"RELAYMD_CLUSTERS": '[{"nam": "x"}]'}, "RELAYMD_CLUSTERS: clusters: entry 1"),
        ("", {"RELAYMD_SALAD_GPU": '{"cuont": 1}'}, "unknown key 'cuont'"),
    ],
)
def test_wrong_clusters_are_one_sentence(
    tmp_path: Path, text: str, environ: dict[str, str], says: str
) -> None:
    message = refusal(tmp_path, text, **environ)
    assert says in message
    assert "\n" not in message


def test_no_secret_is_explained(tmp_path: Path) -> None:
    environ = {key.variable: "canary-1" for key in keys(Config) if key.name in SECRETS}
    environ["RELAYMD_NATS_URL"] = "nats://ada:canary-1@host:4222"
    loaded = read_config(environ, tmp_path, tmp_path)
    shown = msgspec.json.encode(explain(loaded)).decode()
    assert len(environ) == len(SECRETS) + 1
    assert "canary-1" not in shown
    assert "host:4222" in shown


def test_a_misspelt_variable_is_warned_about_and_an_own_one_is_not(tmp_path: Path) -> None:
    environ = dict.fromkeys(OTHER_VARIABLES, "x") | {"RELAYMD_LOCAL_WORKER": "1"}
    del environ["RELAYMD_CONFIG"]
    loaded = read_config(environ, tmp_path, tmp_path)
    assert loaded.warnings == (
        "RELAYMD_LOCAL_WORKER is not a setting; did you mean RELAYMD_LOCAL_WORKERS?",
    )


def test_no_two_keys_share_a_variable_and_none_is_used_for_something_else() -> None:
    count = Counter(key.variable for key in keys(Config))
    assert [name for name, times in count.items() if times > 1] == []
    assert {*count} & OTHER_VARIABLES == set()


def test_every_secret_and_every_path_is_a_key() -> None:
    from relaymd.config import PATHS

    assert {*SECRETS, *PATHS} <= {key.name for key in keys(Config)}


def test_the_example_names_every_key_with_its_default(tmp_path: Path) -> None:
    lines = EXAMPLE.read_text().splitlines()
    uncommented = "\n".join(line.removeprefix("# ") for line in lines[5:])
    document = msgspec.yaml.decode(uncommented)
    file = tmp_path / "example.yaml"
    file.write_text(uncommented)
    loaded = read_config({"RELAYMD_CONFIG": str(file)}, tmp_path, Path("/home/ada"))
    assert loaded.config == load_config({}, tmp_path, Path("/home/ada"))
    assert [one.key for one in loaded.settings if one.origin == "default"] == []
    assert document.keys() == {key.path[0] for key in keys(Config)}


def test_the_example_as_it_stands_changes_nothing(tmp_path: Path) -> None:
    loaded = read_config({"RELAYMD_CONFIG": str(EXAMPLE)}, tmp_path, tmp_path)
    assert {one.origin for one in loaded.settings} == {"default"}
