"""What a worker knows of an engine.

The worker's logic knows `Launch` and `Engine` only, so that a simulation can bring its own.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import msgspec


class LaunchError(Exception):
    """The engine could not be started: its command is missing, or may not be executed."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    argv: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    stdout: Path
    """Files to which the output is appended."""

    stderr: Path


class Engine(Protocol):
    """A running engine and all its descendants."""

    def terminate(self) -> None:
        """Send SIGTERM to its process group; nothing happens if it has ended."""
        ...

    async def kill(self) -> int:
        """End all of it at once, and wait for that; its exit code."""
        ...

    async def exited(self) -> int:
        """Wait until its main process has ended and nothing of it is left; its exit code.

        Negative: the signal that ended it. Several may wait.
        """
        ...


class Launch(Protocol):
    def __call__(self, command: Command) -> AbstractAsyncContextManager[Engine]:
        """Start an engine; whatever is left of it is killed when the context exits.

        Raises LaunchError.
        """
        ...
