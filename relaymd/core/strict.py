"""Reading what a person wrote: no unknown key passes, and the error names the nearest right one."""

import difflib
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, Union, cast, get_args, get_origin

import msgspec

T = TypeVar("T", bound=msgspec.Struct)
K = TypeVar("K")


_UNREADABLE = (
    msgspec.DecodeError,
    ValueError,  # also text that is no UTF-8, and numbers of thousands of digits
    LookupError,
    AttributeError,
    TypeError,
    ArithmeticError,
    RecursionError,
)
"""What the decoders have been seen to raise: PyYAML lets much through, as for `!!int ""`."""

_LONGEST = 500
"""Characters of a decoder's complaint."""


class InvalidDocumentError(Exception):
    """A document does not have the shape it must have. The message is one sentence."""

    def __init__(self, reason: str, *, key: str | None = None) -> None:
        super().__init__(reason)
        self.key = key


def plain(data: bytes | str, language: Callable[[bytes | str], object]) -> object:
    """What a document holds, as plain data; language: of `msgspec.json`, `toml` or `yaml`.

    Raises InvalidDocumentError, whatever is wrong with it.
    """
    try:
        return language(data)
    except _UNREADABLE as exc:
        reason = " ".join(str(exc).split())[:_LONGEST]
        raise InvalidDocumentError(reason or "it makes no sense") from None


def decode_json(data: bytes | str, kind: type[K]) -> K:
    """JSON that a program wrote. Raises msgspec.DecodeError, whatever is wrong with it."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as exc:
        raise msgspec.DecodeError(str(exc)) from None


def read(raw: object, kind: type[T]) -> T:
    """Turn plain decoded data (of YAML, TOML or JSON) into the struct, strictly.

    Raises InvalidDocumentError for an unknown key, a missing one, or a value of the wrong type.
    """
    if not isinstance(raw, Mapping):
        raise InvalidDocumentError(f"expected keys and values, got {_kind_of(raw)}")
    _refuse_unknown(cast(Mapping[Any, Any], raw), kind, prefix="")
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as exc:
        raise _explained(str(exc)) from None


def spelled(key: object) -> str:
    """A key as text, also one that YAML made a number of."""
    try:
        return str(key)
    except ValueError:  # it has thousands of digits
        return "a number"


def unknown_key(key: str, known: Iterable[str]) -> InvalidDocumentError:
    """The error for a key nobody reads, with the one that was probably meant."""
    near = difflib.get_close_matches(key.rpartition(".")[2], [*known], n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return InvalidDocumentError(f"unknown key {key!r}{hint}", key=key)


def struct_in(annotation: Any) -> type[msgspec.Struct] | None:
    """The struct a field holds, also where it may be absent."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType):
        found = [struct for part in get_args(annotation) if (struct := struct_in(part))]
        return found[0] if len(found) == 1 else None
    return None


def _refuse_unknown(raw: Mapping[Any, Any], kind: type[msgspec.Struct], prefix: str) -> None:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for key, value in raw.items():
        name = f"{prefix}{spelled(key)}"
        field = fields.get(spelled(key))
        if field is None:
            raise unknown_key(name, fields)
        if isinstance(value, Mapping) and (inner := struct_in(field.type)):
            _refuse_unknown(cast(Mapping[Any, Any], value), inner, prefix=f"{name}.")


def _explained(message: str) -> InvalidDocumentError:
    """`Expected `int`, got `str` - at `$.a.b`` becomes `a.b: expected int, got str`."""
    text, _, where = message.replace("`", "").partition(" - at ")
    key = where.removeprefix("$").lstrip(".") or None
    if missing := re.fullmatch(r"Object missing required field (\S+)", text):
        inner = f"{key}.{missing[1]}" if key else missing[1]
        return InvalidDocumentError(f"the key {inner!r} is missing", key=inner)
    text = text[:1].lower() + text[1:]
    return InvalidDocumentError(f"{key}: {text}" if key else text, key=key)


def _kind_of(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
