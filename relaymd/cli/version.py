"""`relaymd version`."""

import json
import platform

import asyncclick as click

from relaymd import version as release


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def version(as_json: bool) -> None:
    """The version of this program."""
    found = {"relaymd": release.version(), "python": platform.python_version()}
    click.echo(json.dumps(found) if as_json else f"relaymd {found['relaymd']}")
