"""What an endpoint has done so far, as `nats micro stats` shows it."""

from dataclasses import dataclass

from relaymd.bus.codec import ERROR, Reply


@dataclass
class Tally:
    requests: int = 0
    errors: int = 0
    seconds: float = 0.0
    """From taking the turn to having the answer, over all requests; waits for work included."""

    last_error: str = ""

    def count(self, reply: Reply | None, seconds: float) -> None:
        """reply: None where the handler chose to give none."""
        self.requests += 1
        self.seconds += seconds
        if reply is not None and reply.headers and ERROR in reply.headers:
            self.errors += 1
            self.last_error = reply.headers[ERROR]
