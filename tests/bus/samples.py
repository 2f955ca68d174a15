"""A message of each kind with every field filled, made from the types alone.

`python -m tests.bus.samples 0.2.0` adds what is missing of a release to `golden/0.2.0/`. A file
that is there is never changed once the release is out: its workers are.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import inspect

from relaymd.bus import contract
from relaymd.bus.messages import Refusal
from relaymd.bus.subjects import Request, Subject

GOLDEN = Path(__file__).parent / "golden"

Json = object


def rows() -> dict[str, Subject[msgspec.Struct]]:
    return {name: row for name, row in vars(contract).items() if isinstance(row, Subject)}


def requests() -> dict[str, Request[msgspec.Struct, msgspec.Struct]]:
    return {name: row for name, row in vars(contract).items() if isinstance(row, Request)}


def kinds() -> dict[str, type[msgspec.Struct]]:
    """Every message that travels by itself, by its name."""
    found: dict[str, type[msgspec.Struct]] = {"Refusal": Refusal}
    found |= {row.carries.__name__: row.carries for row in rows().values()}
    return found | {row.answers.__name__: row.answers for row in requests().values()}


def samples(kind: type[msgspec.Struct]) -> list[Json]:
    """One for each variant of the unions it contains."""
    return [*_samples(inspect.type_info(kind))]


def _samples(kind: inspect.Type) -> Iterator[Json]:
    match kind:
        case inspect.StructType():
            yield from _structs(kind)
        case inspect.UnionType(types=types):
            for one in types:
                if not isinstance(one, inspect.NoneType):
                    yield from _samples(one)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            yield [next(_samples(item))]
        case inspect.DictType(key_type=key, value_type=value):
            yield {next(_samples(key)): next(_samples(value))}
        case inspect.EnumType(cls=cls):
            yield next(iter(cls)).value
        case inspect.IntType():
            yield 3
        case inspect.FloatType():
            yield 1.5
        case inspect.BoolType():
            yield True
        case inspect.StrType():
            yield "text-1"
        case _:
            raise AssertionError(f"no sample for {kind}")


def _structs(kind: inspect.StructType) -> Iterator[Json]:
    tag = {kind.tag_field: kind.tag} if kind.tag_field else {}
    values = {field.encode_name: [*_samples(field.type)] for field in kind.fields}
    first = {name: variants[0] for name, variants in values.items()}
    yield {**tag, **first}
    for name, variants in values.items():
        for variant in variants[1:]:
            yield {**tag, **first, name: variant}


def main(release: str) -> None:
    folder = GOLDEN / release
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in kinds().items():
        for number, sample in enumerate(samples(kind)):
            file = folder / f"{name}-{number}.json"
            text = msgspec.json.format(msgspec.json.encode(sample), indent=1) + b"\n"
            if not file.exists():
                file.write_bytes(text)


if __name__ == "__main__":
    main(sys.argv[1])
