"""What a worker elsewhere is told, and what only its private file holds."""

import msgspec

from relaymd.actors.providers.worker_environment import WorkerEnvironment, for_cluster
from relaymd.config import Config, StorageConfig, StorageKind
from relaymd.connection import Access
from relaymd.core.clusters import ClusterConfig, IdleStrategy

ACCESS = Access(url="nats://127.0.0.1:4222", user="worker", password="canary-1")
NORTH = ClusterConfig(name="north")
CONFIG = Config(state_dir="/state", worker_drain_seconds=40.0, worker_slots=3)


def told(
    config: Config = CONFIG, cluster: ClusterConfig = NORTH, access: Access = ACCESS
) -> WorkerEnvironment:
    return for_cluster(config, cluster, access)


def test_settings_that_differ_from_the_default_are_handed_on() -> None:
    assert told().settings == {
        "RELAYMD_NATS_URL": "nats://127.0.0.1:4222",
        "RELAYMD_NATS_USER": "worker",
        "RELAYMD_STORAGE_PATH": "/state/storage",
        "RELAYMD_WORKER_DRAIN_SECONDS": "40.0",
        "RELAYMD_WORKER_IDLE_STRATEGY": "immediate_exit",
    }


def test_secrets_are_apart() -> None:
    storage = StorageConfig(
        kind=StorageKind.S3,
        bucket="simulations",
        access_key_id="canary-2",
        secret_access_key="canary-3",
        read_token="canary-4",
    )
    environment = told(msgspec.structs.replace(CONFIG, storage=storage))

    assert environment.secrets == {
        "RELAYMD_NATS_PASSWORD": "canary-1",
        "RELAYMD_STORAGE_ACCESS_KEY_ID": "canary-2",
        "RELAYMD_STORAGE_SECRET_ACCESS_KEY": "canary-3",
        "RELAYMD_STORAGE_READ_TOKEN": "canary-4",
    }
    assert environment.settings["RELAYMD_STORAGE_BUCKET"] == "simulations"
    assert environment.settings["RELAYMD_STORAGE_KIND"] == "s3"
    assert "canary" not in " ".join(environment.settings.values())


def test_an_address_that_holds_a_password_is_a_secret() -> None:
    access = msgspec.structs.replace(ACCESS, url="nats://me:canary@login:4222")
    environment = told(access=access)

    assert environment.secrets["RELAYMD_NATS_URL"] == access.url
    assert "RELAYMD_NATS_URL" not in environment.settings


def test_a_clusters_own_address_counts() -> None:
    cluster = ClusterConfig(name="north", nats_url="nats://leaf:4222")
    assert told(cluster=cluster).settings["RELAYMD_NATS_URL"] == "nats://leaf:4222"


def test_a_server_that_listens_everywhere_is_reached_by_a_name() -> None:
    url = told(msgspec.structs.replace(CONFIG, nats_host="0.0.0.0")).settings["RELAYMD_NATS_URL"]

    assert url.endswith(":4222")
    assert "127.0.0.1" not in url


def test_how_long_a_worker_waits_for_work_is_the_clusters_matter() -> None:
    cluster = ClusterConfig(
        name="north", idle_strategy=IdleStrategy.POLL_THEN_EXIT, idle_poll_max_seconds=30.0
    )
    settings = told(cluster=cluster).settings
    assert settings["RELAYMD_WORKER_IDLE_STRATEGY"] == "poll_then_exit"
    assert settings["RELAYMD_WORKER_IDLE_POLL_MAX_SECONDS"] == "30"


def test_each_stack_keeps_its_own_file() -> None:
    other = told(msgspec.structs.replace(CONFIG, state_dir="/other"))
    assert other.file != told().file == told().file
