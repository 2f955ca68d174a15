"""The lessons of the field: the tests that are said to prove them exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROOF = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
ROWS = [
    line
    for line in (ROOT / "docs" / "lessons.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| what happened")
]


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def test_no_lesson_was_lost() -> None:
    assert len(ROWS) == 14 + 10 + 6 + 9 + 3


@pytest.mark.parametrize("row", ROWS)
def test_every_lesson_names_tests_that_exist(row: str) -> None:
    proofs = PROOF.findall(row)
    assert proofs
    for file, name in proofs:
        assert name in names_in(file), f"{file} has no {name}"
