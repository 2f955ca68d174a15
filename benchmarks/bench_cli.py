"""How long the operator's command takes, beside a Python that does nothing.

Whole processes, from start to end, of the same environment, turn about.
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence

from benchmarks.rig import plane, submit
from benchmarks.rows import Row, Rows, Setting, at_most, median
from examples.demo.stack import SCRIPTS

RELAYMD = str(SCRIPTS / "relaymd")
JOBS = 100


async def measure(setting: Setting) -> Rows:
    times = setting.of(7, 25)
    async with plane(setting.scratch) as there:
        operator = await there.operator()
        await submit(operator, JOBS)
        environ = {**os.environ, "RELAYMD_STATE_DIR": str(there.state)}
        completing = {
            **environ,
            "_RELAYMD_COMPLETE": "bash_complete",
            "COMP_WORDS": "relaymd j",
            "COMP_CWORD": "1",
        }
        found: dict[str, list[float]] = {"bare": [], "help": [], "list": [], "completion": []}
        for _ in range(times):
            found["bare"].append(await _run([sys.executable, "-c", "pass"], environ))
            found["help"].append(await _run([RELAYMD, "--help"], environ))
            found["list"].append(await _run([RELAYMD, "jobs"], environ))
            found["completion"].append(await _run([RELAYMD], completing))
    bare = median(found["bare"])
    aims = {"help": 100, "list": 200, "completion": 80}
    return [
        Row(
            what=f"relaymd, {name}",
            figure=median(found[name]),
            unit="ms",
            aim=at_most(bound),
            beside=bare,
            beside_what="python -c pass",
        )
        for name, bound in aims.items()
    ]


async def _run(words: Sequence[str], environ: Mapping[str, str]) -> float:
    begin = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *words,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, (words, out[-300:], err[-300:])
    return 1000 * (time.perf_counter() - begin)
