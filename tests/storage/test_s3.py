"""Against a real server; what it does not do by itself, a small HTTP server does."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from relaymd.config import StorageConfig, StorageKind
from relaymd.storage.patience import Patience
from relaymd.storage.restore import restore_newest
from relaymd.storage.s3 import PART, S3Store, open_s3
from relaymd.storage.store import (
    MissingObjectError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
)
from tests.storage.generation import HURRIED, JOB, save, tree, write
from tests.storage.s3_server import SECRET, S3Server, running

BRIEF = Patience(within=5.0, jitter=lambda: 0.0, first=0.001, longest=0.01)
TOKEN = "canary-read-token"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[S3Server]:
    with running(tmp_path_factory.mktemp("s3")) as server:
        (server.root / "bucket").mkdir()
        yield server


@pytest.fixture
async def s3(server: S3Server, request: pytest.FixtureRequest) -> AsyncGenerator[S3Store]:
    config = server.config("bucket", prefix=f"{request.node.name[:60]}/")
    async with open_s3(config, offload=asyncio.to_thread, patience=HURRIED) as store:
        yield store


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(handler: Handler) -> AsyncGenerator[str]:
    application = web.Application(client_max_size=PART * 4)
    application.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def at(url: str, **more: str) -> StorageConfig:
    return StorageConfig(
        kind=StorageKind.S3,
        bucket="bucket",
        endpoint=url,
        access_key_id="a",
        secret_access_key=SECRET,
        **more,
    )


def opened(
    config: StorageConfig, patience: Patience = HURRIED
) -> AbstractAsyncContextManager[S3Store]:
    return open_s3(config, offload=asyncio.to_thread, patience=patience)


def refusal(status: int, code: str, message: str = "") -> web.Response:
    text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")


async def test_what_is_put_is_there_and_listed_and_gone_when_deleted(s3: S3Store) -> None:
    for key in ("jobs/a/x", "jobs/a-b", "jobs/a/é ü", "other"):
        await s3.put(key, key.encode())
    assert [info.key async for info in s3.list("jobs/a")] == ["jobs/a-b", "jobs/a/x", "jobs/a/é ü"]
    assert await s3.get("jobs/a/é ü") == "jobs/a/é ü".encode()
    found = await s3.head("other")
    assert found is not None
    assert (found.key, found.size) == ("other", 5)
    await s3.delete(["other", "jobs/a-b", "never-was"])
    assert await s3.head("other") is None


async def test_a_listing_goes_on_beyond_one_page(s3: S3Store) -> None:
    names = [f"many/{n:04d}" for n in range(1050)]
    gate = asyncio.Semaphore(8)

    async def put(name: str) -> None:
        async with gate:
            await s3.put(name, b"")

    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(put(name))
    assert [info.key async for info in s3.list("many/")] == names


async def test_large_files_travel_in_parts_and_come_back_whole(s3: S3Store, tmp_path: Path) -> None:
    data = os.urandom(2 * PART + 12345)
    (tmp_path / "large").write_bytes(data)
    await s3.put_file("large", tmp_path / "large")
    await s3.get_file("large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data
    assert {path.name for path in tmp_path.iterdir()} == {"large", "back"}


async def test_a_checkpoint_makes_the_round_trip(s3: S3Store, tmp_path: Path) -> None:
    source = write(tmp_path / "work", {"a.chk": os.urandom(9_000_000), "sub/b": b"", "c": b"c"})
    saved = await save(s3, source, 1)
    restored = await restore_newest(s3, JOB, [saved], tmp_path / "new", patience=HURRIED)
    assert restored.generation == 1
    assert tree(tmp_path / "new") == tree(source)


async def test_a_missing_object_is_missing_and_leaves_no_file(s3: S3Store, tmp_path: Path) -> None:
    with pytest.raises(MissingObjectError):
        await s3.get("nothing")
    with pytest.raises(MissingObjectError):
        await s3.get_file("nothing", tmp_path / "file")
    assert await s3.head("nothing") is None
    assert not [*tmp_path.iterdir()]


async def test_a_missing_bucket_is_not_a_missing_object(server: S3Server) -> None:
    async with opened(server.config("nowhere")) as store:
        for call in (store.get("k"), store.head("k"), store.put("k", b"")):
            with pytest.raises(StorageDeniedError, match="bucket 'nowhere' does not exist"):
                await call
        with pytest.raises(StorageDeniedError, match="nowhere"):
            _ = [info async for info in store.list("")]


async def test_wrong_keys_are_denied_at_once_and_not_shown(server: S3Server) -> None:
    wrong = StorageConfig(
        kind=StorageKind.S3,
        bucket="bucket",
        endpoint=server.url,
        access_key_id="nobody",
        secret_access_key="canary-wrong",
    )
    async with opened(wrong, BRIEF) as store:
        with pytest.raises(StorageDeniedError) as caught:
            await store.get("k")
        with pytest.raises(StorageDeniedError):
            await store.head("k")
    assert "canary" not in str(caught.value)


async def test_no_server_is_out_of_reach() -> None:
    async with opened(at("http://127.0.0.1:9")) as store:
        for call in (store.get("k"), store.head("k"), store.put("k", b"")):
            with pytest.raises(StorageUnreachableError):
                await call


async def test_reads_go_to_their_endpoint_with_the_token_and_without_a_signature(
    server: S3Server,
) -> None:
    seen: list[tuple[str, str, str]] = []

    async def cache(request: web.Request) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        seen.append((request.method, request.path, authorization))
        if authorization != f"Bearer {TOKEN}":
            return refusal(403, "AccessDenied")
        path = server.root / request.path.lstrip("/")
        return web.Response(body=path.read_bytes()) if path.exists() else web.Response(status=404)

    async with answering(cache) as url:
        config = server.config("bucket", prefix="p/")
        near = msgspec.structs.replace(config, read_endpoint=url, read_token=TOKEN)
        async with opened(near) as store:
            await store.put("near", b"data")
            assert await store.get("near") == b"data"
            assert await store.head("near") is not None
    assert seen == [("GET", "/bucket/p/near", f"Bearer {TOKEN}")]


async def test_what_the_reading_endpoint_lacks_is_asked_for_where_it_was_written(
    server: S3Server, tmp_path: Path
) -> None:
    async def lagging(request: web.Request) -> web.Response:
        return web.Response(status=404, text="<html>not here")

    async with answering(lagging) as url:
        config = server.config("bucket", prefix="lag/")
        near = msgspec.structs.replace(config, read_endpoint=url, read_token=TOKEN)
        async with opened(near) as store:
            await store.put("k", b"data")
            assert await store.get("k") == b"data"
            await store.get_file("k", tmp_path / "k")
            with pytest.raises(MissingObjectError):
                await store.get("absent")


async def test_a_refused_token_is_denied_and_not_shown() -> None:
    async def refuse(request: web.Request) -> web.Response:
        return refusal(403, "AccessDenied", "no")

    async with answering(refuse) as url:
        config = at("http://127.0.0.1:9", read_endpoint=url, read_token=TOKEN)
        async with opened(config, BRIEF) as store:
            with pytest.raises(StorageDeniedError, match=url) as caught:
                await store.get("k")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, "AccessDenied", StorageDeniedError),
        (401, "Unauthorized", StorageDeniedError),
        (507, "InsufficientStorage", StorageFullError),
        (403, "QuotaExceeded", StorageFullError),
        (400, "InvalidRequest", StorageDeniedError),
    ],
)
async def test_what_time_does_not_heal_is_asked_once(
    status: int, code: str, error: type[StorageError]
) -> None:
    asked: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        asked.append(request.method)
        return refusal(status, code)

    async with answering(refuse) as url, opened(at(url), BRIEF) as store:
        with pytest.raises(error):
            await store.put("k", b"data")
    assert len(asked) == 1


async def test_a_redirect_in_a_circle_is_denied_and_no_crash() -> None:
    async def circle(request: web.Request) -> web.Response:
        return refusal(301, "PermanentRedirect")

    async with answering(circle) as url, opened(at(url)) as store:
        with pytest.raises(StorageDeniedError, match=r"redirect|301"):
            await store.put("k", b"data")


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "InternalError"), (503, "SlowDown"), (429, "TooManyRequests"), (502, "Bad")],
)
async def test_what_time_heals_is_asked_again(status: int, code: str) -> None:
    asked: list[str] = []

    async def recovering(request: web.Request) -> web.Response:
        asked.append(request.method)
        return refusal(status, code) if len(asked) < 4 else web.Response()

    async with answering(recovering) as url, opened(at(url), BRIEF) as store:
        await store.put("k", b"data")
    assert len(asked) == 4


@pytest.mark.parametrize("status", [403, 500])
async def test_a_head_that_is_refused_does_not_say_that_the_object_is_missing(status: int) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status)

    async with answering(refuse) as url, opened(at(url)) as store:
        with pytest.raises(StorageDeniedError if status == 403 else StorageUnreachableError):
            await store.head("k")


async def test_a_404_of_something_that_is_no_s3_is_no_missing_object() -> None:
    async def other(request: web.Request) -> web.Response:
        return web.Response(status=404, text="<html>wrong place")

    async with answering(other) as url, opened(at(url)) as store:
        for call in (store.get("k"), store.head("k")):
            with pytest.raises(StorageUnreachableError):
                await call


async def test_a_download_that_breaks_off_is_taken_up_again_and_never_left_half(
    tmp_path: Path,
) -> None:
    whole = os.urandom(300_000)
    asked: list[str] = []

    async def breaking(request: web.Request) -> web.StreamResponse:
        asked.append(request.method)
        if len(asked) > 2:
            return web.Response(body=whole)
        answer = web.StreamResponse(headers={"Content-Length": str(len(whole))})
        await answer.prepare(request)
        await answer.write(whole[:100_000])
        assert request.transport is not None
        request.transport.abort()
        return answer

    async with answering(breaking) as url:
        async with opened(at(url)) as store:
            with pytest.raises(StorageUnreachableError):
                await store.get_file("k", tmp_path / "k")
            assert not [*tmp_path.iterdir()]
        async with opened(at(url), BRIEF) as store:
            await store.get_file("k", tmp_path / "k")
    assert (tmp_path / "k").read_bytes() == whole


async def test_an_upload_in_parts_that_fails_is_aborted(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(2 * PART))
    asked: list[tuple[str, str]] = []

    async def failing(request: web.Request) -> web.Response:
        asked.append((request.method, request.query_string))
        if request.method == "POST":
            name = "InitiateMultipartUploadResult"
            text = f"<{name}><UploadId>7</UploadId></{name}>"
            return web.Response(text=text, content_type="application/xml")
        if request.method == "DELETE":
            return web.Response(status=204)
        await request.read()
        return refusal(403, "QuotaExceeded")

    async with answering(failing) as url, opened(at(url)) as store:
        with pytest.raises(StorageFullError):
            await store.put_file("k", tmp_path / "large")
    assert asked[-1] == ("DELETE", "uploadId=7")


async def test_a_full_disk_of_ours_is_not_the_stores_error(s3: S3Store) -> None:
    await s3.put("k", os.urandom(100_000))
    with pytest.raises(OSError, match=r"No space left|Not a directory|No such file"):
        await s3.get_file("k", Path("/dev/full/k"))
    with pytest.raises(FileNotFoundError):
        await s3.put_file("k", Path("/nonexistent/file"))
