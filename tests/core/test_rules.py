"""What a specification's values must satisfy: each rule, its edge, and its sentence."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaymd.core import rules
from relaymd.core.resources import Requirements
from relaymd.core.strict import InvalidDocumentError


@pytest.mark.parametrize("command", ["true", "a b", ("python", "run.py"), ("x", "", " ")])
def test_a_command_that_names_a_program_passes(command: str | tuple[str, ...]) -> None:
    rules.check_command("command", command)


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("", "it is empty"),
        ("  ", "it is empty"),
        ((), "it is empty"),
        (("", " "), "it is empty"),
        (("", "x"), "its first word names no program"),
        ("a\0b", "contains a NUL"),
        (("a", "b\0"), "contains a NUL"),
    ],
)
def test_a_command_that_cannot_be_run_is_refused(
    command: str | tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(InvalidDocumentError, match=complaint) as caught:
        rules.check_command("command", command)

    assert caught.value.key == "command"


@pytest.mark.parametrize("pattern", ["a", "a/b", "*.chk", "**/x", "./a", "a..b", "..."])
def test_what_lies_below_the_folder_passes(pattern: str) -> None:
    rules.check_inside("outputs", pattern)


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("", "an empty path names no file"),
        (" ", "an empty path names no file"),
        (".", "an empty path names no file"),
        ("/etc/passwd", "must be relative to the bundle"),
        ("~/x", "must be relative to the bundle"),
        ("..", "leaves the bundle's folder"),
        ("a/../../b", "leaves the bundle's folder"),
        ("a/..", "leaves the bundle's folder"),
        ("a\0", "contains a NUL"),
    ],
)
def test_what_leaves_the_folder_is_refused(pattern: str, complaint: str) -> None:
    with pytest.raises(InvalidDocumentError, match=complaint) as caught:
        rules.check_inside("outputs", pattern)

    assert caught.value.key == "outputs"


@given(st.lists(st.sampled_from(["a", "..", ".", "", "*", "b c", "~"]), max_size=6).map("/".join))
def test_nothing_that_passes_leaves_the_folder(pattern: str) -> None:
    try:
        rules.check_inside("outputs", pattern)
    except InvalidDocumentError:
        return
    assert not pattern.startswith(("/", "~"))
    assert ".." not in pattern.split("/")
    assert pattern.strip("./ ")


@pytest.mark.parametrize("seconds", [None, 1e-9, 1, 1e300])
def test_a_time_that_comes_passes(seconds: float | None) -> None:
    rules.check_seconds("max_runtime_seconds", seconds)


@pytest.mark.parametrize("seconds", [0, -1, -math.inf, math.inf, math.nan])
def test_a_time_that_never_comes_is_refused(seconds: float) -> None:
    with pytest.raises(InvalidDocumentError, match="max_runtime_seconds: it must be more than 0"):
        rules.check_seconds("max_runtime_seconds", seconds)


@pytest.mark.parametrize("variables", [{"": "x"}, {"A=B": "x"}, {"A\0": "x"}, {"A": "x\0"}])
def test_an_environment_the_system_would_refuse_is_refused(variables: dict[str, str]) -> None:
    with pytest.raises(InvalidDocumentError, match="environment"):
        rules.check_environment(variables)


def test_an_environment_passes() -> None:
    rules.check_environment({"OMP_NUM_THREADS": "2", "EMPTY": ""})


@pytest.mark.parametrize("patterns", [("",), ("error", " ")])
def test_a_fatal_pattern_that_every_line_has_is_refused(patterns: tuple[str, ...]) -> None:
    with pytest.raises(InvalidDocumentError, match="found in every line"):
        rules.check_fatal_patterns(patterns)


@pytest.mark.parametrize(
    "need",
    [
        Requirements(gpus=-1),
        Requirements(vram_gb=-0.5),
        Requirements(vram_gb=math.inf),
        Requirements(vram_gb=math.nan),
    ],
)
def test_resources_that_nobody_has_are_refused(need: Requirements) -> None:
    with pytest.raises(InvalidDocumentError, match=r"resources\.(gpus|vram_gb)"):
        rules.check_resources(need)


def test_resources_that_somebody_has_pass() -> None:
    rules.check_resources(Requirements(gpus=8, vram_gb=80.0))
