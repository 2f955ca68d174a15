"""Logs: one JSON object a line on stderr, or, for a developer, lines that are nice to read.

Only processes set this up, once, at their edge. Modules say `log = structlog.get_logger()`.
Output that a person asked for is not a log and does not come here.
"""

import logging
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASK = "********"

SECRET_NAMES = ("password", "passwd", "secret", "token", "access_key", "authorization")
"""A value whose key contains one of these is never written."""

QUIET = ("asyncio", "aiosqlite", "boto3", "botocore", "aiobotocore", "urllib3", "aiohttp.access")
"""Libraries that are heard from `warning` on, whatever our own level is."""


@contextmanager
def into(file: Path, process: str, *, level: str, environ: Mapping[str, str]) -> Generator[None]:
    """Send logs to a file as long as the block lasts: stderr is for a person there."""
    with file.open("a") as stream:
        set_up(process, level=level, environ=environ, stream=stream)
        try:
            yield
        finally:
            logging.basicConfig(handlers=[logging.NullHandler()], force=True)


def set_up(
    process: str,
    *,
    level: str = "info",
    environ: Mapping[str, str],
    secrets: Iterable[str | None] = (),
    stream: TextIO | None = None,
) -> None:
    """Send everything this process logs, libraries included, to stderr.

    process: names it in each line. secrets: values that must not appear, wherever they come
    from; they are cut out of the finished line.
    """
    development = environ.get("RELAYMD_ENV") == "development"
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        _Masked(
            foreign_pre_chain=_shared(process),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_for_people(out) if development else _for_machines()),
            ],
            secrets=secrets,
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(process),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


class _Masked(structlog.stdlib.ProcessorFormatter):
    """Renders a record, then cuts the known secrets out of what it rendered."""

    def __init__(
        self,
        *,
        foreign_pre_chain: list[Processor],
        processors: list[Processor],
        secrets: Iterable[str | None],
    ) -> None:
        super().__init__(processors=processors, foreign_pre_chain=foreign_pre_chain)
        self._secrets = sorted({s for s in secrets if s}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        for secret in self._secrets:
            line = line.replace(secret, MASK)
        return line


def _shared(process: str) -> list[Processor]:
    def name_process(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("process", process)
        return event

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_process,
        structlog.stdlib.PositionalArgumentsFormatter(),
        _mask_named,
    ]


def _for_people(out: TextIO) -> list[Processor]:
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain)]


def _for_machines() -> list[Processor]:
    """Tracebacks as text without the values of variables: these may be secrets."""
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _mask_named(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if value is not None and any(name in key.lower() for name in SECRET_NAMES):
            event[key] = MASK
    return event
