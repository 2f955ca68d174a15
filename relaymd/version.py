"""Which release this is."""

from importlib import metadata


def version() -> str:
    """As the package's metadata has it; `0.0.0` where it runs from a folder nobody installed."""
    try:
        return metadata.version("relaymd")
    except metadata.PackageNotFoundError:
        return "0.0.0"
