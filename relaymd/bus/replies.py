"""The questions this connection has asked and that are not answered yet."""

import asyncio
import itertools

from relaymd.bus.bus import NoAnswerError, NoResponderError, RefusedError
from relaymd.bus.codec import Reply
from relaymd.bus.messages import RefusalCode

STATUS_HEADER = "Status"
NO_RESPONDERS = "503"


class Replies:
    """Gives each question an inbox of its own and matches what arrives there."""

    def __init__(self, prefix: str) -> None:
        """prefix: what every inbox of this connection begins with, unguessable by others."""
        self._prefix = prefix
        self._count = itertools.count()
        self._open: dict[str, tuple[str, asyncio.Future[Reply]]] = {}

    @property
    def pattern(self) -> str:
        return f"{self._prefix}.*"

    def expect(self, subject: str) -> tuple[str, asyncio.Future[Reply]]:
        """Where the answer is to be sent, and the answer to be."""
        inbox = f"{self._prefix}.{next(self._count)}"
        future = asyncio.get_running_loop().create_future()
        self._open[inbox] = (subject, future)
        future.add_done_callback(lambda _: self._open.pop(inbox, None))
        return inbox, future

    def arrived(self, inbox: str, reply: Reply) -> None:
        """Answers that nobody waits for any more, or that come twice, are passed over."""
        subject, future = self._open.get(inbox, ("", None))
        if future is None or future.done():
            return
        if not reply.body and reply.headers and reply.headers.get(STATUS_HEADER) == NO_RESPONDERS:
            future.set_exception(NoResponderError(f"nobody answers {subject}"))
        else:
            future.set_result(reply)

    def lost(self, reason: str) -> None:
        """The connection is down: answers under way may never arrive. Everybody may ask again."""
        for subject, future in [*self._open.values()]:
            if not future.done():
                future.set_exception(NoAnswerError(f"{subject}: {reason}"))
                future.exception()  # whoever gave up waiting need not hear of it

    def denied(self, subject: str) -> None:
        """The server does not let us send to the subject, which it names in lower case."""
        for asked, future in [*self._open.values()]:
            if asked.lower() == subject and not future.done():
                reason = f"these credentials may not speak on {asked}"
                future.set_exception(RefusedError.because(RefusalCode.DENIED, reason))
                future.exception()
