"""Engines that run long enough to be stopped, and how far they came."""

import json

from relaymd.core.ids import JobId
from tests.worker.processes import until
from tests.worker.shop import Shop

LONG = ("--steps", "1000", "--pace", "0.03")
NEVER = {"checkpoint_poll_interval_seconds": 3600}
"""No cycle but the last one."""


async def step_stored(shop: Shop, job: JobId) -> int:
    state = json.loads((await shop.restored(job) / "state.json").read_text())
    return int(state["step"])


async def started(shop: Shop, worker: str = "w-1") -> None:
    """Wait until the engine has made a few steps."""
    folder = shop.root / "workers" / worker
    await until(lambda: any(len(f.read_text()) > 100 for f in folder.glob("j-*/work/ledger.txt")))
