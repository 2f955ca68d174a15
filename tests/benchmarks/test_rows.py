"""What a benchmark says, and what is made of it."""

from benchmarks.rows import Row, at_least, at_most, p99, table


def row(figure: float, beside: float | None = None) -> Row:
    return Row(
        what="answers",
        figure=figure,
        unit="/s",
        aim=at_least(100),
        beside=beside,
        beside_what="an echo",
        ratio_aim=at_least(0.5),
        more_is_better=True,
    )


def test_an_aim_that_holds_and_one_that_is_missed_are_told_apart() -> None:
    assert row(100, beside=400).verdict() == "figure holds, ratio missed 2.00x"


def test_without_something_beside_it_only_the_figure_is_judged() -> None:
    assert row(50).verdict() == "figure missed 2.00x"
    assert row(50).missed()
    assert not row(200).missed()


def test_less_may_be_better() -> None:
    assert at_most(5).told(4) == "holds"
    assert at_most(5).told(10) == "missed 2.00x"


def test_nothing_at_all_is_missed_and_not_divided_by() -> None:
    assert at_least(5).told(0) == "missed"


def test_the_table_has_a_line_a_figure() -> None:
    lines = table([row(1234, beside=2468), row(50)]).splitlines()
    assert len(lines) == 3
    assert "1,234 /s" in lines[1]
    assert "0.50" in lines[1]


def test_p99_of_a_hundred_is_the_last() -> None:
    assert p99([float(number) for number in range(100)]) == 99
