"""Bundles for system tests: the fake engine with the manners a test asks for."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LONG = 2400
"""Steps for two minutes, or for as long as a test needs; see `LongRun`."""

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


class LongRun:
    """A simulation that lasts while a test hurts it, and that is soon over once it is let go.

    bundle: the folder to submit; its ledger is to have LONG steps.
    """

    def __init__(self, folder: Path, *options: str, **keys: Any) -> None:
        """Writes `folder`, and `folder`.hurry beside it when it is let go."""
        self._hurry = folder.with_name(f"{folder.name}.hurry")
        self.bundle = fake_bundle(folder, "--hurry", str(self._hurry), *options, steps=LONG, **keys)

    def let_go(self) -> None:
        self._hurry.touch()
