"""A ratio that became worse is found, whichever way is worse."""

from pathlib import Path

import pytest

from benchmarks import baseline
from benchmarks.rows import Row, Run


def run(ratio: float, *, more_is_better: bool) -> Run:
    row = Row(
        what="w",
        figure=ratio,
        unit="x",
        beside=1.0,
        beside_what="b",
        more_is_better=more_is_better,
    )
    return Run(at=0, host="h", cores=1, quick=True, rows=[row])


@pytest.mark.parametrize(
    ("more_is_better", "ratio", "worse"),
    [
        (True, 0.80, False),
        (True, 0.70, True),
        (True, 9.0, False),
        (False, 1.25, False),
        (False, 1.40, True),
        (False, 0.1, False),
        (True, 0.0, True),
    ],
)
def test_thirty_per_cent_worse_is_too_much(
    tmp_path: Path, more_is_better: bool, ratio: float, worse: bool
) -> None:
    file = tmp_path / "baseline.json"
    baseline.write(run(1.0, more_is_better=more_is_better), file)
    found = baseline.compare(run(ratio, more_is_better=more_is_better), file)
    assert bool(found) is worse


def test_a_figure_that_has_no_baseline_yet_is_not_worse(tmp_path: Path) -> None:
    (tmp_path / "baseline.json").write_text("{}")
    assert baseline.compare(run(1.0, more_is_better=True), tmp_path / "baseline.json") == []


def test_what_a_run_did_not_measure_stays_in_the_baseline(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    baseline.write(run(2.0, more_is_better=True), file)
    baseline.write(Run(at=0, host="h", cores=1, quick=True, rows=[]), file)
    assert baseline.read(file)["w"].ratio == 2.0


def test_the_stored_baseline_can_be_read() -> None:
    assert baseline.read(baseline.FILE)
