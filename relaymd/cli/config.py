"""`relaymd config`: every setting, its value, and where the value comes from."""

import asyncclick as click
import msgspec

from relaymd.cli.lazy import ListingGroup
from relaymd.cli.session import settings
from relaymd.cli.shown import document, table
from relaymd.explanation import explain


@click.group(cls=ListingGroup)
def config() -> None:
    """The configuration and where it comes from; alone as `explain`."""


@config.command("explain")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def explain_(as_json: bool) -> None:
    """Each value with its origin: default, file, or environment. Secrets are masked."""
    found = explain(settings())
    if as_json:
        document(found)
        return
    rows = [(one.key, _text(one.value), one.origin) for one in found]
    table(("key", "value", "from"), rows, elastic=("value", "from"))


config.add_command(explain_, "list")


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
