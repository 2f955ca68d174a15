"""The object store as the running stack uses it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from relaymd.config import Config
from relaymd.connection import read_connection
from relaymd.storage.open import open_store
from relaymd.storage.store import Store


@asynccontextmanager
async def opened(config: Config) -> AsyncGenerator[Store]:
    """The store of the stack in the state folder, or, for one elsewhere, the configured one.

    Raises NoStackError or StorageError.
    """
    state, mine = Path(config.state_dir), config.storage
    storage = mine
    if config.nats_url is None:
        storage = msgspec.structs.replace(
            read_connection(state).storage,
            read_token=mine.read_token,
            access_key_id=mine.access_key_id,
            secret_access_key=mine.secret_access_key,
        )
    async with open_store(storage, state) as store:
        yield store
