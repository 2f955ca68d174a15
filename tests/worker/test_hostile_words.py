"""What an engine, or whoever meddles with its guardian, says to the worker in bad order."""

import asyncio
import os
import signal
from pathlib import Path
from random import Random

import pytest

from relaymd.worker import notices
from relaymd.worker.engine import LaunchError
from relaymd.worker.guardians import Status
from tests.hostile.payloads import check_sentence, generator, payloads, shown

pytestmark = pytest.mark.hostile

SAMPLES = (b"pid 7\ncode 0\n", b"pid 4242\ncode -9\n", b"error No such file: x\n", b"pid 7\n")


def pieces(rng: Random, data: bytes) -> list[bytes]:
    cut = rng.randrange(len(data) + 1)
    return [data[:cut], data[cut:]]


async def test_whatever_a_guardian_says_the_worker_knows_how_its_engine_ended() -> None:
    rng = generator("guardian")
    for data in payloads(rng, SAMPLES):
        killed: list[int] = []
        status = Status(killed.append)
        try:
            for piece in pieces(rng, data):
                status.data_received(piece)
            status.connection_lost(None)
            check_end(status, killed)
        except BaseException as exc:
            exc.add_note(shown(data))
            raise


def check_end(status: Status, killed: list[int]) -> None:
    error = status.started.exception()
    if error is not None:
        assert isinstance(error, LaunchError)
        check_sentence(str(error))
        assert killed == []
    else:
        assert status.started.result() > 1, "that is no process which may be killed"
        assert killed in ([], [status.started.result()])
    assert -signal.NSIG < status.ended.result() < 256


async def test_whatever_an_engine_writes_into_its_pipe_is_heard_as_a_notice(
    tmp_path: Path,
) -> None:
    failures: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with notices.pipe(tmp_path / "notices") as heard:
        assert heard.path is not None
        writer = os.open(heard.path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            for data in filter(None, payloads(generator("notices"), [b"checkpoint\n"])):
                os.write(writer, data)
                async with asyncio.timeout(10):
                    assert await heard.next()
        finally:
            os.close(writer)
    assert failures == []
