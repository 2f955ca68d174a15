"""What the pages under docs/ list is what the code has."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from relaymd.config import Config
from relaymd.core import specification as spec
from relaymd.core.clusters import ClusterConfig, GpuConfig, SshConfig, WorkerImage
from relaymd.core.events import JobEvent
from relaymd.core.worker import WorkerEvent
from relaymd.settings import keys

DOCS = Path(__file__).resolve().parents[1] / "docs"


def rows(page: str, heading: str = "") -> dict[str, str]:
    """First and second column of the table below a heading."""
    text = (DOCS / page).read_text()
    text = re.split(r"\n#+ ", text[text.index(heading) + len(heading) :])[0]
    return dict(re.findall(r"^\| `([^`]+)` \| ([^|]*?) \|", text, re.M))


def test_every_key_of_the_specification_is_explained_and_no_other() -> None:
    assert {*rows("submitting.md", "## Every key")} == {*spec.Specification.__struct_fields__}


def test_every_resource_is_explained_and_no_other() -> None:
    assert {*rows("submitting.md", "### `resources`")} == {*spec.Resources.__struct_fields__}


def test_every_alias_is_named() -> None:
    text = (DOCS / "submitting.md").read_text()

    assert all(f"`{alias}`" in text for alias in spec.ALIASES)


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("## Every key", ClusterConfig),
        ("### `ssh`", SshConfig),
        ("### `gpu`", GpuConfig),
        ("### `worker_images`", WorkerImage),
    ],
)
def test_every_key_of_a_cluster_is_explained_with_its_default(
    heading: str, kind: type[msgspec.Struct]
) -> None:
    def written(default: object) -> str:
        absent = default in (None, "", ()) or default is False or default is msgspec.NODEFAULT
        return "" if absent else f"`{default}`".lower()

    assert rows("clusters.md", heading) == {
        field.name: written(field.default) for field in msgspec.structs.fields(kind)
    }


def test_every_key_of_the_configuration_is_explained_with_its_default() -> None:
    def written(default: object) -> str:
        return "" if default in (None, "") else f"`{default}`"

    assert rows("configuration.md") == {key.name: written(key.default) for key in keys(Config)}


@pytest.mark.parametrize(
    ("subject", "union"), [("relaymd.event.job", JobEvent), ("relaymd.event.worker", WorkerEvent)]
)
def test_every_kind_of_event_is_listed(subject: str, union: object) -> None:
    (line,) = re.findall(rf"^\| `{subject}[^|]*\|(.*)\|$", (DOCS / "events.md").read_text(), re.M)
    kinds: list[type[msgspec.Struct]] = []
    for part in get_args(union):
        kinds += get_args(part) or (part,)

    assert {*re.findall(r"`([a-z-]+)`", line)} == {str(k.__struct_config__.tag) for k in kinds}
