"""A simulation of seconds that keeps its books, with the manners of real engines on request.

    python fake_engine.py --steps 50 --pace 0.02 --checkpoint-every 5

Each step appends one line to `ledger.txt`: its number and a checksum chained to the step before.
Every few steps `state.json` is replaced atomically, and `progress` beside it. Started again, it
resumes from `state.json`: it cuts from the ledger what came after, and stops with exit code 3 if
the ledger is behind its own checkpoint, which is what a torn generation looks like. Thus a ledger
that `verify.problems` finds nothing in has every step exactly once, whatever was killed when.

Needs nothing but the standard library.
"""

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

LEDGER = Path("ledger.txt")
STATE = Path("state.json")
PROGRESS = Path("progress")
TORN = 3
"""Exit code: the files do not fit each other."""


def chained(before: str, step: int) -> str:
    return hashlib.sha256(f"{before} {step}".encode()).hexdigest()[:16]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--pace", type=float, default=0.02, help="seconds a step takes")
    parser.add_argument("--hurry", help="once this file is there, steps take no time")
    parser.add_argument("--checkpoint-every", type=int, default=5, help="steps")
    parser.add_argument("--marker", help="removed while a checkpoint is written, like AToM's")
    parser.add_argument("--write-seconds", type=float, default=0.0, help="to write a checkpoint")
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--default-term", action="store_true", help="let SIGTERM end it at once")
    parser.add_argument("--term-seconds", type=float, default=0.0, help="to write at SIGTERM")
    parser.add_argument("--term-code", type=int, default=75, help="exit code after SIGTERM")
    parser.add_argument("--hang-after-term", action="store_true", help="write, then never exit")
    parser.add_argument("--finish-at-term", action="store_true", help="do the rest, then exit 0")
    parser.add_argument("--grandchild", action="store_true", help="leave one in its own session")
    parser.add_argument("--fail-at", type=int, help="step at which it exits with --fail-code")
    parser.add_argument("--fail-code", type=int, default=1)
    parser.add_argument(
        "--tally",
        help="append each step done here, also those that are lost, with its time and our process",
    )
    parser.add_argument("--noise", type=int, default=0, help="extra characters a line of output")
    return parser.parse_args()


class Engine:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.step = 0
        self.checksum = ""
        self.told = False

    def resume(self) -> None:
        if not STATE.exists():
            LEDGER.write_text("")
            self.say("starts at step 0")
            return
        if self.options.marker and not Path(self.options.marker).exists():
            self.stop(TORN, "the checkpoint is not valid: its marker is missing")
        state = json.loads(STATE.read_text())
        self.step, self.checksum = state["step"], state["checksum"]
        lines = LEDGER.read_text().splitlines(keepends=True) if LEDGER.exists() else []
        kept = lines[: self.step]
        if len(kept) < self.step or (kept and kept[-1].split() != [str(self.step), self.checksum]):
            self.stop(TORN, f"the ledger has {len(lines)} lines, the checkpoint {self.step} steps")
        LEDGER.write_text("".join(kept))
        self.say(f"resumes at step {self.step}")

    def run(self) -> None:
        while self.step < self.options.steps:
            self.take_time()
            self.advance()
            if self.step == self.options.fail_at:
                self.stop(self.options.fail_code, "fails, as it was told to")
            if self.step % self.options.checkpoint_every == 0:
                self.checkpoint()
            if self.told and not self.options.finish_at_term:
                self.obey()
        self.checkpoint()
        self.stop(0, "finished")

    def take_time(self) -> None:
        hurry = self.options.hurry
        if not hurry or not Path(hurry).exists():
            time.sleep(self.options.pace)

    def advance(self) -> None:
        self.step += 1
        self.checksum = chained(self.checksum, self.step)
        with LEDGER.open("a") as ledger:
            ledger.write(f"{self.step} {self.checksum}\n")
        if self.options.tally:
            with Path(self.options.tally).open("a") as tally:
                tally.write(f"{self.step} {time.time():.3f} {os.getpid()}\n")
        self.say(f"step {self.step} {self.checksum}{'.' * self.options.noise}")

    def checkpoint(self, seconds: float | None = None) -> None:
        marker = Path(self.options.marker) if self.options.marker else None
        if marker:
            marker.unlink(missing_ok=True)
        fresh = STATE.with_suffix(".new")
        fresh.write_text(json.dumps({"step": self.step, "checksum": self.checksum}))
        time.sleep(self.options.write_seconds if seconds is None else seconds)
        fresh.replace(STATE)
        done = PROGRESS.with_suffix(".new")
        document = {"step": self.step, "total_steps": self.options.steps}
        done.write_text(json.dumps({**document, "fraction": self.step / self.options.steps}))
        done.replace(PROGRESS)
        if marker:
            marker.touch()

    def obey(self) -> None:
        self.checkpoint(self.options.term_seconds)
        self.say(f"stops at step {self.step}")
        while self.options.hang_after_term:
            signal.pause()
        self.stop(self.options.term_code, "was told to stop")

    def hear(self, _number: int, _frame: object) -> None:
        self.told = True

    def say(self, line: str) -> None:
        print(line, flush=True)  # noqa: T201 - output is what an engine is for

    def stop(self, code: int, why: str) -> None:
        print(why, file=sys.stderr, flush=True)  # noqa: T201 - likewise
        sys.exit(code)


def leave_grandchild() -> None:
    """A process that has left the engine's group and session, and ignores SIGTERM."""
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path("grandchild.pid").write_text(str(os.getpid()))
        while True:
            signal.pause()


def main() -> None:
    options = arguments()
    engine = Engine(options)
    if options.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif not options.default_term:
        signal.signal(signal.SIGTERM, engine.hear)
    if options.grandchild:
        leave_grandchild()
    engine.resume()
    engine.run()


if __name__ == "__main__":
    main()
