"""From the configuration to the store it describes."""

import asyncio
import os
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from relaymd.config import StorageConfig, StorageKind
from relaymd.process import Offload
from relaymd.storage import folder
from relaymd.storage.folder import FolderStore
from relaymd.storage.patience import Patience
from relaymd.storage.store import Store

RETRIED = 15.0
"""Seconds for which one S3 request is tried again before the store counts as out of reach."""


def prepare_store(config: StorageConfig, state: Path) -> StorageConfig:
    """Make the folder store, where that is the kind, and return the configuration resolved.

    The stack calls this at its start and hands the result to everybody else. They only open:
    where the folder is not to be seen, nobody mistakes its absence for an empty store.
    Blocks. Raises StorageError.
    """
    if config.kind is not StorageKind.FOLDER:
        return config
    root = _root(config, state)
    folder.create(root)
    return msgspec.structs.replace(config, path=str(root))


@asynccontextmanager
async def open_store(
    config: StorageConfig,
    state: Path,
    *,
    offload: Offload = asyncio.to_thread,
    jitter: Callable[[], float] = random.random,
) -> AsyncGenerator[Store]:
    """Open the store; whether it answers shows at the first call.

    The default folder, in our own state folder, is made; any other one must have been.
    """
    if config.kind is StorageKind.FOLDER:
        if config.path is None:
            await offload(prepare_store, config, state)
        yield FolderStore(_root(config, state), offload)
        return
    from relaymd.storage.s3 import open_s3  # half a second, for those who need it

    patience = Patience(within=RETRIED, jitter=jitter, first=0.2, longest=5.0)
    async with open_s3(config, offload=offload, patience=patience) as store:
        yield store


def _root(config: StorageConfig, state: Path) -> Path:
    path = Path(config.path) if config.path is not None else state / "storage"
    return Path(os.path.abspath(path.expanduser()))
