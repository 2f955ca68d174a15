"""What can go wrong at the command line: one sentence and one exit code each, no traceback."""

from relaymd.bus.bus import (
    BusError,
    NoAnswerError,
    NoResponderError,
    RefusedError,
    UnreachableError,
)
from relaymd.bus.messages import RefusalCode
from relaymd.connection import NoStackError
from relaymd.core.strict import InvalidDocumentError
from relaymd.settings import InvalidConfigError
from relaymd.storage.bundles import InvalidBundleError
from relaymd.storage.store import StorageError

FAILED = 1
USAGE = 2
"""Wrong input: an argument, a folder, a configuration."""

UNREACHABLE = 3
"""No stack, no server, or nobody behind it answers."""

REFUSED = 4
"""The orchestrator will not do it, and says why."""

INTERRUPTED = 130


class CommandError(Exception):
    """Ends the command with one sentence on stderr."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


WORLD = (
    CommandError,
    BusError,
    StorageError,
    NoStackError,
    InvalidBundleError,
    InvalidConfigError,
    InvalidDocumentError,
    ModuleNotFoundError,
    OSError,
)
"""Everything that is not our own mistake."""


def explained(exc: Exception) -> tuple[str, int]:
    """The sentence and the exit code for one of `WORLD`."""
    match exc:
        case CommandError():
            return str(exc), exc.code
        case RefusedError(refusal=refusal) if refusal.error is RefusalCode.UNAVAILABLE:
            return f"The orchestrator cannot do it now: {refusal.message}", UNREACHABLE
        case RefusedError(refusal=refusal) if refusal.error is RefusalCode.INVALID:
            return refusal.message, USAGE
        case RefusedError():
            return str(exc), REFUSED
        case NoResponderError():
            return "NATS is there, but no orchestrator answers behind it", UNREACHABLE
        case NoAnswerError():
            return "No answer in time; it may have been done, so look before asking again", (
                UNREACHABLE
            )
        case UnreachableError():
            return str(exc), UNREACHABLE
        case NoStackError():
            return f"{exc}; `relaymd up` starts one", UNREACHABLE
        case InvalidBundleError() | InvalidConfigError() | InvalidDocumentError():
            return str(exc), USAGE
        case StorageError():
            return f"Storage: {exc}", FAILED
        case ModuleNotFoundError(name=str(name)):
            return (
                f"this needs the package {name.partition('.')[0]}, which is not installed",
                FAILED,
            )
        case OSError(filename=str(name), strerror=str(reason)):
            return f"{name}: {reason}", FAILED
        case _:
            return str(exc) or type(exc).__name__, FAILED
