"""Keeps the actors alive, and knows when to stop trying."""

import asyncio
from collections.abc import Callable, Mapping
from typing import NoReturn

import structlog

from relaymd.actors.actor import Actor
from relaymd.bus.operating import ActorStatus
from relaymd.core.ids import Monotonic
from relaymd.core.restarts import RestartPolicy

log = structlog.get_logger(__name__)


class CrashLoopError(Exception):
    """An actor crashed too often; restarting it again would only hide why."""


class Supervisor:
    """Restarts an actor that crashed, leaving its siblings alone (OTP's one_for_one).

    Past the policy's limit the siblings are cancelled and `run` raises: a process that cannot
    do its work ends, and whoever started it decides what is next.
    """

    def __init__(self, actors: Mapping[str, Callable[[], Actor]], policy: RestartPolicy) -> None:
        self._actors = actors
        self._policy = policy
        self._status = {name: ActorStatus(name=name) for name in actors}

    def health(self) -> tuple[ActorStatus, ...]:
        """How often each actor was restarted, and why the last time."""
        return tuple(self._status.values())

    async def run(self) -> None:
        """Until cancelled. Raises CrashLoopError in a group."""
        async with asyncio.TaskGroup() as group:
            for name, make in self._actors.items():
                group.create_task(self._keep_alive(name, make), name=name)

    async def _keep_alive(self, name: str, make: Callable[[], Actor]) -> NoReturn:
        clock = asyncio.get_running_loop().time
        crashes: list[Monotonic] = []
        while True:
            try:
                await make().run()
            except Exception as exc:  # the one place that catches what is ours
                now = Monotonic(clock())
                crashes = self._policy.recent([*crashes, now], now=now)
                self._note(name, exc)
                if not self._policy.allows(crashes, now=now):
                    raise CrashLoopError(f"{name} crashed {len(crashes)} times") from exc
                await asyncio.sleep(self._policy.delay(crashes, now=now))

    def _note(self, name: str, error: Exception) -> None:
        restarts = self._status[name].restarts + 1
        reason = repr(innermost(error))[:500]
        self._status[name] = ActorStatus(name=name, restarts=restarts, last_error=reason)
        log.error("actor.crashed", actor=name, restarts=restarts, exc_info=error)


def innermost(error: BaseException) -> BaseException:
    """What a group of one holds: an actor's tasks raise in a group."""
    if isinstance(error, BaseExceptionGroup):
        first: BaseException = error.exceptions[0]  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType] - of any kind
        return innermost(first)  # pyright: ignore[reportUnknownArgumentType] - of any kind
    return error
