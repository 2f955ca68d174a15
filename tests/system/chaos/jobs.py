"""Jobs for a stack that is being hurt: never too few of them, each with manners of its own."""

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relaymd.core.ids import JobId
from tests.system.bundles import fake_bundle
from tests.system.chaos.clocks import TRUE_CLOCK
from tests.system.chaos.facts import Facts
from tests.system.stack import Stack

UNFINISHED = 11
"""Jobs at a time: some run, some wait."""

LOOK_EVERY = 0.5
MANNERS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    ((), {}),
    (("--marker", "valid", "--write-seconds", "0.2"), {"checkpoint_marker": "valid"}),
    (("--ignore-term",), {}),
    (("--default-term",), {}),
    (("--term-seconds", "0.5"), {}),
    (("--hang-after-term",), {}),
    (("--finish-at-term",), {}),
    (("--grandchild",), {}),
)


@dataclass
class Submitted:
    """Every job whose submit was acknowledged."""

    steps: dict[JobId, int] = field(default_factory=dict[JobId, int])
    tallies: dict[JobId, Path] = field(default_factory=dict[JobId, Path])
    refused: int = 0
    """Submits that ended with an error, and were tried again with a fresh job."""

    def redone(self) -> int:
        """Steps that were computed and had to be computed again."""
        done = sum(len(path.read_text().splitlines()) for path in self.tallies.values())
        return done - sum(self.steps.values())


async def submit_for_ever(
    stack: Stack, facts: Facts, folder: Path, rng: random.Random, jobs: Submitted
) -> None:
    number = 0
    while True:
        if len([job for job in jobs.steps if not facts.is_final(job)]) >= UNFINISHED:
            await asyncio.sleep(LOOK_EVERY)
            continue
        number += 1
        options, keys = rng.choice(MANNERS)
        steps, tally = rng.randrange(60, 200), folder / f"tally-{number}"
        tally.touch()
        bundle = fake_bundle(
            folder / f"bundle-{number}",
            *options,
            *("--tally", str(tally)),
            steps=steps,
            pace=0.1,
            before=TRUE_CLOCK,
            **keys,
        )
        code, out, _ = await stack.run("submit", bundle, "--title", f"chaos {number}", timeout=120)
        if code:
            jobs.refused += 1
            continue
        job = JobId(out.split()[0])
        jobs.steps[job], jobs.tallies[job] = steps, tally
