"""Why a job does not run yet, in one sentence that a person can act on."""

from relaymd.core.ids import UnixTime
from relaymd.core.provisioning import Coming, Outlook


def sentence(outlook: Outlook, *, position: int, now: UnixTime) -> str:
    """position: the job's place in the line of its class, from 0.

    Those before it get what comes first: idle seats, what is on its way, what is asked for.
    """
    position += outlook.ahead
    if position < outlook.idle:
        return "it is next for an idle slot"
    position -= outlook.idle
    for coming in sorted(outlook.coming, key=_sooner):
        if position < coming.jobs:
            return _on_its_way(coming, now)
        position -= coming.jobs
    for cluster, jobs in outlook.asked:
        if position < jobs:
            return f"an allocation is being asked of {cluster}"
        position -= jobs
    if not outlook.obstacles:
        return "no cluster is configured that could take it"
    return f"nothing is asked for it: {'; '.join(outlook.obstacles)}"


def _sooner(coming: Coming) -> tuple[object, ...]:
    return (coming.pending, coming.expected is None, coming.expected or 0.0, coming.cluster)


def _on_its_way(coming: Coming, now: UnixTime) -> str:
    if not coming.pending:
        return f"an allocation of {coming.cluster} has started, its worker is about to register"
    because = f" ({coming.says})" if coming.says else ""
    waits = f"an allocation waits in the queue of {coming.cluster}{because}"
    if coming.expected is None:
        return waits
    return f"{waits}; it is expected to start in {_span(max(coming.expected - now, 0.0))}"


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return "a moment"
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes / 60:.0f} h" if minutes < 48 * 60 else f"{minutes / 1440:.0f} days"
