"""Brings a database to the newest version of the tables, or says why it cannot."""

from collections.abc import Sequence

from relaymd.actors.disk import DatabaseError
from relaymd.actors.migrations import MIGRATIONS
from relaymd.actors.tables import Session

APPLICATION = 0x52_4D_44_31
"""`RMD1` in the file's header: this database is ours."""


async def migrate(session: Session, steps: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Run what is missing, each version in one transaction. Raises DatabaseError, DiskError."""
    version = await _number(session, "PRAGMA user_version")
    application = await _number(session, "PRAGMA application_id")
    if application != APPLICATION:
        tables = await _number(session, "SELECT count(*) FROM sqlite_schema")
        if application or version or tables:
            raise DatabaseError("is a database of another program")
    if version > len(steps):
        raise DatabaseError(
            f"was written by a newer RelayMD (its version is {version}, this program knows "
            f"{len(steps)}): install that one"
        )
    for number, statements in enumerate(steps[version:], start=version + 1):
        marks = (f"PRAGMA application_id = {APPLICATION}", f"PRAGMA user_version = {number}")
        await session.migrate([*statements, *marks])


async def _number(session: Session, sql: str) -> int:
    return int((await session.read(sql))[0][0])
