"""The clusters that a configuration names, as providers."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from relaymd import connection
from relaymd.actors.providers import worker_environment
from relaymd.actors.providers.provider import Provider
from relaymd.actors.providers.salad import SaladProvider
from relaymd.actors.providers.salad_api import opened
from relaymd.config import Config
from relaymd.connection import Role
from relaymd.core.clusters import ClusterConfig


@asynccontextmanager
async def clusters(config: Config) -> AsyncGenerator[list[Provider]]:
    """One for each cluster, and Salad; the connections they open are closed at the end.

    Raises NoStackError where nothing says how workers reach the server.
    """
    async with AsyncExitStack() as stack:
        far = [_slurm(config, cluster, stack) for cluster in config.clusters]
        if config.salad.is_configured:
            api = await stack.enter_async_context(opened(config.salad))
            far.append(SaladProvider(api, config.salad))
        yield far


def _slurm(config: Config, cluster: ClusterConfig, stack: AsyncExitStack) -> Provider:
    # Here, because SSH takes a third of a second to import, by which a restart of an orchestrator
    # without clusters would be longer.
    from relaymd.actors.providers.shells import shell_for
    from relaymd.actors.providers.slurm import SlurmProvider
    from relaymd.actors.providers.ssh import SshShell

    shell = shell_for(cluster.ssh, Path(config.state_dir))
    if isinstance(shell, SshShell):
        stack.push_async_callback(shell.close)
    access = connection.find(config, Role.WORKER)
    environment = worker_environment.for_cluster(config, cluster, access)
    return SlurmProvider(cluster, shell, environment)
