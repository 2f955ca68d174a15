"""Identifiers: what a token may look like."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaymd.core.ids import ALPHABET, TOKEN, token


def test_a_token_fits_into_a_subject_and_a_key() -> None:
    assert TOKEN.fullmatch(token("j", bytes(range(8))))


def test_the_docstring_of_token_tells_the_truth() -> None:
    assert token("j", bytes(8)) == "j-222222222222"


@given(st.binary(min_size=1, max_size=16))
def test_every_token_is_spelled_with_letters_that_look_like_no_other(entropy: bytes) -> None:
    prefix, _, letters = token("w", entropy).partition("-")

    assert prefix == "w"
    assert {*letters} <= {*ALPHABET}
    assert not {*ALPHABET} & {*"01ilou"}


def test_different_entropy_gives_different_tokens() -> None:
    assert len({token("j", number.to_bytes(8, "big")) for number in range(5000)}) == 5000


@pytest.mark.parametrize("wrong", ["", "a.b", "a b", "a*", ">", "a/b", "ä", "x" * 65, "a\n"])
def test_what_could_change_a_subject_or_a_path_is_no_token(wrong: str) -> None:
    assert not TOKEN.fullmatch(wrong)


def test_the_pattern_has_no_flags_that_would_widen_it() -> None:
    assert TOKEN.flags == re.compile("").flags
