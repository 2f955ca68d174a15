import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaymd.storage.patterns import UnfitNameError, compiled, match
from tests.storage.generation import write


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.chk", "a.chk", True),
        ("*.chk", ".chk", True),
        ("*.chk", ".hidden.chk", True),
        ("*.chk", "sub/a.chk", False),
        ("**/*.chk", "a.chk", True),
        ("**/*.chk", "r0/r1/a.chk", True),
        ("r*/ckpt", "r12/ckpt", True),
        ("r*/ckpt", "r1/2/ckpt", False),
        ("r**/ckpt", "r1/2/ckpt", False),
        ("out/**", "out/a/b", True),
        ("out/**", "out", False),
        ("out/**", "output/a", False),
        ("out", "out/a/b", True),
        ("out/", "out/a", True),
        ("./out", "out/a", True),
        ("*", "a", True),
        ("*", "sub/a", False),
        ("run?/*", "run1/x", True),
        ("run?/*", "run12/x", False),
        ("[ab]*", "b1", True),
        ("[!ab]*", "b1", False),
        ("[!ab]*", "c1", True),
        ("[]]", "]", True),
        ("[a-c]", "b", True),
        ("[z-a]", "b", False),
        ("[--0]", ".", True),
        ("[a-]", "-", True),
        ("[^a]", "^", True),
        ("[!/]", "/", False),
        ("[a", "[a", True),
        ("a+b(c).$^", "a+b(c).$^", True),
        ("a.b", "aXb", False),
        ("new\nline*", "new\nline1", True),
    ],
)
def test_patterns_mean_what_a_person_expects(pattern: str, path: str, matches: bool) -> None:
    expression = compiled([pattern])
    assert expression is not None
    assert (expression.fullmatch(path) is not None) is matches


@given(st.text("ab*?[]!-/.\\^", min_size=1, max_size=12))
def test_any_text_is_a_pattern(pattern: str) -> None:
    assert compiled([pattern]) is not None


def test_a_link_that_leads_to_itself_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "loop").symlink_to("loop")
    assert match(tmp_path, ["*"]) == ["a"]


def test_a_thousand_files_are_a_thousand_files(tmp_path: Path) -> None:
    names = {f"r{n % 10}/frame{n:04d}.dcd": b"" for n in range(1000)}
    assert match(write(tmp_path / "job", names), ["**/*.dcd"]) == sorted(names)


def test_a_file_that_several_patterns_mean_is_there_once(tmp_path: Path) -> None:
    write(tmp_path / "job", {"a.chk": b"", "b.txt": b""})
    assert match(tmp_path / "job", ["*.chk", "a*", "**"]) == ["a.chk", "b.txt"]
    assert match(tmp_path / "job", []) == []


def test_links_are_not_followed_out_of_the_folder_nor_round_in_circles(tmp_path: Path) -> None:
    root = write(tmp_path / "job", {"sub/real.chk": b""})
    write(tmp_path / "other", {"secret.chk": b""})
    (root / "inside.chk").symlink_to("sub/real.chk")
    (root / "outside.chk").symlink_to("../other/secret.chk")
    (root / "dangling.chk").symlink_to("nowhere")
    (root / "sub/loop").symlink_to("..")
    (root / "elsewhere").symlink_to("../other")
    assert match(root, ["**/*.chk"]) == ["inside.chk", "sub/real.chk"]


def test_our_own_folders_and_pipes_are_passed_over(tmp_path: Path) -> None:
    root = write(tmp_path / "job", {".relaymd-restore/1": b"", "sub/.relaymd-x": b""})
    os.mkfifo(root / "pipe")
    assert match(root, ["**"]) == ["sub/.relaymd-x"]


def test_a_folder_that_is_not_there_is_an_error_and_not_empty(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        match(tmp_path / "absent", ["**"])


def test_a_name_that_is_not_utf8_is_named_and_not_dropped(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.chk")).touch()
    with pytest.raises(UnfitNameError, match="bad"):
        match(tmp_path, ["*.chk"])
    assert match(tmp_path, ["*.txt"]) == []
