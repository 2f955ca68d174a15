"""The demo's table, plot and verdict, from a story whose figures are known."""

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from examples.demo import plot, report
from examples.demo.report import Leg
from examples.demo.scenario import Blow, Story, furthest_step
from examples.demo.screen import Screen
from examples.demo.verify import Check, Handover, Row
from relaymd.bus.operating import JobDetails, JobView
from relaymd.core.checkpoint import Progress
from relaymd.core.ids import Epoch, UnixTime, WorkerId
from relaymd.core.job import JobState
from relaymd.core.segments import Segment
from tests.core.jobs import job_in


def at(step: int) -> Progress:
    return Progress(step=step, total_steps=12000)


SEGMENTS = (
    Segment(
        epoch=Epoch(1),
        worker=WorkerId("w-one"),
        cluster="local",
        assigned_at=UnixTime(100.0),
        launched_at=UnixTime(101.0),
        last_checkpoint_at=UnixTime(109.0),
        ended_at=UnixTime(114.0),
        end=at(2500),
        how="interrupted",
    ),
    Segment(
        epoch=Epoch(2),
        worker=WorkerId("w-two"),
        cluster="local",
        assigned_at=UnixTime(115.0),
        launched_at=UnixTime(116.0),
        last_checkpoint_at=UnixTime(125.5),
        ended_at=UnixTime(126.0),
        begin=at(2500),
        end=at(6650),
        how="handed over",
    ),
    Segment(
        epoch=Epoch(3),
        worker=WorkerId("w-three"),
        cluster="local",
        assigned_at=UnixTime(126.5),
        launched_at=UnixTime(127.0),
        ended_at=UnixTime(140.0),
        begin=at(6650),
        end=at(12000),
        how="completed",
    ),
)
BLOWS = (
    Blow(
        signal="SIGKILL",
        worker=WorkerId("w-one"),
        epoch=Epoch(1),
        at=UnixTime(110.0),
        furthest=2700,
    ),
    Blow(
        signal="SIGTERM",
        worker=WorkerId("w-two"),
        epoch=Epoch(2),
        at=UnixTime(125.0),
        furthest=6640,
    ),
)


def story(*segments: Segment, state: JobState = JobState.COMPLETED) -> Story:
    view = JobView(job=job_in(state))
    return Story(details=JobDetails(view=view, segments=segments or SEGMENTS), blows=BLOWS)


def failing(told: Story) -> list[str]:
    return [check.says for check in report.checks(told) if not check.holds]


def test_the_table_says_who_did_which_steps_and_what_was_lost() -> None:
    assert report.legs(story()) == [
        Leg(
            number=1,
            worker="w-one",
            begin=0,
            end=2500,
            ended="killed (SIGKILL)",
            idle=None,
            lost_steps=200,
            lost_seconds=0.64,
        ),
        Leg(
            number=2,
            worker="w-two",
            begin=2500,
            end=6650,
            ended="drained (SIGTERM)",
            idle=6.0,
            lost_steps=0,
            lost_seconds=0.0,
        ),
        Leg(
            number=3,
            worker="w-three",
            begin=6650,
            end=12000,
            ended="completed",
            idle=2.0,
            lost_steps=0,
            lost_seconds=0.0,
        ),
    ]


def test_a_story_as_it_should_be_has_nothing_against_it() -> None:
    assert failing(story()) == []


def test_a_job_that_did_not_complete_is_noticed() -> None:
    assert "completed" in failing(story(state=JobState.FAILED))[0]


def test_a_segment_that_begins_elsewhere_is_noticed() -> None:
    moved = msgspec.structs.replace(SEGMENTS[2], begin=at(6000))

    assert failing(story(*SEGMENTS[:2], moved)) == [
        "each segment begins where the one before ended"
    ]


def test_a_drain_that_lost_its_worker_is_noticed() -> None:
    lost = msgspec.structs.replace(SEGMENTS[1], how="interrupted")

    assert "drain" in failing(story(SEGMENTS[0], lost, SEGMENTS[2]))[0]


def test_fewer_workers_than_the_story_tells_of_are_noticed() -> None:
    same = msgspec.structs.replace(SEGMENTS[2], worker=WorkerId("w-two"))

    assert any("segments on 2 workers" in says for says in failing(story(*SEGMENTS[:2], same)))


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    rows = [
        Row(step=step, time=step * 0.002, potential=-1e4, kinetic=1e3, temperature=300.0)
        for step in range(50, 12001, 50)
    ]
    path = plot.draw(rows, report.spans(report.legs(story())), tmp_path / "relay.png")

    assert path.read_bytes().startswith(b"\x89PNG")


def test_away_from_a_terminal_everything_is_said_in_plain_lines() -> None:
    screen = Screen(Console(file=io.StringIO(), width=160))
    with screen:
        screen.shout("SIGKILL", BLOWS[0])
        screen.table(report.legs(story()))
        screen.verdict([Check(says="it [holds]", holds=True), Check(says="not", holds=False)])
    said = screen.console.file
    assert isinstance(said, io.StringIO)
    text = said.getvalue()

    assert "SIGKILL to worker w-one at about step 2700" in text
    assert "200 steps, 0.6 s" in text
    assert "✓ it [holds]" in text
    assert "✗ not" in text
    assert "\x1b" not in text


def test_an_engine_that_took_over_elsewhere_than_the_ledger_says_is_noticed() -> None:
    rows = report.legs(story())
    found = [Handover(step=step, saved=-1.0, restored=-1.0) for step in (2500, 6650)]

    assert report.check_begins(rows, found).holds
    assert not report.check_begins(rows, found[:1]).holds
    assert not report.check_begins(rows, [found[1], found[0]]).holds


@pytest.mark.parametrize(
    ("written", "step"), [("#head\n50,x\n100,y\n150,", 100), ("", 0), ("#head\n", 0)]
)
def test_how_far_an_engine_came_is_read_from_its_last_whole_row(
    tmp_path: Path, written: str, step: int
) -> None:
    folder = tmp_path / "workers" / "w" / "jobs"
    folder.mkdir(parents=True)
    (folder / "energies.csv").write_text(written)

    assert furthest_step(tmp_path) == step
