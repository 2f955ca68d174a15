"""What a command imports before it does anything: it is most of what a person waits for.

A figure in seconds would tell how busy the machine is; what is imported does not change with that.
"""

import os
import subprocess
import sys

import pytest

HEAVY = {
    *("aioboto3", "aiohttp", "aiosqlite", "asyncssh", "jinja2", "nats", "rich", "structlog"),
    *("uvloop", "zstandard"),
}
"""Each takes as long as a Python that does nothing, and most far longer."""

AT_EXIT = "import atexit, sys; atexit.register(lambda: print('imported', *sys.modules))\n"
RUN = "from relaymd.cli.main import run; run()"


def ran(script: str, *words: str, **variables: str) -> tuple[str, set[str]]:
    """What a Python prints, and the heavy modules that it has at the end."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("RELAYMD_")}
    out = subprocess.check_output(
        [sys.executable, "-c", AT_EXIT + script, *words], env={**known, **variables}, text=True
    )
    said, _, modules = out.rpartition("imported ")
    return said, HEAVY & {*modules.split()}


@pytest.mark.parametrize("words", [["--help"], ["jobs", "--help"], ["submit", "--help"]])
def test_help_waits_for_no_library_that_it_does_not_use(words: list[str]) -> None:
    said, imported = ran(RUN, *words)
    assert "Usage: relaymd" in said
    assert imported == set()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("relaymd j", ["jobs"]),
        ("relaymd jobs l", ["list", "logs"]),
        ("relaymd jobs list --j", ["--json"]),
    ],
)
def test_completion_waits_for_no_library_either(line: str, offered: list[str]) -> None:
    variables = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    said, imported = ran(RUN, _RELAYMD_COMPLETE="bash_complete", **variables)
    assert [one.partition(",")[2] for one in said.split()] == offered
    assert imported == set()


@pytest.mark.parametrize("name", ["jobs", "workers", "clusters", "events", "status", "submit"])
def test_a_command_is_imported_without_what_it_speaks_with(name: str) -> None:
    assert ran(f"import relaymd.cli.{name}") == ("", set())


def test_to_ask_the_stack_takes_neither_a_web_client_nor_tracebacks_in_colour() -> None:
    script = (
        "import relaymd.cli.session\n"
        "relaymd.cli.session.hush()\n"
        "import relaymd.bus.client, relaymd.bus.journal"
    )
    assert ran(script) == ("", {"nats", "structlog"})
