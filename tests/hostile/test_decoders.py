"""A thousand hostile cases at everything that reads what others wrote; `make fuzz` throws more."""

from pathlib import Path

import pytest

from tests.hostile.decoders import BUS, Decoder
from tests.hostile.documents import FILES
from tests.hostile.log_keys import LOGS
from tests.hostile.payloads import generator, payloads, throw
from tests.hostile.providers import PROVIDERS

pytestmark = pytest.mark.hostile

DECODERS = [*BUS, *FILES, *LOGS, *PROVIDERS]


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda one: one.name)
def test_whatever_is_read_is_taken_or_refused_in_one_sentence(
    decoder: Decoder, tmp_path: Path
) -> None:
    hostile = payloads(generator(decoder.name), decoder.samples)
    throw(hostile, lambda data: decoder.read(tmp_path, data), refusals=decoder.refusals)
