"""`relaymd version`."""

import json
import platform
from importlib import metadata

import asyncclick as click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def version(as_json: bool) -> None:
    """The version of this program."""
    found = {"relaymd": _version(), "python": platform.python_version()}
    click.echo(json.dumps(found) if as_json else f"relaymd {found['relaymd']}")


def _version() -> str:
    try:
        return metadata.version("relaymd")
    except metadata.PackageNotFoundError:
        return "unknown (it runs from a folder and is not installed)"
