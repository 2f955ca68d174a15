"""A library that is imported without another."""

import subprocess
import sys

import pytest

WITHOUT = """
import sys
from relaymd.imports import not_found
with not_found("colorsys"):
    try:
        import colorsys
    except ImportError:
        print("not found")
import colorsys
print(colorsys.rgb_to_hls(0, 0, 0))
"""

THERE = """
import colorsys, sys
from relaymd.imports import not_found
with not_found("colorsys"):
    import colorsys as again
print(again is colorsys is sys.modules["colorsys"])
"""


@pytest.mark.parametrize(
    ("script", "said"),
    [(WITHOUT, ["not found", "(0.0, 0.0, 0.0)"]), (THERE, ["True"])],
    ids=["which is found again afterwards", "which stays if it is there"],
)
def test_a_module_is_not_found_for_a_while(script: str, said: list[str]) -> None:
    out = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert out.splitlines() == said
