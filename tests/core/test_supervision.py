"""When an engine has to be stopped, and what its end means."""

import signal

import pytest

from relaymd.core.checkpoint import Progress
from relaymd.core.ids import Monotonic
from relaymd.core.outcome import Outcome
from relaymd.core.specification import parse
from relaymd.core.supervision import FatalSearch, Signs, classify, compiled, judge, look_every


def reason(
    spec: dict[str, object], now: float, progressed: float | None = None, fatal: str | None = None
) -> str | None:
    """Of an engine launched at 100."""
    signs = Signs(
        launched=Monotonic(100.0),
        progressed=None if progressed is None else Monotonic(progressed),
        fatal=fatal,
    )
    end = judge(parse({"command": "x", **spec}), signs, now=Monotonic(now))
    return None if end is None else end.reason


START = {"startup_progress_timeout_seconds": 60}
STALL = {"progress_timeout_seconds": 10}
BOTH = {**START, **STALL}
LIMIT = {"max_runtime_seconds": 50}


@pytest.mark.parametrize(
    ("spec", "now", "progressed", "expected"),
    [
        ({}, 1e9, None, None),
        (START, 160, None, None),
        (START, 161, None, "no progress within 60 s"),
        (START, 1e9, 101, None),
        (STALL, 110, None, None),
        (STALL, 111, None, "no progress within 10 s"),
        (STALL, 121, 111, None),
        (STALL, 122, 111, "no progress for 10 s"),
        (BOTH, 150, None, None),
        (BOTH, 161, None, "no progress within 60 s"),
        (BOTH, 150, 139, "no progress for 10 s"),
        (LIMIT, 150, 150, None),
        (LIMIT, 151, 151, "longer than 50 s"),
    ],
)
def test_each_limit_ends_the_attempt_with_its_own_reason(
    spec: dict[str, object], now: float, progressed: float | None, expected: str | None
) -> None:
    found = reason(spec, now, progressed)
    assert (found is None) if expected is None else (expected in (found or ""))


def test_a_fatal_line_is_the_evidence() -> None:
    signs = Signs(launched=Monotonic(0.0), fatal="Energy is NaN")
    end = judge(parse({"command": "x"}), signs, now=Monotonic(1.0))
    assert end is not None
    assert end.outcome is Outcome.ENGINE_FAILED
    assert end.evidence == "Energy is NaN"


GUARDED = {"progress_rollback_limit": 0.1}


@pytest.mark.parametrize(
    ("spec", "restored", "progress", "expected"),
    [
        ({}, Progress(step=100), Progress(step=0), None),
        (GUARDED, Progress(step=100), Progress(step=90), None),
        (GUARDED, Progress(step=100), Progress(step=89), "fell back to step 89 after step 100"),
        (GUARDED, Progress(step=100), None, None),
        (GUARDED, None, Progress(step=0), None),
        (GUARDED, Progress(fraction=0.5), Progress(fraction=0.1), "fell back to fraction 0.1"),
        (GUARDED, Progress(fraction=0.5), Progress(step=1), None),
        ({"progress_rollback_limit": 0}, Progress(step=9), Progress(step=8), "fell back to step 8"),
        ({"progress_rollback_limit": 0}, Progress(step=9), Progress(step=9), None),
    ],
)
def test_an_engine_that_begins_anew_over_its_checkpoint_is_stopped(
    spec: dict[str, object],
    restored: Progress | None,
    progress: Progress | None,
    expected: str | None,
) -> None:
    signs = Signs(launched=Monotonic(0.0), restored=restored, progress=progress)
    end = judge(parse({"command": "x", **spec}), signs, now=Monotonic(1.0))
    assert (end is None) if expected is None else (end and expected in end.reason)


@pytest.mark.parametrize(
    ("spec", "seconds"), [({}, 2.0), (STALL, 1.0), (START, 2.0), ({**STALL, **LIMIT}, 1.0)]
)
def test_the_shortest_limit_says_how_often_to_look(spec: dict[str, object], seconds: float) -> None:
    assert look_every(parse({"command": "x", **spec})) == seconds


def test_the_first_matching_line_is_found() -> None:
    search = FatalSearch(compiled(["NaN", r"^ERROR\b"]))
    assert search.feed("no ERROR here\nfine\n") is None
    assert search.feed("ERROR: bad\nNaN\n") == "ERROR: bad"
    assert search.feed("NaN\n") == "ERROR: bad"


def test_a_line_that_arrives_in_pieces_is_found() -> None:
    search = FatalSearch(compiled(["Energy is NaN"]))
    assert search.feed("first\nEnergy is") is None
    assert search.feed(" NaN\n") == "Energy is NaN"


def test_a_line_without_an_end_is_searched_as_well() -> None:
    assert FatalSearch(compiled(["NaN"])).feed("NaN") == "NaN"


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    search = FatalSearch(compiled(["needle"]))
    for _ in range(100):
        search.feed("x" * 10_000)
    assert search.feed("needle") is not None


@pytest.mark.parametrize("pattern", ["(unbalanced", "a{99999999999999}"])
def test_a_pattern_that_is_no_expression_is_meant_literally(pattern: str) -> None:
    search = FatalSearch(compiled([pattern]))
    assert search.feed(f"an {pattern} one") == f"an {pattern} one"


@pytest.mark.parametrize(
    ("code", "outcome", "words"),
    [
        (0, Outcome.COMPLETED, "finished"),
        (1, Outcome.ENGINE_FAILED, "code 1"),
        (127, Outcome.ENGINE_FAILED, "code 127"),
        (-signal.SIGSEGV, Outcome.ENGINE_FAILED, "SIGSEGV"),
        (128 + signal.SIGABRT, Outcome.ENGINE_FAILED, "SIGABRT"),
        (-signal.SIGTERM, Outcome.INTERRUPTED, "SIGTERM from outside"),
        (128 + signal.SIGTERM, Outcome.INTERRUPTED, "SIGTERM from outside"),
        (-signal.SIGKILL, Outcome.INTERRUPTED, "SIGKILL from outside"),
        (255, Outcome.ENGINE_FAILED, "code 255"),
    ],
)
def test_an_exit_is_classified_by_whose_doing_it_was(
    code: int, outcome: Outcome, words: str
) -> None:
    end = classify(code, "evidence")
    assert end.outcome is outcome
    assert words in end.reason
    assert end.exit_code == code


@pytest.mark.parametrize(
    ("evidence", "disk_full"),
    [("OSError: [Errno 28] No space left on device", False), ("", True)],
)
def test_an_engine_that_ran_out_of_disk_blames_its_node(evidence: str, disk_full: bool) -> None:
    assert classify(1, evidence, disk_full=disk_full).outcome is Outcome.NODE_UNFIT
    assert classify(0, evidence, disk_full=disk_full).outcome is Outcome.COMPLETED
    killed = classify(-signal.SIGKILL, evidence, disk_full=disk_full)
    assert killed.outcome is Outcome.INTERRUPTED
