"""The tools that people use for the same work, as they are installed here."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from relaymd.config import StorageConfig

NAMES = ("rclone", "aws", "restic")


def absent() -> list[str]:
    """Those that are not installed."""
    return [name for name in NAMES if shutil.which(name) is None]


async def _run(*command: str, environment: Mapping[str, str] | None = None) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**_plain(os.environ), **(environment or {})},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: {said.decode(errors='replace')}")


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what leads to other services than the one on this machine."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith("AWS_") and not name.lower().endswith("_proxy")
    }


class Peer:
    """One tool with one place to store in."""

    name = ""
    restores = True
    """Whether what it restores is compared."""

    def __init__(self, config: StorageConfig, root: Path) -> None:
        self._config = config
        self._root = root

    async def prepare(self) -> None:
        """What is done once, and not measured."""
        await asyncio.to_thread(self._root.mkdir, parents=True, exist_ok=True)

    async def upload(self, source: Path) -> None:
        raise NotImplementedError

    async def download(self, target: Path) -> None:
        raise NotImplementedError

    @property
    def _bucket(self) -> str:
        return f"{self._config.bucket}/{self._root.name}-{self.name}"

    def _keys(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self._config.access_key_id or "",
            "AWS_SECRET_ACCESS_KEY": self._config.secret_access_key or "",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


class Rclone(Peer):
    name = "rclone"

    async def upload(self, source: Path) -> None:
        await self._copy(str(source), self._place)

    async def download(self, target: Path) -> None:
        await self._copy(self._place, str(target))

    @property
    def _place(self) -> str:
        return f"bench:{self._bucket}" if self._config.endpoint else str(self._root / self.name)

    async def _copy(self, source: str, target: str) -> None:
        environment = {
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_BENCH_TYPE": "s3",
            "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
            "RCLONE_CONFIG_BENCH_ENV_AUTH": "true",
            "RCLONE_CONFIG_BENCH_ENDPOINT": self._config.endpoint or "",
            "RCLONE_CONFIG_BENCH_REGION": "us-east-1",
            **self._keys(),
        }
        await _run("rclone", "copy", source, target, environment=environment)


class Aws(Peer):
    name = "aws"

    async def upload(self, source: Path) -> None:
        await self._sync(str(source), f"s3://{self._bucket}")

    async def download(self, target: Path) -> None:
        await self._sync(f"s3://{self._bucket}", str(target))

    async def _sync(self, source: str, target: str) -> None:
        endpoint = self._config.endpoint or ""
        command = ("aws", "s3", "sync", source, target, "--endpoint-url", endpoint, "--quiet")
        await _run(*command, environment=self._keys())


class Restic(Peer):
    name = "restic"
    restores = False

    async def prepare(self) -> None:
        await super().prepare()
        await self._restic("init")

    async def upload(self, source: Path) -> None:
        await self._restic("backup", str(source))

    async def _restic(self, *command: str) -> None:
        place = str(self._root / self.name)
        if self._config.endpoint:
            place = f"s3:{self._config.endpoint}/{self._bucket}"
        environment = {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": place, **self._keys()}
        cache = str(self._root / "cache")
        await _run("restic", "--cache-dir", cache, *command, environment=environment)


def present(backend: str, config: StorageConfig, root: Path) -> list[Peer]:
    """The installed ones that can store there."""
    kinds = [Rclone, Restic] if backend == "folder" else [Rclone, Aws, Restic]
    return [kind(config, root) for kind in kinds if shutil.which(kind.name)]
