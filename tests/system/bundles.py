"""Bundles for system tests: the fake engine with the manners a test asks for."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ENGINE = Path(__file__).parent.parent / "engines" / "fake_engine.py"


def fake_bundle(
    folder: Path,
    *options: str,
    steps: int = 60,
    pace: float = 0.05,
    before: Sequence[str] = (),
    **keys: Any,
) -> Path:
    """A folder to submit: the fake engine, its ledger and state as the checkpoint.

    options: of the engine. before: words in front of its command. keys: further keys of the
    specification.
    """
    folder.mkdir(parents=True)
    shutil.copy(ENGINE, folder / "fake_engine.py")
    command = [sys.executable, "fake_engine.py", "--steps", str(steps), "--pace", str(pace)]
    specification = {
        "command": [*before, *command, *options],
        "checkpoint_watch_paths": ["state.json", "ledger.txt"],
        "progress_file_path": "progress",
        "outputs": ["ledger.txt"],
        **keys,
    }
    (folder / "relaymd-worker.json").write_text(json.dumps(specification))
    return folder
