"""Output from two sources becomes one text: no gap, no repetition."""

from relaymd.bus.facts import Output, OutputStream
from relaymd.cli.log_view import LogView
from relaymd.core.ids import Epoch, JobId
from relaymd.storage.logs import LogPiece


def said(offset: int, text: str, size: int | None = None) -> Output:
    return Output(
        job=JobId("j-1"),
        epoch=Epoch(1),
        stream=OutputStream.STDOUT,
        offset=offset,
        text=text,
        size=len(text.encode()) if size is None else size,
    )


def test_live_output_in_order_is_shown_at_once() -> None:
    view = LogView()
    assert [*view.live(said(0, "one "))] == [b"one "]
    assert [*view.live(said(4, "two"))] == [b"two"]
    assert not view.gap


def test_what_is_stored_and_also_said_is_shown_once() -> None:
    view = LogView()
    assert view.stored(LogPiece(offset=0, data=b"one two ")) == b"one two "
    assert [*view.live(said(4, "two three"))] == [b"three"]
    assert [*view.live(said(0, "one "))] == []
    assert view.stored(LogPiece(offset=8, data=b"three four")) == b" four"


def test_what_was_lost_on_the_way_is_waited_for_and_then_read_from_the_store() -> None:
    view = LogView()
    assert [*view.live(said(4, "two"))] == []
    assert view.gap
    assert view.stored(LogPiece(offset=0, data=b"one ")) == b"one "
    assert [*view.ready()] == [b"two"]
    assert not view.gap


def test_where_bytes_were_replaced_an_overlap_is_left_to_the_store() -> None:
    view = LogView()
    view.stored(LogPiece(offset=0, data=b"ab"))
    assert [*view.live(said(0, "a\ufffdcd", size=4))] == []
    assert view.gap
    assert view.stored(LogPiece(offset=0, data=b"a\xffcd")) == b"cd"
    assert [*view.ready()] == []
    assert not view.gap
