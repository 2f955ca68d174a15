"""`make demo`: a real simulation, handed from a killed worker to a drained one to the end."""

import argparse
import asyncio
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from examples.demo import plot, report, verify
from examples.demo.scenario import Story, Unfinished, play
from examples.demo.screen import Screen
from examples.demo.stack import CommandFailedError, Stack, running
from relaymd.core.ids import JobId

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "examples" / "openmm-water"
ROW_EVERY, FRAME_EVERY = 50, 100
"""Steps between what the water example reports: its BLOCK and its FRAME."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the stack and its page up")
    parser.add_argument("--state", type=Path, default=ROOT / ".relaymd-demo")
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output")
    return parser.parse_args()


async def demo(screen: Screen, folder: Path, output: Path, *, keep: bool) -> bool:
    """Play the scenario and judge it; whether everything holds."""
    screen.say("starting nats-server, orchestrator, bridge, one local worker")
    async with running(Stack(folder), folder) as stack:
        screen.say(f"the stack is up in {stack.state}")
        with screen:
            story = await play(stack, BUNDLE, tell=screen.tell, shout=screen.shout)
        await collect(stack, story.details.view.job.id, output)
        good = judge(screen, story, output)
        if keep:
            await _stay(screen, stack)
    return good


async def collect(stack: Stack, job: JobId, output: Path) -> None:
    """Fetch the job's results from the store, as a user would."""
    await asyncio.to_thread(shutil.rmtree, output, ignore_errors=True)
    await stack.relaymd("jobs", "fetch", job, "--to", output)


def judge(screen: Screen, story: Story, output: Path) -> bool:
    rows = report.legs(story)
    screen.table(rows)
    checks: Sequence[verify.Check] = [
        *report.checks(story),
        report.check_begins(rows, verify.read_handovers(output / "handovers.csv")),
        *verify.check(
            output,
            total_steps=report.total_steps(story),
            row_every=ROW_EVERY,
            frame_every=FRAME_EVERY,
        ),
    ]
    screen.verdict(checks)
    energies = verify.read_energies(output / "energies.csv")
    picture = plot.draw(energies, report.spans(rows), output / "relay.png")
    screen.console.print(f"\nenergy and temperature over steps: {picture}")
    return all(check.holds for check in checks)


async def _stay(screen: Screen, stack: Stack) -> None:
    """Leave the stack up until Ctrl-C."""
    link = (await stack.relaymd("status", "--link")).decode().strip()
    screen.console.print(f"\nthe status page: {link}")
    screen.console.print("Ctrl-C stops the stack", style="dim")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        screen.console.print("stopping")
        raise


def main() -> int:
    options = arguments()
    screen = Screen()
    try:
        good = asyncio.run(demo(screen, options.state, options.output, keep=options.keep))
    except KeyboardInterrupt:
        return 0 if options.keep else 130
    except (Unfinished, CommandFailedError) as exc:
        log = options.state / "up.log"
        screen.console.print(f"the demo failed: {exc}; the stack's log is {log}", style="red")
        return 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
