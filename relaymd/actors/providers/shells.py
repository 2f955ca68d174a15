"""Which shell a cluster's commands run in."""

from pathlib import Path

from relaymd.actors.providers.shell import LocalShell, Shell
from relaymd.actors.providers.ssh import SshShell
from relaymd.actors.providers.ssh_system import SystemSsh
from relaymd.core.clusters import SshClient, SshConfig


def shell_for(ssh: SshConfig | None, state: Path) -> Shell:
    """state: the state folder, where the sockets of master connections lie."""
    if ssh is None:
        return LocalShell()
    if ssh.client is SshClient.SYSTEM:
        return SystemSsh(ssh, LocalShell(), control=state / "ssh")
    return SshShell(ssh)
