"""From a file and the environment to one struct, knowing where each value came from.

Which keys there are is said by the struct (`relaymd.config`); nothing here knows any of them.
"""

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec

from relaymd.core.strict import InvalidDocumentError, plain, read, struct_in

T = TypeVar("T", bound=msgspec.Struct)

PREFIX = "RELAYMD_"
DEFAULT = "default"


class InvalidConfigError(Exception):
    """The configuration cannot be used. The message is one sentence that names the place."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One leaf of the configuration."""

    path: tuple[str, ...]
    type: Any
    default: Any

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        return PREFIX + "_".join(self.path).upper()


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One value and where it came from: `default`, `file:…` or `environment:…`."""

    key: str
    value: Any
    origin: str


def keys(kind: type[msgspec.Struct], above: tuple[str, ...] = ()) -> Iterator[Key]:
    """Every leaf of the struct, those of structs within it included."""
    for field in msgspec.structs.fields(kind):
        path = (*above, field.encode_name)
        inner = struct_in(field.type)
        if inner is not None and isinstance(field.default, inner):
            yield from keys(inner, path)
        else:
            yield Key(path=path, type=field.type, default=_default(field))


def read_file(
    path: Path, kind: type[msgspec.Struct], apart: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """The file's values as plain data, checked against the struct. An empty file has none.

    apart: keys at the top whose values somebody else checks.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InvalidConfigError(f"{path} cannot be read: {exc.strerror}") from None
    try:
        raw: Any = plain(data, msgspec.yaml.decode)
    except InvalidDocumentError as exc:
        raise InvalidConfigError(f"{path} is not YAML that can be read: {exc}") from None
    document: dict[str, Any] = {} if raw is None else raw
    try:
        read(_without(document, apart), kind)
    except InvalidDocumentError as exc:
        raise InvalidConfigError(f"{path}: {exc}") from None
    return document


def _without(document: Any, apart: frozenset[str]) -> Any:
    if not isinstance(document, Mapping):
        return document
    values = cast(Mapping[str, Any], document)
    return {key: value for key, value in values.items() if key not in apart}


def merge(
    kind: type[msgspec.Struct],
    document: Mapping[str, Any],
    file: Path | None,
    environ: Mapping[str, str],
) -> list[Setting]:
    """Each key's value, environment over document over default, and its origin."""
    return [_resolve(key, document, file, environ) for key in keys(kind)]


def build(kind: type[T], settings: Iterable[Setting]) -> T:
    """The struct that holds these values."""
    merged: dict[str, Any] = {}
    for setting in settings:
        *folders, leaf = setting.key.split(".")
        place = merged
        for folder in folders:
            place = place.setdefault(folder, {})
        place[leaf] = setting.value
    return msgspec.convert(merged, kind)


def misspelt(
    kind: type[msgspec.Struct], environ: Mapping[str, str], others: frozenset[str]
) -> list[str]:
    """A sentence for each variable that looks like one of ours and is none.

    Not an error: a newer or a later program may use variables that this one does not know.
    """
    known = {key.variable for key in keys(kind)} | others
    found: list[str] = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            if near:
                found.append(f"{name} is not a setting; did you mean {near[0]}?")
    return found


def _resolve(
    key: Key, document: Mapping[str, Any], file: Path | None, environ: Mapping[str, str]
) -> Setting:
    if key.variable in environ:
        given = _from_text(key, environ[key.variable])
        return Setting(key=key.name, value=given, origin=f"environment:{key.variable}")
    value: Any = document
    for part in key.path:
        if not isinstance(value, Mapping) or part not in value:
            return Setting(key=key.name, value=key.default, origin=DEFAULT)
        value = cast(Mapping[str, Any], value)[part]
    return Setting(key=key.name, value=value, origin=f"file:{file}")


def _from_text(key: Key, text: str) -> Any:
    """A variable's text as the key's type; `null` and nothing are None where None may be."""
    if type(None) in get_args(key.type) and text.strip() in ("", "null"):
        return None
    if not text.isprintable() and text != os.fsencode(text).decode(errors="replace"):
        raise InvalidConfigError(f"{key.variable}={text!r} cannot be used: it is not UTF-8")
    try:
        if any(struct_in(part) for part in get_args(key.type)):
            return _tables(key, plain(text, msgspec.json.decode))
        return msgspec.convert(_data(key.type, text), key.type, strict=False)
    except (msgspec.DecodeError, InvalidDocumentError) as exc:
        reason = str(exc).replace("`", "")
        raise InvalidConfigError(
            f"{key.variable}={text!r} cannot be used: {reason[:1].lower()}{reason[1:]}"
        ) from None


def _tables(key: Key, value: Any) -> Any:
    """A table is checked here; a list of them by whoever knows how they hang together."""
    if table := struct_in(key.type):
        read(value, table)
    return value


def _data(kind: Any, text: str) -> object:
    """Lists and tables are written as JSON in the environment, plain lists also with commas."""
    for part in (kind, *get_args(kind)):
        if get_origin(part) in (tuple, list, dict):
            if text.lstrip().startswith(("[", "{")):
                return plain(text, msgspec.json.decode)
            return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return None if field.default is msgspec.NODEFAULT else field.default


def absolute(text: str, base: Path, home: Path) -> str:
    """A path as a person writes it, `~` and relative ones included, made absolute."""
    if text == "~" or text.startswith("~/"):
        return str(home / text[2:])
    return os.path.normpath(base / text)
