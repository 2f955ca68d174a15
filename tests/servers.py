"""A real nats-server for tests to use, and to hurt."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

from relaymd.bus.client import connect
from relaymd.bus.remote import NatsBus
from relaymd.bus.server import Settings, choose_port, environment, find_binary, find_configuration
from relaymd.connection import Role, generate
from relaymd.process import die_with_parent

READY_WITHIN = 10.0


def _nothing() -> None:
    pass


class NatsServer:
    """A server with the configuration and the permissions of the one that `relaymd up` starts."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = Settings(folder=folder)
        self.credentials = generate()
        self.port = choose_port(self.settings)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.settings.folder / "server.log").read_text()

    def password(self, role: Role) -> str:
        return self.credentials.passwords[role]

    def connect(
        self,
        role: Role,
        name: str = "test",
        *,
        on_disconnect: Callable[[], None] = _nothing,
        on_reconnect: Callable[[], None] = _nothing,
    ) -> AbstractAsyncContextManager[NatsBus]:
        """`async with server.connect(Role.WORKER, "w1") as bus:`"""
        return connect(
            self.url,
            role=role,
            password=self.password(role),
            name=name,
            on_disconnect=on_disconnect,
            on_reconnect=on_reconnect,
        )

    def start(self) -> None:
        self._process = subprocess.Popen(
            [find_binary(), "-c", find_configuration() / "embedded.conf"],
            env=environment(self.settings, self.credentials, name="test", port=self.port),
            stderr=subprocess.DEVNULL,
            preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGKILL),
        )
        deadline = time.monotonic() + READY_WITHIN
        while not self._is_ready():
            assert time.monotonic() < deadline, f"nats-server did not start: {self.log}"
            time.sleep(0.01)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def send(self, what: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(what)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait()
            self._process = None

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                return probe.recv(4) == b"INFO"
        except OSError:
            return False
