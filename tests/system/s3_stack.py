"""A whole stack whose store is a real S3 server behind a proxy that makes trouble."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.storage.s3_server import ACCESS, SECRET, S3Server
from tests.storage.s3_server import running as s3_running
from tests.system.stack import QUICK, Stack, running
from tests.system.trouble import TroubledS3, troubled

BUCKET = "simulations"


@dataclass(frozen=True)
class S3Stack:
    stack: Stack
    proxy: TroubledS3
    server: S3Server

    @property
    def objects(self) -> Path:
        """Where the server keeps the bucket's objects, as files."""
        return self.server.root / BUCKET


@asynccontextmanager
async def s3_stack(
    folder: Path, environment: Mapping[str, str] = QUICK
) -> AsyncGenerator[S3Stack, None]:
    with s3_running(folder) as server:
        (server.root / BUCKET).mkdir()
        async with troubled(server.url) as proxy:
            storage = {
                "RELAYMD_STORAGE_KIND": "s3",
                "RELAYMD_STORAGE_BUCKET": BUCKET,
                "RELAYMD_STORAGE_ENDPOINT": proxy.url,
                "RELAYMD_STORAGE_ACCESS_KEY_ID": ACCESS,
                "RELAYMD_STORAGE_SECRET_ACCESS_KEY": SECRET,
            }
            async with running(folder / "state", {**environment, **storage}) as stack:
                yield S3Stack(stack, proxy, server)
