"""A benchmark that takes too long has failed: nothing is waited for without end."""

import asyncio
import faulthandler
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

QUICK, FULL = 150.0, 3600.0
"""Seconds for one benchmark. With one that hangs, a quick run of all is within CI's time."""

GRACE = 20.0
"""Seconds for it to clean up."""


class OverdueError(Exception):
    """The benchmark was not done in time."""


@asynccontextmanager
async def within(seconds: float, *, grace: float = GRACE) -> AsyncGenerator[None]:
    """Cancel the block after so many seconds. Raises OverdueError then.

    Where that does not end it, the process tells where it was, on standard error, and is gone.
    """
    faulthandler.dump_traceback_later(seconds + grace, exit=True)
    bound = asyncio.timeout(seconds)
    try:
        async with bound:
            yield
    except TimeoutError:
        if bound.expired():
            raise OverdueError(f"it was not done in {seconds:g} s") from None
        raise
    finally:
        faulthandler.cancel_dump_traceback_later()
