"""What an actor's end leaves behind."""

import asyncio
import gc

import pytest

from relaymd.actors.actor import Actor
from relaymd.bus.memory import MemoryBus


class CutOff(Actor):
    """Ends in the turn in which it promised an answer, before any of that was worked out."""

    async def start(self) -> None:
        self.answer(self._worked_out())
        raise ValueError("a defect of ours")

    async def _worked_out(self) -> None:
        raise AssertionError("nobody lives to see it")


async def test_an_answer_that_is_cut_off_before_its_first_step_is_closed(
    recwarn: pytest.WarningsRecorder,
) -> None:
    with pytest.raises(ExceptionGroup):
        await CutOff(MemoryBus()).run()
    await asyncio.sleep(0)
    gc.collect()

    assert [str(warning.message) for warning in recwarn] == []
