"""Entries become clusters: what is inherited, what is refused, and in which words."""

from typing import Any

import pytest

from relaymd.core.clusters import GpuConfig, SshConfig, Strategy, WorkerImage
from relaymd.core.inheritance import resolve
from relaymd.core.strict import InvalidDocumentError

BASE: dict[str, Any] = {
    "name": "campus",
    "is_template": True,
    "ssh": {"host": "login", "user": "ada"},
    "account": "lab",
    "gpu": {"type": "a100", "count": 2},
    "modules": ["cuda/12", "gcc"],
}


def complaint(*entries: object) -> str:
    with pytest.raises(InvalidDocumentError) as caught:
        resolve([*entries])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_an_entry_does_not_say_is_taken_from_the_one_it_extends() -> None:
    own = {"name": "a100", "extends": "campus", "partition": "a100", "wall_time": "4:00:00"}
    (found,) = resolve([BASE, own])
    assert found.config.account == "lab"
    assert found.config.ssh == SshConfig(host="login", user="ada")
    assert found.config.wall_seconds == 4 * 3600
    assert not found.config.is_template


def test_tables_are_merged_and_lists_replaced() -> None:
    own = {"name": "x", "extends": "campus", "gpu": {"count": 4}, "modules": ["cuda/13"]}
    (found,) = resolve([BASE, own])
    assert found.config.gpu == GpuConfig(type="a100", count=4)
    assert found.config.modules == ("cuda/13",)


def test_nothing_written_over_a_table_takes_it_away() -> None:
    (found,) = resolve([BASE, {"name": "cpu", "extends": "campus", "gpu": None}])
    assert found.config.gpu is None


def test_the_order_of_the_entries_does_not_matter() -> None:
    own = {"name": "x", "extends": "campus"}
    assert resolve([own, BASE]) == resolve([BASE, own])


def test_one_that_is_no_template_may_be_extended_and_stays_a_cluster() -> None:
    first = {"name": "a", "partition": "p", "strategy": "continuous"}
    found = resolve([first, {"name": "b", "extends": "a"}, {"name": "c", "extends": "b"}])
    assert [one.config.name for one in found] == ["a", "b", "c"]
    assert {one.config.strategy for one in found} == {Strategy.CONTINUOUS}


def test_each_key_is_known_by_the_entry_where_it_stands() -> None:
    own = {"name": "x", "extends": "campus", "gpu": {"count": 4}, "partition": "p"}
    (found,) = resolve([BASE, own])
    assert found.written_in["gpu.count"] == "x"
    assert found.written_in["gpu.type"] == "campus"
    assert found.written_in["partition"] == "x"
    assert found.written_in["ssh.host"] == "campus"
    assert "name" not in found.written_in


def test_images_are_kept_by_their_names() -> None:
    images = {"atom-openmm": {"sif_path": "/w.sif"}, "gmx": {"image_uri": "docker://gmx"}}
    (found,) = resolve([{"name": "x", "worker_images": images}])
    assert found.config.worker_images["gmx"] == WorkerImage(image_uri="docker://gmx")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"partiton": "p"}, "x: unknown key 'partiton'; did you mean 'partition'?"),
        ({"gpu": {"cuont": 1}}, "x: unknown key 'gpu.cuont'; did you mean 'count'?"),
        ({"ssh": {"user": "ada"}}, "x: the key 'ssh.host' is missing"),
        ({"extends": "base"}, "x: it extends 'base', which is no entry"),
        ({"wall_time": 14400}, "x: wall_time: write it in quotes"),
        ({"wall_time": "4h"}, "x: wall_time: '4h' is not a wall time"),
        ({"wall_time": "1:00"}, "x: wall_time: it must be longer than signal_seconds"),
        ({"strategy": "greedy"}, "x: strategy: invalid enum value 'greedy'"),
        ({"gpu": {"count": 0}}, "x: gpu.count: it must be at least 1"),
        ({"gpu": {"type": "a100 b"}}, "x: gpu.type: 'a100 b' is not the name"),
        ({"max_pending_jobs": 0}, "x: max_pending_jobs: it must be at least 1"),
        ({"memory": "lots"}, "x: memory: 'lots' is not an amount"),
        ({"memory": "1G", "memory_per_gpu": "1G"}, "exclude each other"),
        ({"partition": "a b"}, "x: partition: 'a b' must not contain a space"),
        ({"partition": "a\nb"}, "x: partition: it must be one line"),
        ({"sbatch_lines": ["#SBATCH -x"]}, "x: sbatch_lines: write the options without #SBATCH"),
        ({"sbatch_lines": ["-x\nrm"]}, "x: sbatch_lines: each must be one line"),
        ({"worker_images": {"i": {}}}, "x: worker_images.i: it needs either"),
        ({"worker_images": {"i": {"image_uri": "gmx"}}}, "has no scheme such as docker://"),
        ({"ssh": {"host": "-oProxyCommand=x"}}, "is not the name of a host"),
        ({"ssh": {"host": "h", "port": 0}}, "x: ssh.port: 0 is not a port"),
        ({"wall_time_spread": 0.9}, "x: wall_time_spread: it must be between"),
        ({"jit_threshold_hours": -1}, "x: jit_threshold_hours: it cannot be less"),
    ],
)
def test_a_wrong_entry_is_one_sentence_that_names_it(entry: dict[str, Any], says: str) -> None:
    assert says in complaint({"name": "x", **entry})


def test_a_wrong_template_is_refused_also_where_nobody_extends_it() -> None:
    assert "campus: unknown key 'acount'" in complaint(BASE | {"acount": "lab"})


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (({"partition": "p"},), "entry 1 has no name"),
        (("campus",), "entry 1 has no keys and values"),
        (({"name": "a"}, {"name": "a"}), "two entries are named 'a'"),
        (({"name": "a.b"},), "name: letters, digits"),
        (
            ({"name": "a", "extends": "b"}, {"name": "b", "extends": "a"}),
            "a extends b extends a",
        ),
        (({"name": "campos", "extends": "campuss"}, BASE), "did you mean 'campus'?"),
    ],
)
def test_entries_that_do_not_go_together(entries: tuple[object, ...], says: str) -> None:
    assert says in complaint(*entries)


def test_a_list_is_needed() -> None:
    with pytest.raises(InvalidDocumentError, match="expected a list of clusters"):
        resolve({"campus": {}})


def test_the_name_of_another_provider_is_taken() -> None:
    with pytest.raises(InvalidDocumentError, match="name of another provider"):
        resolve([{"name": "local"}], taken={"local"})
