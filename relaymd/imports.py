"""Libraries without those that they take along in case somebody has a use for them."""

import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def not_found(module: str) -> Generator[None]:
    """In the block the module cannot be imported, unless it has been already."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # the import system's own word for it
    try:
        yield
    finally:
        del sys.modules[module]
