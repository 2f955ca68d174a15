"""A real S3 server for the tests: versitygw, over a folder.

Installed by `GOBIN=$PWD/.tools/bin go install github.com/versity/versitygw/cmd/versitygw@v1.8.0`.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from relaymd.config import StorageConfig, StorageKind

ACCESS, SECRET = "test-access", "canary-s3-secret"


@dataclass(frozen=True)
class S3Server:
    url: str
    root: Path
    """Buckets are the folders in it, objects the files in those."""

    def config(self, bucket: str, prefix: str = "") -> StorageConfig:
        return StorageConfig(
            kind=StorageKind.S3,
            bucket=bucket,
            prefix=prefix,
            endpoint=self.url,
            access_key_id=ACCESS,
            secret_access_key=SECRET,
        )


def binary() -> str:
    """The server's program; without it a test is skipped."""
    local = Path(__file__).parents[2] / ".tools/bin/versitygw"
    found = str(local) if local.exists() else shutil.which("versitygw")
    if found is not None:
        return found
    pytest.skip("versitygw is not installed; `make tools` installs it")


@contextmanager
def running(folder: Path) -> Generator[S3Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = folder / "buckets"
    root.mkdir()
    environment = {**os.environ, "ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET}
    command = [binary(), "--port", f"127.0.0.1:{port}", "--quiet", "posix"]
    command += ["--sidecar", str(folder / "meta"), str(root)]
    (folder / "meta").mkdir()
    with (
        open(folder / "server.log", "wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server,
    ):
        try:
            _wait(port, server, folder / "server.log")
            yield S3Server(f"http://127.0.0.1:{port}", root)
        finally:
            server.kill()


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"versitygw does not answer: {log.read_text()}")
