"""A RelayMD whose workers come from the Slurm of the tests."""

import json
import math
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.system.slurm_cluster import GPUS, SlurmCluster
from tests.system.stack import QUICK, Stack

SETTINGS = {
    **QUICK,
    "RELAYMD_LOCAL_WORKERS": "0",
    "RELAYMD_WORKER_CHECKPOINT_POLL_INTERVAL_SECONDS": "1",
}


def cluster(name: str = "work", **keys: Any) -> dict[str, Any]:
    """An entry of `clusters`: one allocation is a node with its two GPUs, for two jobs."""
    return {
        "name": name,
        "partition": "work",
        "gpu": {"type": "a100", "count": GPUS},
        "slots": GPUS,
        "wall_time": "10",
        "wall_time_spread": 0,
        "signal_seconds": 20,
        "strategy": "continuous",
        "max_pending_jobs": 12,
        "venv": str(Path(sys.executable).parent.parent),
        **keys,
    }


class SlurmStack(Stack):
    slurm: SlurmCluster

    async def allocations(self) -> list[Any]:
        """Those that have not ended, as the ledger has them."""
        return list((await self.status()).get("allocations", []))

    async def told(self, kind: str) -> list[Any]:
        """What was published of allocations so far: the events of this kind."""
        out = await self.cli("events", "--json", "-n", "5000")
        changes = [json.loads(line) for line in out.splitlines()]
        return [one for one in changes if "allocation" in one and one["kind"] == kind]

    async def ended(self, count: int = 1, within: float = 60) -> list[Any]:
        async def look() -> Any:
            found = await self.told("ended")
            return found if len(found) >= count else None

        return list(await self.until(look, within=within, what=f"{count} allocations have ended"))

    async def until_at_rest(self, within: float = 60) -> None:
        """No allocation in the ledger, no job in the queue."""

        async def look() -> bool:
            return not await self.allocations() and not self.slurm.queue()

        await self.until(look, within=within, what=f"nothing is left: {self.slurm.queue()}")

    async def until_running(self, job: str, within: float = 60) -> str:
        """The name of the Slurm job that runs the job, once a checkpoint of it is committed."""
        await self.until_event(job, "checkpointed", within=within)
        worker = await self.worker_of(job)
        return f"a{worker['id'].removeprefix('w')}"

    def node_of(self, name: str) -> str:
        return self.slurm.run("squeue", "-h", "-o", "%N", "--name", name)[1].strip()


def needed(jobs: int) -> int:
    """Allocations for so many jobs."""
    return math.ceil(jobs / GPUS)


@asynccontextmanager
async def over(
    slurm: SlurmCluster, folder: Path, *clusters: dict[str, Any], **settings: str
) -> AsyncGenerator[SlurmStack]:
    """A stack over these clusters. It must leave no job in the queue."""
    state = folder / "state"
    logs, work = folder / "logs", folder / "work"
    # Jobs with this home, instead of that of whoever runs the tests.
    common = {
        "log_dir": str(logs),
        "work_dir": str(work),
        "sbatch_lines": [f"--export=HOME={folder}"],
    }
    config = folder / "relaymd.json"
    config.write_text(json.dumps({"clusters": [{**common, **one} for one in clusters]}))
    work.mkdir()
    environment = {
        **SETTINGS,
        **slurm.environment,
        "HOME": str(folder),
        "RELAYMD_CONFIG": str(config),
        **settings,
    }
    stack = SlurmStack(state, environment)
    stack.slurm = slurm
    try:
        await stack.start()
        yield stack
    except AssertionError as exc:
        written = {file.name: file.read_text()[-1500:] for file in sorted(logs.glob("*"))[-3:]}
        exc.add_note(f"--- queue: {slurm.queue()}\n--- workers: {written}")
        raise
    finally:
        if stack.process is not None:
            await stack.stop()
        slurm.cancel_all()
