"""Every figure that RelayMD promises, measured here and now.

    python -m benchmarks --quick            what CI runs, in less than three minutes
    python -m benchmarks                    everything, in about twenty
    python -m benchmarks start cli          some of them
    python -m benchmarks --quick --check    ratios beside the stored baseline

Prints a table and writes JSON. Absolute times wander on machines that others use; a ratio to
something measured in the same run, turn about, does not. Exit code 1: a benchmark failed or took
too long, or, with --check, a ratio is more than 30 % worse than the baseline's.
"""

import argparse
import os
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import msgspec

from benchmarks import baseline
from benchmarks.bounds import FULL, QUICK, within
from benchmarks.rows import Measure, Row, Run, Setting, table
from relaymd import logs, process

BENCHMARKS = (
    "heartbeats",
    "control",
    "start",
    "queue",
    "restart",
    "broker",
    "deaths",
    "drain",
    "churn",
    "idle",
    "noop",
    "scale",
    "cli",
    "overhead",
)
"""Modules `bench_NAME` with a `measure`, in the order in which they run."""

AT_LENGTH = frozenset(("drain", "churn"))
"""Not in a quick run but by name: they want a minute, or an S3 server."""


def main() -> int:
    given = _arguments().parse_args()
    logs.set_up("benchmark", level="critical", environ={})
    rows: list[Row] = []
    failed: dict[str, str] = {}
    for name in chosen(given.names, quick=given.quick):
        begin = time.monotonic()
        try:
            found = _measured(name, quick=given.quick, folder=given.folder)
        except Exception as exc:  # noqa: BLE001 - one that fails must not take the others along
            failed[name] = f"{type(exc).__name__}: {exc}"
            traceback.print_exc()
            continue
        rows += found
        print(f"\n{name}, {time.monotonic() - begin:.0f} s\n{table(found)}", flush=True)
    run = Run(
        at=time.time(),
        host=socket.gethostname(),
        cores=os.cpu_count() or 1,
        quick=given.quick,
        rows=rows,
        failed=failed,
    )
    _write(run, given.json)
    if given.keep:
        baseline.write(run, given.baseline)
    worse = baseline.compare(run, given.baseline) if given.check else []
    for name, reason in failed.items():
        print(f"FAILED: {name}: {reason}", file=sys.stderr)
    for line in worse:
        print(f"WORSE: {line}", file=sys.stderr)
    return 1 if failed or worse else 0


def chosen(names: Sequence[str], *, quick: bool) -> Sequence[str]:
    """Those to run. names: as they were given; none: all, in a quick run all but the long ones."""
    return names or [name for name in BENCHMARKS if not (quick and name in AT_LENGTH)]


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="fewer of everything")
    parser.add_argument("--check", action="store_true", help="compare with the baseline")
    parser.add_argument("--keep", action="store_true", help="take the ratios for the baseline")
    parser.add_argument("--baseline", type=Path, default=baseline.FILE)
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    return parser


def _measured(name: str, *, quick: bool, folder: Path | None) -> Sequence[Row]:
    measure: Measure = import_module(f"benchmarks.bench_{name}").measure
    with tempfile.TemporaryDirectory(prefix="relaymd-bench-", dir=folder) as scratch:
        return process.run(_begin(measure, Setting(scratch=Path(scratch), quick=quick)))


async def _begin(measure: Measure, setting: Setting) -> Sequence[Row]:
    async with within(QUICK if setting.quick else FULL):
        return await measure(setting)


def _write(run: Run, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")
    print(f"\n{path}")


if __name__ == "__main__":
    sys.exit(main())
