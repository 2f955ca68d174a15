"""Asking an S3 service: a few requests at a time, again where time heals, errors told apart."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# botocore has no types.

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import aiohttp
from botocore.exceptions import (  # type: ignore[import-untyped]  # it has no types
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
)

from relaymd.storage.parallel import AT_ONCE
from relaymd.storage.patience import Patience, retrying
from relaymd.storage.s3_answers import explained
from relaymd.storage.store import StorageDeniedError, StorageUnreachableError

T = TypeVar("T")

_SETTINGS = (NoCredentialsError, PartialCredentialsError, NoRegionError, ParamValidationError)


_SENSELESS = (ValueError, LookupError, TypeError, AttributeError, OverflowError)
"""What botocore lets through of an answer with numbers, dates or fields that are none."""


class Requests:
    """What is common to all requests about one bucket."""

    def __init__(self, client: Any, bucket: str, patience: Patience) -> None:
        self.bucket = bucket
        self._client = client
        self._patience = patience
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def retry(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await the work until it is done or patience ends."""
        return await retrying(work, self._patience)

    async def asked(self, key: str, call: Callable[[Any], Awaitable[T]], client: Any = None) -> T:
        s3 = client or self._client
        return await retrying(lambda: self.once(key, s3, call), self._patience)

    async def once(self, key: str, s3: Any, call: Callable[[Any], Awaitable[T]]) -> T:
        async with self._slots:
            with self._answering(key, str(s3.meta.endpoint_url)):
                return await call(s3)

    @contextmanager
    def _answering(self, key: str, endpoint: str) -> Generator[None]:
        """Turn the errors of the libraries into the store's."""
        try:
            yield
        except ClientError as exc:
            message = f"{_said(exc, 'Message')} (from {endpoint})"
            code = _said(exc, "Code")
            raise explained(
                key, self.bucket, status=status(exc), code=code, message=message
            ) from exc
        except _SETTINGS as exc:
            raise StorageDeniedError(key, _text(exc)) from exc
        except RecursionError as exc:  # botocore asks the same address where a redirect leads
            reason = f"{endpoint} redirects us in a circle; is the region right?"
            raise StorageDeniedError(key, reason) from exc
        except (BotoCoreError, aiohttp.ClientError, ConnectionError, TimeoutError) as exc:
            raise StorageUnreachableError(key, _text(exc)) from exc
        except _SENSELESS as exc:
            reason = f"{endpoint} answers what nobody understands: {_text(exc)}"
            raise StorageUnreachableError(key, reason) from exc


def status(exc: Any) -> int:
    """Of the answer that a ClientError reports; 0 where there was none."""
    return int(exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _said(exc: Any, what: str) -> str:
    return _plain(str(exc.response.get("Error", {}).get(what, "")))


def _text(exc: Any) -> str:
    return _plain(str(exc)) or type(exc).__name__


def _plain(text: str) -> str:
    """On one line, and no longer than a person reads."""
    return " ".join(text.encode(errors="replace").decode().split())[:500]
