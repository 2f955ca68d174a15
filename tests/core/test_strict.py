"""What a person wrote wrong is named, with what was probably meant."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaymd.core.strict import InvalidDocumentError, read, struct_in, unknown_key


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    bucket: str = ""
    size: int = 0


class Outer(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    count: int = 1
    inner: Inner = Inner()
    perhaps: Inner | None = None


def complaint(raw: object) -> InvalidDocumentError:
    with pytest.raises(InvalidDocumentError) as caught:
        read(raw, Outer)
    return caught.value


def test_a_right_document_becomes_the_struct() -> None:
    assert read({"name": "n", "inner": {"size": 2}}, Outer) == Outer(name="n", inner=Inner(size=2))


@pytest.mark.parametrize(
    ("raw", "message", "key"),
    [
        ({"name": "n", "cuont": 2}, "unknown key 'cuont'; did you mean 'count'?", "cuont"),
        ({"name": "n", "zzzzzz": 2}, "unknown key 'zzzzzz'", "zzzzzz"),
        (
            {"name": "n", "inner": {"buckt": "b"}},
            "unknown key 'inner.buckt'; did you mean 'bucket'?",
            "inner.buckt",
        ),
        (
            {"name": "n", "perhaps": {"sise": 1}},
            "unknown key 'perhaps.sise'; did you mean 'size'?",
            "perhaps.sise",
        ),
        ({}, "the key 'name' is missing", "name"),
        ({"name": 3}, "name: expected str, got int", "name"),
        ({"name": "n", "inner": {"size": "x"}}, "inner.size: expected int, got str", "inner.size"),
        ({"name": "n", 5: 1}, "unknown key '5'", "5"),
    ],
)
def test_the_error_is_one_sentence_that_names_the_key(raw: object, message: str, key: str) -> None:
    error = complaint(raw)

    assert str(error) == message
    assert error.key == key


@pytest.mark.parametrize(
    ("raw", "kind"), [(None, "nothing"), ([], "list"), ("text", "str"), (3, "int")]
)
def test_what_is_no_mapping_is_refused(raw: object, kind: str) -> None:
    assert str(complaint(raw)) == f"expected keys and values, got {kind}"


def test_a_struct_is_found_where_it_may_be_absent() -> None:
    assert struct_in(Inner) is Inner
    assert struct_in(Inner | None) is Inner
    assert struct_in(int | None) is None
    assert struct_in(Inner | Outer) is None


def test_the_nearest_name_is_compared_without_what_stands_before_it() -> None:
    assert "did you mean 'bucket'" in str(unknown_key("storage.bukcet", ["bucket", "kind"]))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "count", "inner", "size", "x"]), inner)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_nothing_a_person_writes_raises_anything_else(raw: Any) -> None:
    said = "nothing"
    try:
        read(raw, Outer)
    except InvalidDocumentError as error:
        said = str(error)
    assert said
    assert "\n" not in said
