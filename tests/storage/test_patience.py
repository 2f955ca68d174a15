import asyncio
from collections.abc import Callable

import pytest

from relaymd.storage.patience import Patience, retrying
from relaymd.storage.store import (
    MissingObjectError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
)

BRIEF = Patience(within=0.05, jitter=lambda: 0.5, first=0.001, longest=0.004)


def failing(times: int, error: StorageError) -> Callable[[], "asyncio.Future[int]"]:
    calls = 0

    def call() -> "asyncio.Future[int]":
        nonlocal calls
        calls += 1
        future = asyncio.get_running_loop().create_future()
        if calls <= times:
            future.set_exception(error)
        else:
            future.set_result(calls)
        return future

    return call


async def test_what_comes_back_in_time_is_asked_until_it_answers() -> None:
    heard: list[StorageUnreachableError] = []
    error = StorageUnreachableError("k", "away")
    assert await retrying(failing(3, error), BRIEF, heard=heard.append) == 4
    assert heard == [error] * 3


async def test_patience_ends_and_the_last_error_is_told() -> None:
    start = asyncio.get_running_loop().time()
    with pytest.raises(StorageUnreachableError, match="away"):
        await retrying(failing(10**9, StorageUnreachableError("k", "away")), BRIEF)
    assert asyncio.get_running_loop().time() - start >= BRIEF.within


@pytest.mark.parametrize(
    "error",
    [MissingObjectError("k"), StorageDeniedError("k", "no"), StorageFullError("k", "full")],
)
async def test_what_time_does_not_heal_is_told_at_once(error: StorageError) -> None:
    with pytest.raises(type(error)):
        await retrying(failing(1, error), BRIEF)


def test_pauses_double_up_to_the_longest_and_are_spread() -> None:
    calm = Patience(within=1, jitter=lambda: 1.0, first=0.5, longest=4.0)
    assert [calm.pause(n) for n in (1, 2, 3, 4, 5, 10**6)] == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    eager = Patience(within=1, jitter=lambda: 0.0, first=0.5, longest=4.0)
    assert eager.pause(3) == 1.0
