"""An S3 server of this run's own: versitygw, over a folder."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from relaymd.config import StorageConfig, StorageKind

ACCESS, SECRET, BUCKET = "bench-access", "bench-secret", "bench"
WITHIN = 20.0
"""Seconds for the server to answer."""


def _program() -> str | None:
    local = Path(__file__).parents[2] / ".tools/bin/versitygw"
    return str(local) if local.exists() else shutil.which("versitygw")


@contextmanager
def serving(folder: Path, wanted: bool) -> Generator[StorageConfig | None]:
    """None where it is not wanted or not installed."""
    program = _program()
    if not wanted or program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in (f"buckets/{BUCKET}", "meta"):
        (folder / name).mkdir(parents=True)
    keys = {"ROOT_ACCESS_KEY": ACCESS, "ROOT_SECRET_KEY": SECRET}
    command = [program, "--port", f"127.0.0.1:{port}", "--quiet", "posix"]
    command += ["--sidecar", str(folder / "meta"), str(folder / "buckets")]
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(
        command, env={**os.environ, **keys}, stdout=nowhere, stderr=nowhere
    ) as server:
        try:
            _wait(port, server)
            yield StorageConfig(
                kind=StorageKind.S3,
                bucket=BUCKET,
                endpoint=f"http://127.0.0.1:{port}",
                access_key_id=ACCESS,
                secret_access_key=SECRET,
            )
        finally:
            server.kill()


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + WITHIN
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError("versitygw does not answer")
