"""SLURM as a provider: one partition of one cluster, by the commands that a person types."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

import structlog

from relaymd.actors.providers import slurm_script
from relaymd.actors.providers.provider import Capabilities, ProviderError, ProviderRefusedError
from relaymd.actors.providers.shell import Shell, UnansweredError
from relaymd.actors.providers.slurm_commands import LIMITS, SlurmCommands
from relaymd.actors.providers.slurm_watch import SlurmWatch
from relaymd.actors.providers.worker_environment import WorkerEnvironment
from relaymd.core.allocation import Allocation, Sighting
from relaymd.core.clusters import ClusterConfig
from relaymd.core.ids import AllocationId, Monotonic, WorkerId
from relaymd.core.provisioning import Offer
from relaymd.core.resources import Gpu, ProviderKind, Seat

log = structlog.get_logger(__name__)

LOOK_EVERY_HERE = 3.0
LOOK_EVERY_THERE = 10.0
"""Seconds between two looks, on this machine and over SSH: a `squeue` costs the controller."""


class SlurmProvider:
    """Implements Provider. The name of an allocation's job is the allocation's id."""

    def __init__(self, config: ClusterConfig, shell: Shell, environment: WorkerEnvironment) -> None:
        self._config = config
        self._environment = environment
        self._commands = SlurmCommands(shell)
        self._watch = SlurmWatch(self._commands, config.name, clock=_now)
        self._kept = False
        """Whether the credentials lie on the cluster."""

    @property
    def cluster(self) -> str:
        return self._config.name

    def capabilities(self) -> Capabilities:
        every = LOOK_EVERY_HERE if self._config.ssh is None else LOOK_EVERY_THERE
        return Capabilities(call_within=2 * (LIMITS.submit + LIMITS.look), look_every=every)

    def offers(self) -> Sequence[Offer]:
        config = self._config
        bare: list[str | None] = [None] if config.venv or not config.worker_images else []
        return [self._offer(image) for image in (*bare, *config.worker_images)]

    async def submit(self, allocation: Allocation) -> str:
        await self._keep_credentials()
        script = self.script(allocation)
        log_dir = slurm_script.log_dir(self._config)
        try:
            return await self._commands.submit(allocation.id, script, log_dir=log_dir)
        except ProviderRefusedError:
            raise
        except UnansweredError as exc:
            job = await self._watch.find(allocation.id)
            if job is None:
                raise
            log.info("sbatch.found", cluster=self.cluster, allocation=allocation.id, said=str(exc))
            return job

    async def observe(self, allocations: Collection[Allocation]) -> Mapping[AllocationId, Sighting]:
        return await self._watch.look(allocations)

    async def cancel(self, allocation: Allocation) -> None:
        await self._commands.cancel(allocation.id)

    def script(self, allocation: Allocation) -> str:
        """What is submitted for it."""
        return slurm_script.render(
            self._config,
            allocation,
            settings=self._environment.settings,
            credentials=self._credentials,
            avoid=slurm_script.nodes_of(allocation.avoid, self._watch.nodes),
        )

    @property
    def _credentials(self) -> str | None:
        if self._config.credentials_file is not None:
            return self._config.credentials_file
        return f"~/{self._environment.file}" if self._environment.secrets else None

    async def _keep_credentials(self) -> None:
        """Once: they change with a restart only. A person's own file is left alone."""
        if self._kept or self._config.credentials_file or not self._environment.secrets:
            return
        lines = [f"{name}={value}\n" for name, value in self._environment.secrets.items()]
        try:
            await self._commands.keep_private(self._environment.file, "".join(lines).encode())
        except ProviderError as exc:
            # Nothing was submitted yet, whatever became of the file.
            raise ProviderRefusedError(str(exc), retry_after=exc.retry_after) from exc
        self._kept = True

    def _offer(self, image: str | None) -> Offer:
        config = self._config
        seat = Seat(
            worker=WorkerId("w"),
            provider=ProviderKind.SLURM,
            cluster=config.name,
            image=image,
            platforms=config.platforms or _platforms(config),
            gpus=_share(config),
        )
        return Offer(
            cluster=config.name,
            provider=ProviderKind.SLURM,
            template=seat,
            slots=config.slots,
            limit=config.max_allocations,
            max_pending=config.max_pending_jobs,
            strategy=config.strategy,
            jit_threshold=config.jit_threshold_hours * 3600,
            wall_seconds=config.wall_seconds,
            wall_spread=config.wall_time_spread,
            disabled="" if config.enabled else "it is disabled in the configuration",
        )


def _share(config: ClusterConfig) -> tuple[Gpu, ...]:
    """The GPUs of one seat."""
    gpu = config.gpu
    if gpu is None:
        return ()
    return (Gpu(model=gpu.type, vram_gb=gpu.vram_gb),) * (gpu.count // config.slots)


def _platforms(config: ClusterConfig) -> tuple[str, ...]:
    return ("CUDA", "OpenCL", "CPU", "Reference") if config.gpu else ("CPU", "Reference")


def _now() -> Monotonic:
    return Monotonic(asyncio.get_running_loop().time())
