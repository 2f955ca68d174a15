import os

import pytest
import zstandard

from relaymd.core.ids import Epoch
from relaymd.storage.manifest import CHUNK_SIZE, Chunk, Member, digest
from relaymd.storage.packing import ALONE, Packer, Shrinker, grown


@pytest.mark.parametrize("size", [0, 1, 100, 70_000, 1_000_000])
def test_what_is_made_smaller_comes_back(size: int) -> None:
    data = (b"step %d " % size) * (size // 4)
    small = Shrinker().shrunk(data)
    assert size < 100 or len(small) < len(data) / 2
    assert grown(small, Member(digest(data), len(data), len(small))) == data


@pytest.mark.parametrize("size", [1, 1000, 70_000, CHUNK_SIZE])
def test_what_would_not_become_smaller_is_left_as_it_is(size: int) -> None:
    data = os.urandom(size)
    assert Shrinker().shrunk(data) is data


def test_a_frame_that_would_grow_beyond_its_chunk_is_refused_before_it_does() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(100_000_000))
    for size in (100, len(bomb) + 1):
        with pytest.raises(ValueError, match="it is not what was compressed"):
            grown(bomb, Member("d", size, min(len(bomb), size - 1)))
    with pytest.raises(ValueError, match="cannot be decompressed"):
        grown(b"rubbish", Member("d", 100, 7))


def test_small_chunks_share_a_pack_and_large_ones_have_their_own() -> None:
    packer = Packer(Epoch(1))
    small = [Chunk(f"s{n}", 400_000) for n in range(12)]
    full = [made for chunk in small if (made := packer.add(chunk, bytes(400_000)))]
    alone = packer.add(Chunk("large", ALONE), bytes(ALONE))
    rest = packer.rest()
    assert alone is not None
    assert rest is not None
    packs = [*full, alone, rest]
    assert [len(pack.members) for pack, _ in packs] == [10, 1, 2]
    assert all(len(data) == pack.size <= CHUNK_SIZE for pack, data in packs)
    assert packer.rest() is None
