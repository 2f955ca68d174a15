import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relaymd.core.ids import Epoch
from relaymd.storage import folder, keys
from relaymd.storage.folder import FolderStore
from relaymd.storage.logs import LogPiece, logged_epochs, put_log_piece, read_log
from relaymd.storage.store import DamagedObjectError
from tests.storage.generation import JOB, in_place

EPOCH = Epoch(2)
TEXT = b"0123456789"


async def pieces(store: FolderStore, after: int = 0) -> list[LogPiece]:
    return [piece async for piece in read_log(store, JOB, EPOCH, "stdout", after=after)]


async def put(store: FolderStore, offset: int, data: bytes) -> None:
    await put_log_piece(store, JOB, EPOCH, "stdout", offset, data)


async def test_pieces_are_read_in_order_and_one_stream_at_a_time(store: FolderStore) -> None:
    for offset in (5, 0, 10**12):
        await put(store, offset, b"%d" % offset)
    await put_log_piece(store, JOB, EPOCH, "stderr", 0, b"other")
    await put_log_piece(store, JOB, Epoch(11), "stdout", 0, b"later")
    assert [piece.data for piece in await pieces(store)] == [b"0", b"5", b"1000000000000"]
    assert await logged_epochs(store, JOB) == [2, 11]


async def test_a_gap_is_told_and_an_overlap_is_trimmed(store: FolderStore) -> None:
    await put(store, 0, TEXT[:4])
    await put(store, 2, TEXT[2:6])
    await put(store, 3, TEXT[3:5])
    await put(store, 8, TEXT[8:])
    assert await pieces(store) == [
        LogPiece(offset=0, data=b"0123"),
        LogPiece(offset=4, data=b"45"),
        LogPiece(offset=8, data=b"89", missing=2),
    ]


async def test_reading_goes_on_after_what_was_read(store: FolderStore) -> None:
    await put(store, 0, TEXT[:6])
    await put(store, 6, TEXT[6:])
    assert await pieces(store, after=4) == [
        LogPiece(offset=4, data=b"45"),
        LogPiece(offset=6, data=b"6789"),
    ]
    assert await pieces(store, after=10) == []


@pytest.mark.parametrize("name", ["x", "٣", "1" * 19, "0/000000000000000-000000001"])
async def test_a_key_that_names_no_offset_is_told(store: FolderStore, name: str) -> None:
    await store.put(keys.log_stream(JOB, EPOCH, "stdout") + name, b"x")
    with pytest.raises(DamagedObjectError):
        await pieces(store)


async def test_what_lies_beside_the_logs_is_of_no_lease(store: FolderStore) -> None:
    await put(store, 0, TEXT)
    for name in ("000003", "3/stdout/0-1", "٠٠٠٠٠٣/stdout/0-1", f"{'9' * 16}/stdout/0-1"):
        await store.put(keys.logs(JOB) + name, b"x")
    assert await logged_epochs(store, JOB) == [EPOCH]


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 10)), max_size=6))
def test_whatever_pieces_there_are_no_byte_is_moved_or_repeated(
    cuts: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("log")
    folder.create(root)
    store = FolderStore(root, in_place)

    async def read() -> list[LogPiece]:
        for start, size in cuts:
            await put(store, start, TEXT[start : start + size])
        return await pieces(store)

    end = 0
    for piece in asyncio.run(read()):
        assert piece.offset == end + piece.missing
        assert piece.data == TEXT[piece.offset : piece.offset + len(piece.data)]
        end = piece.offset + len(piece.data)
    assert end == max((min(start + size, 10) for start, size in cuts), default=0)
