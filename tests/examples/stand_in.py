"""A command that answers as `relaymd` does while a job is relayed; its workers are real processes.

Its `events` start a worker, let it commit, wait until somebody ends it, and tell how.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from relaymd.bus.facts import JobChanged
from relaymd.bus.operating import JobDetails, JobView, WorkerList, WorkerView
from relaymd.core import events as e
from relaymd.core import job as j
from relaymd.core.checkpoint import Checkpoint, Progress
from relaymd.core.events import JobEvent
from relaymd.core.ids import Epoch, Generation, InstanceId, JobId, UnixTime, WorkerId
from relaymd.core.job import JobState
from relaymd.core.lease import Lease
from relaymd.core.outcome import AttemptEnd, Outcome
from relaymd.core.worker import Worker

STATE = Path(os.environ["RELAYMD_STATE_DIR"])
JOB = JobId("j-demo")
NEVER = os.environ.get("STAND_IN_NEVER_FINISHES") == "1"


def view() -> JobView:
    bundle = j.Bundle(key="k", digest="d", size=1)
    zero = UnixTime(0.0)
    return JobView(job=j.Job(id=JOB, title="t", bundle=bundle, submitted_at=zero, queued_at=zero))


def worker(number: int, pid: int) -> Worker:
    return Worker(
        id=WorkerId(f"w-{number}"),
        instance=InstanceId("i"),
        pid=pid,
        registered_at=UnixTime(0.0),
    )


def committed(epoch: int, fraction: float) -> e.Checkpointed:
    made = Checkpoint(
        generation=Generation(1),
        epoch=Epoch(epoch),
        manifest="m",
        digest="d",
        at=UnixTime(0.0),
        progress=Progress(fraction=fraction, step=int(fraction * 1000), total_steps=1000),
    )
    return e.Checkpointed(epoch=Epoch(epoch), checkpoint=made)


def life(epoch: int, fractions: list[float]) -> Iterator[tuple[JobEvent, JobState]]:
    """One worker, from its assignment to the end that somebody else makes."""
    with subprocess.Popen(["sleep", "60"]) as process:
        (STATE / "worker.json").write_bytes(msgspec.json.encode(worker(epoch, process.pid)))
        lease = Lease(epoch=Epoch(epoch), worker=WorkerId(f"w-{epoch}"), granted_at=UnixTime(0.0))
        yield e.Assigned(lease=lease), JobState.ASSIGNED
        for fraction in fractions:
            yield committed(epoch, fraction), JobState.RUNNING
        how = process.wait()
    if how == -signal.SIGKILL:
        end = AttemptEnd(outcome=Outcome.INTERRUPTED, reason="killed")
        yield e.Interrupted(epoch=Epoch(epoch), end=end), JobState.QUEUED
    else:
        yield e.HandedOff(epoch=Epoch(epoch), reason="drained"), JobState.QUEUED


def relay() -> Iterator[tuple[JobEvent, JobState]]:
    yield from life(1, [0.1, 0.25])
    # What is committed at once by the next is enough for its own end, and too early for no one.
    yield from life(2, [0.3, 0.6])
    yield committed(3, 1.0), JobState.RUNNING
    if not NEVER:
        yield e.Completed(epoch=Epoch(3)), JobState.COMPLETED


def events() -> None:
    for seq, (event, state) in enumerate(relay(), start=1):
        kind = str(type(event).__struct_config__.tag)
        fact = JobChanged(seq=seq, at=UnixTime(0.0), job=JOB, kind=kind, state=state, event=event)
        say(fact)


def say(document: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(document) + b"\n")
    sys.stdout.flush()


def main() -> int:
    match sys.argv[1:]:
        case ["up", *_]:
            signal.pause()
        case ["submit", folder, *_] if not Path(folder).is_dir():
            sys.stderr.write(f"relaymd: {folder} is no folder\n")
            return 2
        case ["submit", *_]:
            say(view())
        case ["events", *_]:
            events()
        case ["workers", *_]:
            found = msgspec.json.decode((STATE / "worker.json").read_bytes(), type=Worker)
            say(WorkerList(workers=(WorkerView(worker=found),)))
        case ["jobs", "show", *_]:
            say(JobDetails(view=view()))
        case _:
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
