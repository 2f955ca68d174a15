"""Logs: one readable line an event, from our modules and from libraries, without secrets."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from relaymd import logs

CANARY = "canary-b7c1"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_production_writes_one_json_object_a_line() -> None:
    out = io.StringIO()
    logs.set_up("bridge", environ={}, stream=out)
    structlog.get_logger().info("worker.lost", worker="w-1")
    [line] = written(out)
    assert line["event"] == "worker.lost"
    assert line["worker"] == "w-1"
    assert line["level"] == "info"
    assert line["process"] == "bridge"
    assert line["timestamp"].endswith("Z")


def test_development_writes_for_people() -> None:
    out = io.StringIO()
    logs.set_up("bridge", environ={"RELAYMD_ENV": "development"}, stream=out)
    structlog.get_logger().info("worker.lost", worker="w-1")
    assert "worker.lost" in out.getvalue()
    assert "worker=w-1" in out.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(out.getvalue())


def test_what_libraries_log_takes_the_same_way() -> None:
    out = io.StringIO()
    logs.set_up("bridge", environ={}, stream=out)
    logging.getLogger("some.library").warning("lost %s of %d", "two", 3)
    [line] = written(out)
    assert line["event"] == "lost two of 3"
    assert line["level"] == "warning"


def test_the_level_counts_for_both() -> None:
    out = io.StringIO()
    logs.set_up("bridge", environ={}, level="warning", stream=out)
    structlog.get_logger().info("quiet")
    logging.getLogger("some.library").info("quiet")
    structlog.get_logger().error("loud")
    assert [line["event"] for line in written(out)] == ["loud"]


@pytest.mark.parametrize("environ", [{}, {"RELAYMD_ENV": "development"}])
def test_no_secret_is_written_whatever_way_it_takes(environ: dict[str, str]) -> None:
    out = io.StringIO()
    logs.set_up("bridge", environ=environ, secrets=[CANARY, None, ""], stream=out)
    log = structlog.get_logger()
    log.info("nats.connected", url=f"nats://worker:{CANARY}@host", nats_password="other")
    log.info(f"text {CANARY}", nested={"deep": [CANARY]})
    logging.getLogger("some.library").warning("header %s", CANARY)
    try:
        token = CANARY
        raise ValueError(token)
    except ValueError:
        log.exception("failed")
    assert out.getvalue().count("failed") == 1
    assert CANARY not in out.getvalue()
    assert "other" not in out.getvalue()


def test_a_traceback_shows_no_values_of_variables() -> None:
    out = io.StringIO()
    logs.set_up("bridge", environ={}, stream=out)
    try:
        hidden = "value-of-a-variable"
        _ = 1 / len(hidden[:0])
    except ZeroDivisionError:
        structlog.get_logger().exception("failed")
    assert "ZeroDivisionError" in out.getvalue()
    assert "value-of-a-variable" not in out.getvalue().replace('hidden = "value-of-a-variable"', "")


def test_logs_go_to_a_file_where_stderr_is_for_a_person(tmp_path: Any) -> None:
    file = tmp_path / "up.log"
    with logs.into(file, "up", level="info", environ={}):
        structlog.get_logger().info("stack.up")
    structlog.get_logger().info("after the end")
    assert [json.loads(line)["event"] for line in file.read_text().splitlines()] == ["stack.up"]
