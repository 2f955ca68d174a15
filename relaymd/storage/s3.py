"""A store in S3, or in a service that speaks like it. The only module that imports aioboto3.

Objects may be read through another endpoint than the one they are written to (a cache in front
of a service whose traffic costs), with a bearer token in place of a signature. What that
endpoint says is missing is asked for once more where it was written.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# aioboto3 has no types; nothing of it leaves this module.

import asyncio
import os
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import aioboto3  # type: ignore[import-untyped]  # it has no types
from botocore import UNSIGNED  # type: ignore[import-untyped]  # it has no types
from botocore.config import Config  # type: ignore[import-untyped]  # it has no types
from botocore.exceptions import (  # type: ignore[import-untyped]  # it has no types
    BotoCoreError,
    ClientError,
)

from relaymd.config import StorageConfig
from relaymd.core.ids import UnixTime
from relaymd.process import Offload
from relaymd.storage.parallel import AT_ONCE, each
from relaymd.storage.patience import Patience
from relaymd.storage.s3_requests import Requests, status
from relaymd.storage.store import (
    ChangedFileError,
    MissingObjectError,
    ObjectInfo,
    StorageDeniedError,
    StorageError,
)

T = TypeVar("T")

PART = 8 * 1024 * 1024
"""Bytes. What is larger goes up in parts of at least this size, a few at a time."""

MOST_PARTS = 10_000
PARTS_AT_ONCE = 4
CONNECT_WITHIN = 10.0
SILENT_FOR = 60.0
"""Seconds without a byte after which an answer is given up."""

ABORT_WITHIN = 10.0


@asynccontextmanager
async def open_s3(
    config: StorageConfig, *, offload: Offload, patience: Patience
) -> AsyncGenerator["S3Store"]:
    """Connect lazily: nothing is asked before the first call. Raises StorageDeniedError."""
    if not config.bucket:
        raise StorageDeniedError("storage", "storage.bucket is not set")
    session = aioboto3.Session()
    async with AsyncExitStack() as stack:
        try:
            client = _client(session, config, config.endpoint, unsigned=False)
            write = read = await stack.enter_async_context(client)
            if config.read_endpoint:
                token = config.read_token
                client = _client(session, config, config.read_endpoint, unsigned=bool(token))
                read = await stack.enter_async_context(client)
                if token:
                    _send_token(read, token)
        except (BotoCoreError, ValueError) as exc:
            raise StorageDeniedError("storage", str(exc)) from exc
        service = Requests(write, config.bucket, patience)
        yield S3Store(write, read, config.prefix, service, offload)


class S3Store:
    """Errors of the caller's own files stay OSError: they are not the store's."""

    def __init__(
        self, write: Any, read: Any, prefix: str, service: Requests, offload: Offload
    ) -> None:
        self._write = write
        self._read = read
        self._prefix = prefix
        self._service = service
        self._offload = offload

    async def put(self, key: str, data: bytes) -> None:
        await self._service.asked(key, lambda s3: s3.put_object(**self._at(key), Body=data))

    async def put_file(self, key: str, path: Path) -> None:
        size = (await self._offload(os.stat, path)).st_size
        if size <= PART:
            await self.put(key, await self._offload(path.read_bytes))
        else:
            await self._service.retry(lambda: self._put_parts(key, path, size))

    async def get(self, key: str) -> bytes:
        async def fetch(s3: Any) -> bytes:
            body = (await s3.get_object(**self._at(key)))["Body"]
            async with body:
                return bytes(await body.read())

        return await self._read_somewhere(key, fetch)

    async def get_file(self, key: str, path: Path) -> None:
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")

        async def fetch(s3: Any) -> None:
            body = (await s3.get_object(**self._at(key)))["Body"]
            async with body:
                await self._offload(part.write_bytes, b"")
                while piece := await body.read(PART):
                    await self._offload(_append, part, piece)

        try:
            await self._read_somewhere(key, fetch)
            await self._offload(os.replace, part, path)
        finally:
            await self._offload(part.unlink, missing_ok=True)

    async def head(self, key: str) -> ObjectInfo | None:
        async def look(s3: Any) -> Any:
            try:
                return await s3.head_object(**self._at(key))
            except ClientError as exc:
                if status(exc) != 404:
                    raise
            # An answer without a body cannot say whether object or bucket is missing.
            answer = await s3.get_object(**self._at(key))
            answer["Body"].close()
            return answer

        async def told(s3: Any) -> ObjectInfo:
            answer = await look(s3)
            return _info(key, answer["ContentLength"], answer["LastModified"])

        try:
            return await self._service.asked(key, told)
        except MissingObjectError:
            return None

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        where = {"Bucket": self._service.bucket, "Prefix": self._prefix + prefix}
        more = True

        async def ask(s3: Any) -> Any:
            page = await s3.list_objects_v2(**where)
            return page, [
                _info(one["Key"].removeprefix(self._prefix), one["Size"], one["LastModified"])
                for one in page.get("Contents", ())
            ]

        while more:
            page, objects = await self._service.asked(prefix, ask)
            for found in objects:
                yield found
            more = bool(page.get("IsTruncated"))
            where["ContinuationToken"] = page.get("NextContinuationToken", "")

    async def delete(self, keys: Iterable[str]) -> None:
        async def remove(key: str) -> None:
            with suppress(MissingObjectError):
                await self._service.asked(key, lambda s3: s3.delete_object(**self._at(key)))

        await each(keys, remove)

    async def close(self) -> None:
        """The connections belong to `open_s3`."""

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._service.bucket, "Key": self._prefix + key}

    async def _put_parts(self, key: str, path: Path, size: int) -> None:
        begun = await self._service.asked(
            key, lambda s3: s3.create_multipart_upload(**self._at(key))
        )
        upload = {**self._at(key), "UploadId": begun["UploadId"]}
        step = max(PART, -(-size // MOST_PARTS))

        async def send(part: tuple[int, int]) -> dict[str, Any]:
            number, offset = part
            data = await self._offload(_read_part, path, offset, min(step, size - offset))
            answer = await self._service.asked(
                key, lambda s3: s3.upload_part(**upload, PartNumber=number, Body=data)
            )
            return {"PartNumber": number, "ETag": answer["ETag"]}

        try:
            parts = enumerate(range(0, size, step), 1)
            whole = {"Parts": await each(parts, send, at_once=PARTS_AT_ONCE)}
            await self._service.asked(
                key, lambda s3: s3.complete_multipart_upload(**upload, MultipartUpload=whole)
            )
        except BaseException:
            await self._abort(key, upload)
            raise

    async def _abort(self, key: str, upload: dict[str, str]) -> None:
        """Free what the parts take. Where that fails, the bucket's life-cycle rule must."""
        with suppress(StorageError, TimeoutError):
            async with asyncio.timeout(ABORT_WITHIN):
                await self._service.once(
                    key, self._write, lambda s3: s3.abort_multipart_upload(**upload)
                )

    async def _read_somewhere(self, key: str, fetch: Callable[[Any], Awaitable[T]]) -> T:
        """Ask the endpoint for reads; what it does not find may still be where it was written."""

        async def fetch_near(s3: Any) -> T:
            try:
                return await fetch(s3)
            except ClientError as exc:
                if status(exc) == 404:
                    raise MissingObjectError(key) from None
                raise

        if self._read is not self._write:
            with suppress(MissingObjectError):
                return await self._service.asked(key, fetch_near, self._read)
        return await self._service.asked(key, fetch)


def _client(session: Any, config: StorageConfig, endpoint: str | None, *, unsigned: bool) -> Any:
    return session.client(
        "s3",
        endpoint_url=endpoint,
        region_name=config.region or ("us-east-1" if endpoint else None),
        aws_access_key_id=config.access_key_id,
        aws_secret_access_key=config.secret_access_key,
        config=Config(
            signature_version=UNSIGNED if unsigned else None,
            connect_timeout=CONNECT_WITHIN,
            read_timeout=SILENT_FOR,
            max_pool_connections=2 * AT_ONCE,
            retries={"total_max_attempts": 1},  # we do it ourselves, and know what heals
            # Services that are like S3 do not know its newest checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if endpoint else "auto"},
        ),
    )


def _send_token(client: Any, token: str) -> None:
    def add(params: dict[str, Any], **_: object) -> None:
        params["headers"]["Authorization"] = f"Bearer {token}"

    client.meta.events.register("before-call.s3", add)


def _info(key: str, size: int, modified: datetime) -> ObjectInfo:
    return ObjectInfo(key=key, size=size, modified=UnixTime(modified.timestamp()))


def _append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def _read_part(path: Path, offset: int, size: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) != size:
        raise ChangedFileError(f"{path} became shorter while it was stored")
    return data
