"""The bundle's specification: what submit accepts, and the sentence for what it does not."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaymd.core.resources import Requirements
from relaymd.core.specification import (
    FILE_NAMES,
    Resources,
    Specification,
    decode,
    encode,
    parse,
)
from relaymd.core.strict import InvalidDocumentError


def refusal(raw: object) -> str:
    with pytest.raises(InvalidDocumentError) as caught:
        parse(raw)
    return str(caught.value)


# -- what is right ------------------------------------------------------------------------------


def test_a_command_is_all_that_must_be_there() -> None:
    assert parse({"command": "python run.py"}) == Specification(command="python run.py")


def test_a_string_is_run_by_the_shell_and_a_list_as_it_stands() -> None:
    assert parse({"command": "a | b"}).argv() == ("/bin/sh", "-c", "a | b")
    assert parse({"command": ["a", "b c"]}).argv() == ("a", "b c")
    assert parse({"command": ["a", "b c"]}).command_line() == "a 'b c'"


EXISTING = {
    "command": "python rbfe_production.py cntl.yaml",
    "checkpoint_glob_pattern": "r*/*_ckpt.xml",
    "checkpoint_poll_interval_seconds": 120,
    "checkpoint_marker": "ckpt_is_valid",
    "progress_file_path": "progress",
    "progress_glob_pattern": ["r*/*.out"],
    "startup_progress_timeout_seconds": 1800,
    "progress_timeout_seconds": 3600,
    "max_runtime_seconds": 86400,
    "progress_rollback_limit": 0.1,
    "fatal_log_path": "job.log",
    "fatal_log_patterns": ["NaN", "CUDA_ERROR"],
    "resume_preserved_output_paths": ["r*/*.xtc"],
    "failure_artifact_paths": ["*.log"],
    "outputs": ["r*/*.out"],
    "environment": {"OPENMM_DEFAULT_PLATFORM": "CUDA"},
    "preflight_command": "nvidia-smi",
    "preflight_timeout_seconds": 60,
    "resources": {"gpus": 1, "vram_gb": 10, "gpu_models": ["A100"], "priority": 3},
}


def test_what_is_given_from_above_counts_and_tables_are_merged() -> None:
    raw = {"command": "x", "environment": {"A": "1", "B": "1"}, "outputs": ["a"]}
    spec = parse(raw, {"outputs": ["b"], "environment": {"B": "2"}})

    assert spec.outputs == ("b",)
    assert spec.environment == {"A": "1", "B": "2"}


def test_existing_bundles_with_the_names_of_the_field_run_unchanged() -> None:
    spec = parse(EXISTING)

    assert spec.checkpoint_watch_paths == ("r*/*_ckpt.xml",)
    assert spec.watched == ("r*/*_ckpt.xml", "r*/*.xtc", "ckpt_is_valid")
    assert spec.resources.requirements() == Requirements(gpus=1, vram_gb=10.0, gpu_models=("A100",))
    assert spec.resources.priority == 3


def test_every_key_may_be_written_and_is_kept() -> None:
    document = {**EXISTING, "checkpoint_watch_paths": EXISTING["checkpoint_glob_pattern"]}
    del document["checkpoint_glob_pattern"]

    assert {*document} == {*Specification.__struct_fields__}
    written = json.loads(encode(parse(document)))
    assert {*written} == {*document}


def test_an_older_name_and_its_new_one_together_are_refused() -> None:
    message = refusal(
        {"command": "x", "checkpoint_glob_pattern": "a", "checkpoint_watch_paths": ["b"]}
    )

    assert message == ("'checkpoint_watch_paths' is given twice, once as 'checkpoint_watch_paths'")


@pytest.mark.parametrize("key", ["checkpoint_watch_paths", "outputs", "fatal_log_patterns"])
def test_one_value_alone_needs_no_list(key: str) -> None:
    assert getattr(parse({"command": "x", key: "one"}), key) == ("one",)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("relaymd-worker.json", '{"command": "x", "outputs": ["a"]}'),
        ("relaymd-worker.toml", 'command = "x"\noutputs = ["a"]\n'),
        ("relaymd-worker.yaml", "command: x\noutputs: [a]\n"),
    ],
)
def test_the_three_formats_say_the_same(name: str, text: str) -> None:
    assert name in FILE_NAMES
    assert decode(name, text.encode()) == Specification(command="x", outputs=("a",))


def test_what_was_encoded_is_read_back_the_same() -> None:
    spec = parse(EXISTING)

    assert decode("relaymd-worker.json", encode(spec)) == spec


def test_resources_know_every_requirement() -> None:
    assert {*Requirements.__struct_fields__} < {*Resources.__struct_fields__}


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", "   ", "\n", [], [""], ["", " "]])
def test_an_empty_command_is_refused(command: Any) -> None:
    assert refusal({"command": command}) == "command: it is empty"


def test_a_missing_command_is_refused() -> None:
    assert refusal({}) == "the key 'command' is missing"


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("comand", "command"),
        ("checkpoint_watch_path", "checkpoint_watch_paths"),
        ("output", "outputs"),
        ("enviroment", "environment"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_right_one(key: str, meant: str) -> None:
    assert refusal({"command": "x", key: "y"}) == f"unknown key '{key}'; did you mean '{meant}'?"


def test_an_unknown_key_within_resources_is_named_with_its_place() -> None:
    message = refusal({"command": "x", "resources": {"gpu": 1}})

    assert message == "unknown key 'resources.gpu'; did you mean 'gpus'?"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("outputs", 3),
        ("outputs", {"a": "b"}),
        ("environment", ["A=1"]),
        ("environment", {"A": 1}),
        ("max_runtime_seconds", "an hour"),
        ("checkpoint_marker", ["a"]),
        ("resources", {"gpus": "one"}),
        ("command", 7),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_its_key(key: str, value: Any) -> None:
    assert refusal({"command": "x", key: value}).startswith(f"{key}")


@pytest.mark.parametrize("key", ["checkpoint_watch_paths", "outputs", "progress_glob_pattern"])
@pytest.mark.parametrize("pattern", ["../x", "a/../../x", "/etc/passwd", "~/x", "a/.."])
def test_a_pattern_that_leaves_the_folder_is_refused(key: str, pattern: str) -> None:
    assert refusal({"command": "x", key: ["ok", pattern]}).startswith(f"{key}: '{pattern}'")


@pytest.mark.parametrize("key", ["checkpoint_marker", "progress_file_path", "fatal_log_path"])
@pytest.mark.parametrize("path", ["/abs", "../up", "", " ", "."])
def test_a_path_outside_of_the_folder_or_to_nothing_is_refused(key: str, path: str) -> None:
    assert refusal({"command": "x", key: path}).startswith(f"{key}: ")


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_times_are_more_than_zero_and_end(seconds: float) -> None:
    message = refusal({"command": "x", "max_runtime_seconds": seconds})

    assert message == "max_runtime_seconds: it must be more than 0 seconds"


@pytest.mark.parametrize("resources", [{"gpus": -1}, {"vram_gb": -0.5}, {"vram_gb": float("nan")}])
def test_less_than_no_gpu_is_refused(resources: dict[str, float]) -> None:
    assert refusal({"command": "x", "resources": resources}).startswith("resources.")


@pytest.mark.parametrize("pattern", ["a\0b", "\0"])
def test_a_path_with_a_nul_names_no_file(pattern: str) -> None:
    assert refusal({"command": "x", "outputs": [pattern]}).startswith("outputs: ")


@pytest.mark.parametrize("environment", [{"A=B": "x"}, {"": "x"}, {"A": "x\0y"}, {"A\0": "x"}])
def test_an_environment_no_process_can_have_is_refused(environment: dict[str, str]) -> None:
    assert refusal({"command": "x", "environment": environment}).startswith("environment: ")


@pytest.mark.parametrize("command", ["a\0b", ["a", "b\0"]])
def test_a_command_no_process_can_have_is_refused(command: Any) -> None:
    assert refusal({"command": command}).startswith("command: ")


def test_a_list_that_begins_with_nothing_names_no_program() -> None:
    assert refusal({"command": ["", "x"]}).startswith("command: ")


def test_a_fatal_pattern_that_matches_everything_is_refused() -> None:
    assert refusal({"command": "x", "fatal_log_patterns": [""]}).startswith("fatal_log_patterns: ")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("relaymd-worker.json", b"{"),
        ("relaymd-worker.toml", b"command = "),
        ("relaymd-worker.yaml", b"command: [x"),
        ("relaymd-worker.yaml", b"\xff\xfe\x00"),
        ("relaymd-worker.json", b"\xff"),
        ("relaymd-worker.toml", b"\xff"),
        ("relaymd-worker.yaml", b""),
        ("relaymd-worker.yaml", b"? [a, b]\n: c\n"),
        ("relaymd-worker.yaml", b"command: !!python/object:os.system x\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name: str, data: bytes) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        decode(name, data)

    assert str(caught.value).startswith(name)


@given(st.sampled_from(FILE_NAMES), st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_raise_anything_but_the_one_error(name: str, data: bytes) -> None:
    said = name
    try:
        decode(name, data)
    except InvalidDocumentError as error:
        said = str(error)
    assert said.startswith(name)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from([*Specification.__struct_fields__, "checkpoint_glob_pattern"]), ANYTHING
    )
)
def test_no_document_raises_anything_but_the_one_error(document: dict[str, Any]) -> None:
    try:
        spec = parse(document)
    except InvalidDocumentError:
        return
    assert spec.argv()
    assert msgspec.json.decode(encode(spec), type=Specification) == spec


def test_a_generation_holds_the_marker_too_without_which_nothing_restored_is_valid() -> None:
    raw = {"command": "x", "checkpoint_watch_paths": ["*.chk"], "checkpoint_marker": "valid"}
    assert parse(raw).watched == ("*.chk", "valid")
    assert parse({**raw, "checkpoint_watch_paths": ["valid", "*.chk"]}).watched == (
        "valid",
        "*.chk",
    )
    assert parse({"command": "x", "checkpoint_marker": "valid"}).watched == ()
