"""NVIDIA's driver as a test has it: a library of the real name, built here, and its devices."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("fake_nvml.c")
NAME = "libnvidia-ml.so.1"

FIRST = "GPU-00000000-1111-2222-3333-444444444444"
SECOND = "GPU-00000001-1111-2222-3333-444444444444"
INSTANCES = (
    "MIG-00000000-0000-2222-3333-444444444444",
    "MIG-00000000-0002-2222-3333-444444444444",
)
"""Of the first card, where it is divided."""


class Driver:
    """The driver, for processes that are started with its environment."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler builds the driver's library here")
        self._state = folder / "devices"
        self.has("gpus=0")
        library = folder / NAME
        soname = f"-Wl,-soname,{NAME}"
        words = (compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", soname)
        subprocess.run([*words, "-o", library, SOURCE], check=True)
        self.environment: Mapping[str, str] = {
            "LD_LIBRARY_PATH": str(folder),
            "FAKE_NVML": str(self._state),
        }

    def has(self, devices: str) -> None:
        """What it shows from now on, in the words of fake_nvml.c."""
        draft = self._state.with_suffix(".new")
        draft.write_text(devices)
        draft.replace(self._state)
