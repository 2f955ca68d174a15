"""A real sshd of our own, on a port of its own, with keys of its own, for tests to hurt."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from functools import partial
from pathlib import Path

from relaymd.process import die_with_parent
from tests.system.stack import command_line, descendants

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
READY_WITHIN = 10.0

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding yes
LogLevel VERBOSE
{more}
"""


class Sshd:
    """One server, and the files that a client of it has."""

    def __init__(self, folder: Path, *, more: str = "") -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.more = more
        self.user = getpass.getuser()
        self.port = _free_port()
        self.known_hosts = folder / "known_hosts"
        self.key = folder / "key"
        self.config = folder / "config"
        self._process: subprocess.Popen[bytes] | None = None
        keygen(self.key)
        shutil.copy(folder / "key.pub", folder / "authorized_keys")
        self.config.write_text("")
        self.new_host_key()
        self.trust()

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def connections(self) -> int:
        """How often somebody has logged in."""
        return self.log.count("Accepted publickey")

    def new_host_key(self) -> None:
        (self.folder / "host_key").unlink(missing_ok=True)
        keygen(self.folder / "host_key")

    def trust(self) -> None:
        """Write the server's host key into the client's known_hosts."""
        kind, key = (self.folder / "host_key.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")

    def start(self) -> None:
        assert SSHD is not None, "install openssh-server"
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        file = self.folder / "sshd_config"
        file.write_text(CONFIG.format(port=self.port, folder=self.folder, more=self.more))
        self._process = subprocess.Popen(
            [SSHD, "-D", "-E", str(self.folder / "log"), "-f", str(file)],
            stdin=subprocess.DEVNULL,
            preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGKILL),
        )
        deadline = time.monotonic() + READY_WITHIN
        while not self._is_ready():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, f"sshd did not start: {self.log}"
            time.sleep(0.01)

    def stop(self) -> None:
        """The server, and all that it serves."""
        if self._process is not None:
            pids = [*descendants(self._process.pid), self._process.pid]
            for pid in pids:
                _send(pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def cut(self) -> None:
        """Kill the processes that serve connections; the server goes on."""
        for pid in self._serving():
            _send(pid, signal.SIGKILL)

    def freeze(self) -> None:
        for pid in (*self._serving(), self._pid):
            _send(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in (self._pid, *self._serving()):
            _send(pid, signal.SIGCONT)

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _serving(self) -> list[int]:
        return [pid for pid in descendants(self._pid) if command_line(pid).startswith("sshd: ")]

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                return probe.recv(4) == b"SSH-"
        except OSError:
            return False


@contextlib.contextmanager
def serving(folder: Path, *, more: str = "") -> Generator[Sshd]:
    server = Sshd(folder, more=more)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def keygen(file: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(file)], check=True
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _send(pid: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, what)
