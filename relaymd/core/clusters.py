"""What the configuration says of one cluster: how to reach it and what to ask it for.

How several entries become clusters (`extends`, `is_template`) is in `relaymd.core.inheritance`.
"""

from enum import StrEnum

import msgspec

from relaymd.core.ids import UnixTime
from relaymd.core.walltime import seconds_in


class Strategy(StrEnum):
    """When work that waits makes us ask a cluster for more."""

    REACTIVE = "reactive"
    """When no worker there that could take it is alive or on its way."""

    CONTINUOUS = "continuous"
    """Always: `max_pending_jobs` allocations stay in the cluster's queue while work waits."""

    JIT_THRESHOLD = "jit_threshold"
    """As reactive, once the oldest job has waited `jit_threshold_hours` in its present stay."""


class IdleStrategy(StrEnum):
    """What a worker does that finds no work."""

    IMMEDIATE_EXIT = "immediate_exit"
    POLL_THEN_EXIT = "poll_then_exit"


class SshClient(StrEnum):
    BUILT_IN = "built_in"
    """asyncssh: one kept connection; keys, agent and `~/.ssh/config` as `ssh` has them."""

    SYSTEM = "system"
    """The `ssh` of this machine, over a master connection that a person may have opened."""


class SshConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The login node whose `sbatch` is used."""

    host: str
    """A name, or an alias of `~/.ssh/config`."""

    user: str | None = None
    port: int | None = None
    client: SshClient = SshClient.BUILT_IN
    identity_file: str | None = None
    """A private key; None: the agent's, and those of `~/.ssh`."""

    known_hosts_file: str | None = None
    """Where the host's key must stand; None: `~/.ssh/known_hosts`."""

    config_file: str | None = None
    """None: `~/.ssh/config`."""

    control_path: str | None = None
    """system: the socket of the master connection; None: one in the state folder."""

    connect_seconds: float = 20.0


class GpuConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The GPUs of one allocation."""

    type: str = ""
    """As the cluster names it in its GRES, such as `a100`; also matched by `gpu_models`."""

    count: int = 1
    vram_gb: float = 0.0
    """Of each; 0: not known, and then no job that asks for memory goes there."""


class WorkerImage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a container image is: exactly one of the two."""

    sif_path: str | None = None
    """A file on the cluster."""

    image_uri: str | None = None
    """`docker://…` or `oras://…`; pulled once into `sif_cache_dir`."""


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator said about a cluster; it counts above the configuration."""

    cluster: str
    enabled: bool
    by: str = ""
    at: UnixTime


class ClusterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One SLURM cluster, or one partition of it; each is a provider of its own."""

    name: str
    """As jobs name it in `clusters`."""

    extends: str | None = None
    """Another entry, whose keys count where this one has none."""

    is_template: bool = False
    """Only there to be extended."""

    enabled: bool = True
    ssh: SshConfig | None = None
    """None: `sbatch` on this machine."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    nodes: int = 1
    ntasks: int = 1
    cpus_per_task: int | None = None
    gpu: GpuConfig | None = None
    """None: its workers have no GPU."""

    gres: str | None = None
    """Instead of what follows from `gpu`, such as `gpu:a100:2`."""

    memory: str | None = None
    """Of a node, such as `16G`."""

    memory_per_gpu: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    sbatch_lines: tuple[str, ...] = ()
    """Further options, each as it stands behind `#SBATCH`."""

    wall_time: str | None = None
    """As SLURM writes it, in quotes; None: the partition's own."""

    wall_time_spread: float = 0.1
    """Allocations ask for up to this share less, so that not all end at once."""

    signal_seconds: float = 120.0
    """How long before its end an allocation is told."""

    strategy: Strategy = Strategy.REACTIVE
    max_pending_jobs: int = 1
    """Allocations that may wait in the cluster's queue at a time."""

    max_allocations: int = 100
    """Allocations there may be at a time, waiting or running."""

    jit_threshold_hours: float = 1.0
    slots: int = 1
    """Jobs that one worker runs at a time; its GPUs are dealt among them."""

    platforms: tuple[str, ...] = ()
    """Compute platforms its workers have, in OpenMM's names; empty: what follows from `gpu`."""

    worker_images: dict[str, WorkerImage] = {}
    """By the name that jobs give as `worker_image`."""

    venv: str | None = None
    """A virtual environment on the cluster that holds RelayMD, for a site without Apptainer."""

    modules: tuple[str, ...] = ()
    """Environment modules to load, such as `cuda/12.4`."""

    prologue: str = ""
    """Shell lines before the worker."""

    bind: tuple[str, ...] = ()
    """Further folders that the container sees."""

    sif_cache_dir: str | None = None
    """Pulled images and Apptainer's cache, never in the home; None: `relaymd` in `$SCRATCH`."""

    work_dir: str | None = None
    """Where its workers keep job folders; None: the node's `$TMPDIR`."""

    log_dir: str | None = None
    """Where SLURM writes the workers' output; None: `relaymd-logs` in the home."""

    credentials_file: str | None = None
    """On the cluster, mode 600: variables with the worker's secrets, one `NAME=value` a line."""

    nats_url: str | None = None
    """How its workers reach the server; None: as this machine does."""

    idle_strategy: IdleStrategy = IdleStrategy.IMMEDIATE_EXIT
    idle_poll_max_seconds: float | None = None
    """poll_then_exit; None: as `worker_idle_poll_max_seconds`."""

    @property
    def wall_seconds(self) -> float | None:
        return None if self.wall_time is None else seconds_in(self.wall_time)


class SaladConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Salad Cloud's container group; used where it is named."""

    name: str = "salad"
    """As jobs name it in `clusters`."""

    enabled: bool = True
    organization: str | None = None
    project: str | None = None
    container_group: str | None = None
    api_key: str | None = None
    """Better given in the environment: RELAYMD_SALAD_API_KEY."""

    api_url: str = "https://api.salad.com/api/public"
    max_replicas: int = 1
    gpu: GpuConfig | None = None
    slots: int = 1
    platforms: tuple[str, ...] = ()
    worker_image: str | None = None
    """The name under which jobs ask for the group's image."""

    request_seconds: float = 30.0

    @property
    def is_configured(self) -> bool:
        return None not in (self.organization, self.project, self.container_group)
