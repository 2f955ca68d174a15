"""Promises about the folders that no other test would notice being broken."""

import ast
from pathlib import Path

import nats

from relaymd.bus.server import find_configuration

ROOT = Path(__file__).parent.parent
SOURCES = [*(ROOT / "relaymd").rglob("*.py")]


def test_the_server_configuration_does_not_shadow_the_client_library() -> None:
    assert not [*(ROOT / "nats").rglob("*.py")]
    assert hasattr(nats, "connect")


def test_the_server_configuration_is_found_in_a_checkout() -> None:
    assert find_configuration() == ROOT / "nats"


def test_only_one_module_imports_nats() -> None:
    importers = {path.name for path in SOURCES if "nats" in _imports(path)}
    assert importers == {"nats_py.py"}


def test_no_subject_is_spelled_outside_the_contract() -> None:
    contract = ROOT / "relaymd" / "bus" / "contract.py"
    spelled = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in SOURCES
        if path != contract
        for text in _strings(path)
        if text.startswith("relaymd.") and text.split(".")[1] in PREFIXES
    ]
    assert spelled == []


PREFIXES = {"worker", "control", "operator", "event", "output"}


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def _strings(path: Path) -> list[str]:
    """String constants that are neither sentences nor names of modules."""
    return [
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and "." in node.value
        and " " not in node.value
        and not _is_module(node.value)
    ]


def _is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()
