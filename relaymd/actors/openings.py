"""Where work may go as of now, and who would rather not go there: read out of the ledger."""

from collections.abc import Mapping

from relaymd.actors.ledger import Ledger
from relaymd.core.avoiding import Avoided, avoided
from relaymd.core.ids import JobId
from relaymd.core.resources import Seat


def open_seats(ledger: Ledger) -> list[Seat]:
    """Idle or not: those of workers that stay, and whose node is in no quarantine."""
    seats, _ = divided(ledger)
    return seats


def divided(ledger: Ledger) -> tuple[list[Seat], list[Seat]]:
    """The open seats, and those of workers that stay on a node in quarantine."""
    seats: list[Seat] = []
    shut: list[Seat] = []
    for worker in ledger.workers.values():
        if not worker.leaving:
            fit = ledger.quarantine(worker) is None
            (seats if fit else shut).extend(ledger.seats_of(worker.id))
    return seats, shut


def shy(ledger: Ledger) -> Mapping[JobId, Avoided]:
    """The waiting jobs that ended badly anywhere, and where."""
    return avoided(ledger.nodes.values(), ledger.backlog.ids(), now=ledger.wall())
