"""The bundle's specification: `relaymd-worker.{json,toml,yaml}` in its root.

One schema, read by `relaymd submit` before anything is uploaded and by the worker before
anything runs, so that the two cannot disagree.
"""

import shlex
from collections.abc import Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, cast

import msgspec

from relaymd.core import rules
from relaymd.core.resources import Requirements
from relaymd.core.strict import InvalidDocumentError, plain, read, spelled

FILE_NAMES = ("relaymd-worker.json", "relaymd-worker.toml", "relaymd-worker.yaml")
"""Where a specification may stand in the bundle's root; exactly one of them must."""

ALIASES = {"checkpoint_glob_pattern": "checkpoint_watch_paths"}
"""Older names that bundles in the field use."""

_SEVERAL = (
    "checkpoint_watch_paths",
    "progress_glob_pattern",
    "fatal_log_patterns",
    "resume_preserved_output_paths",
    "failure_artifact_paths",
    "outputs",
)
"""Keys that hold several values, where one alone may be written without a list."""

_PATHS = (
    "checkpoint_watch_paths",
    "checkpoint_marker",
    "progress_file_path",
    "progress_glob_pattern",
    "fatal_log_path",
    "resume_preserved_output_paths",
    "failure_artifact_paths",
    "outputs",
)
"""Keys that name files: relative to the job's folder, and never outside of it."""


class Resources(Requirements, frozen=True, kw_only=True, omit_defaults=True):
    """Requirements as a bundle writes them, with what is no matter of matching beside them."""

    priority: int = 0
    disk_gb: float = 0.0
    """Free disk that the node must have when the engine starts, in GB of 1e9 bytes."""

    def requirements(self) -> Requirements:
        names = Requirements.__struct_fields__
        return Requirements(**{name: getattr(self, name) for name in names})


class Specification(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to run, which files are its checkpoint, and what it may take.

    Patterns are globs relative to the job's folder; `**` crosses folders. Times are seconds.
    """

    command: str | tuple[str, ...]
    """A string is run by `/bin/sh -c`, a list as it stands."""

    checkpoint_watch_paths: tuple[str, ...] = ()
    checkpoint_poll_interval_seconds: float | None = None
    """Between two cycles; None: as the worker is configured."""

    checkpoint_marker: str | None = None
    """A file that must exist, unchanged, while the checkpoint's files are copied."""

    progress_file_path: str | None = None
    """Holds a fraction 0..1, or JSON with `fraction`, `step`, `total_steps`."""

    progress_glob_pattern: tuple[str, ...] = ()
    """Files whose growth is a sign of life."""

    startup_progress_timeout_seconds: float | None = None
    progress_timeout_seconds: float | None = None
    max_runtime_seconds: float | None = None
    progress_rollback_limit: float | None = None
    """How far progress may fall behind what was restored, as a share of that; None: any far."""

    fatal_log_path: str | None = None
    """Searched for the fatal patterns; None: standard output and error."""

    fatal_log_patterns: tuple[str, ...] = ()
    resume_preserved_output_paths: tuple[str, ...] = ()
    """Files that a segment leaves behind and the next must find again, beside the checkpoint."""

    failure_artifact_paths: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    """Files to keep as the job's results when it completes."""

    environment: dict[str, str] = {}
    resources: Resources = Resources()
    preflight_command: str | tuple[str, ...] | None = None
    """Run before the engine, in its folder and environment; if it fails, the node is unfit."""

    preflight_timeout_seconds: float = 120.0

    def argv(self) -> tuple[str, ...]:
        """The command as the words to execute."""
        if isinstance(self.command, str):
            return ("/bin/sh", "-c", self.command)
        return self.command

    def preflight_argv(self) -> tuple[str, ...] | None:
        """The preflight command as the words to execute; None where there is none."""
        if isinstance(self.preflight_command, str):
            return ("/bin/sh", "-c", self.preflight_command)
        return self.preflight_command

    def command_line(self) -> str:
        """The command as a person would type it."""
        return self.command if isinstance(self.command, str) else shlex.join(self.command)

    @property
    def watched(self) -> tuple[str, ...]:
        """Everything a checkpoint generation holds.

        Also the marker: without it an engine would take what was restored for half written.
        """
        files = (*self.checkpoint_watch_paths, *self.resume_preserved_output_paths)
        marker = self.checkpoint_marker
        return files if not files or marker is None or marker in files else (*files, marker)


def parse(raw: object, above: Mapping[str, Any] = MappingProxyType({})) -> Specification:
    """Check decoded data and build the specification. Raises InvalidDocumentError.

    above: values that count instead of those in `raw`; tables are merged key by key.
    """
    spec = read(_merged(_normalized(raw), above), Specification)
    rules.check_command("command", spec.command)
    if spec.preflight_command is not None:
        rules.check_command("preflight_command", spec.preflight_command)
    for key in _PATHS:
        value = getattr(spec, key)
        for pattern in (value,) if isinstance(value, str) else value or ():
            rules.check_inside(key, pattern)
    for key in (name for name in Specification.__struct_fields__ if name.endswith("_seconds")):
        rules.check_seconds(key, getattr(spec, key))
    rules.check_share("progress_rollback_limit", spec.progress_rollback_limit)
    rules.check_environment(spec.environment)
    rules.check_fatal_patterns(spec.fatal_log_patterns)
    rules.check_resources(spec.resources)
    return spec


def decode(
    name: str, data: bytes, above: Mapping[str, Any] = MappingProxyType({})
) -> Specification:
    """Read a specification file by the ending of its name; `above` counts instead of it.

    Raises InvalidDocumentError.
    """
    decoders = {
        ".json": msgspec.json.decode,
        ".toml": msgspec.toml.decode,
        ".yaml": msgspec.yaml.decode,
    }
    try:
        raw = plain(data, decoders[PurePosixPath(name).suffix])
    except InvalidDocumentError as exc:
        raise InvalidDocumentError(f"{name} cannot be read: {exc}") from None
    try:
        return parse(raw, above)
    except InvalidDocumentError as exc:
        raise InvalidDocumentError(f"{name}: {exc}", key=exc.key) from None


def encode(spec: Specification) -> bytes:
    """The specification as JSON, for a bundle whose command came from the command line."""
    return msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n"


def _normalized(raw: object) -> object:
    """The same data under today's names, with single values where lists stand in lists."""
    if not isinstance(raw, dict):
        return raw
    document: dict[str, Any] = {}
    for key, value in cast(dict[Any, Any], raw).items():
        name = ALIASES.get(spelled(key), spelled(key))
        if name in document:
            raise InvalidDocumentError(f"{name!r} is given twice, once as {key!r}", key=name)
        document[name] = [value] if name in _SEVERAL and isinstance(value, str) else value
    return document


def _merged(raw: object, above: Mapping[str, Any]) -> object:
    if not isinstance(raw, dict):
        return raw
    document = cast(dict[str, Any], raw)
    for key, value in above.items():
        old = document.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = {**cast(dict[str, Any], old), **cast(dict[str, Any], value)}
        document[key] = value
    return document
