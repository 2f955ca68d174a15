"""What is submitted: the folder's specification with the command line's words above it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from relaymd.cli.failures import USAGE, CommandError
from relaymd.core.specification import FILE_NAMES, Specification, decode, parse


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What was said on the command line; None and nothing: not said."""

    command: str | None = None
    checkpoint: tuple[str, ...] = ()
    interval: float | None = None
    marker: str | None = None
    progress_file: str | None = None
    preserve: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    max_runtime: float | None = None
    gpus: int | None = None
    vram_gb: float | None = None
    gpu_model: tuple[str, ...] = ()
    platform: tuple[str, ...] = ()
    cluster: tuple[str, ...] = ()
    image: str | None = None
    priority: int | None = None

    def above(self) -> dict[str, Any]:
        """As keys of the specification, only those that were said."""
        resources = {
            "gpus": self.gpus,
            "vram_gb": self.vram_gb,
            "gpu_models": self.gpu_model,
            "platforms": self.platform,
            "clusters": self.cluster,
            "worker_image": self.image,
            "priority": self.priority,
        }
        said = {
            "command": self.command,
            "checkpoint_watch_paths": self.checkpoint,
            "checkpoint_poll_interval_seconds": self.interval,
            "checkpoint_marker": self.marker,
            "progress_file_path": self.progress_file,
            "resume_preserved_output_paths": self.preserve,
            "outputs": self.output,
            "max_runtime_seconds": self.max_runtime,
            "environment": dict(_pair(text) for text in self.env),
            "resources": _said(resources),
        }
        return _said(said)


def check_folder(folder: Path) -> None:
    """Raises CommandError for a folder that nothing can be made of."""
    if not folder.exists():
        raise CommandError(f"{folder} does not exist", USAGE)
    if not folder.is_dir():
        raise CommandError(f"{folder} is not a folder", USAGE)
    if not any(folder.iterdir()):
        raise CommandError(f"{folder} is empty", USAGE)


def specification(folder: Path, words: Words) -> Specification:
    """Raises CommandError or InvalidDocumentError."""
    above = words.above()
    found = [name for name in FILE_NAMES if (folder / name).is_file()]
    if len(found) > 1:
        raise CommandError(f"{folder} has several specifications: {', '.join(found)}", USAGE)
    if found:
        return decode(found[0], (folder / found[0]).read_bytes(), above)
    if "command" not in above:
        raise CommandError(
            f"{folder} has no specification: write {FILE_NAMES[0]}, or say --command", USAGE
        )
    return parse({}, above)


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was not said; an empty text was, and is refused with the rest."""
    return {key: value for key, value in values.items() if value not in (None, (), {})}


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise CommandError(f"--env {text}: it must be NAME=VALUE", USAGE)
    return name, value
