"""A service that answers anything where S3 should be: only the store's errors come of it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from relaymd.config import StorageConfig, StorageKind
from relaymd.storage.patience import Patience
from relaymd.storage.s3 import open_s3
from relaymd.storage.store import StorageError, Store
from tests.hostile.decoders import in_place
from tests.hostile.payloads import CASES, SEED, TOKENS, check_sentence, generator, spoiled

pytestmark = pytest.mark.hostile

XML = b'<?xml version="1.0" encoding="UTF-8"?>\n'
ERROR = XML + b"<Error><Code>%s</Code><Message>gone</Message><Key>k</Key></Error>"
LISTED = XML + (
    b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
    b"<Prefix></Prefix><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>"
    b"<Contents><Key>k</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
    b'<ETag>"x"</ETag><Size>5</Size></Contents></ListBucketResult>'
)
BOMB = XML + b'<!DOCTYPE e [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Error><Code>&b;</Code></Error>'
BODIES = (
    b"", b"hello", LISTED, ERROR % b"NoSuchKey", ERROR % b"SlowDown", ERROR % b"\xff", BOMB,
    LISTED.replace(b">5<", b">" + b"9" * 5000 + b"<"), LISTED.replace(b">5<", b">-5<"),
    LISTED.replace(b"2026-01", b"2026-99"), LISTED.replace(b"2026", b"99999"), b"<a>" * 3000,
    LISTED.replace(b"<Key>k</Key>", b""), LISTED.replace(b">5<", b">x<"), b"<html>no</html>",
)  # fmt: skip
STATUSES = (b"200 OK",) * 6 + (
    b"404 Not Found", b"403 No", b"500 X", b"503 Slow", b"301 Moved", b"100 Continue", b"204 None",
    b"999 X", b"20 X", b"OK", b"-1 X",
)  # fmt: skip
LINES = (
    b"ETag: %s", b"Last-Modified: %s", b"Content-Length: %s", b"Location: %s", b"x-amz-%s: 1",
    b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"x-amz-request-id: %s", b"%s",
    b"Content-Type: %s", b"x-amz-bucket-region: %s", b"Date: %s",
)  # fmt: skip


def answer(rng: Random) -> bytes:
    body = rng.choice(BODIES)
    if rng.random() < 0.4:
        body = spoiled(rng, body)
    lines = [
        b"HTTP/1.1 " + rng.choice(STATUSES),
        b"Content-Length: %d" % len(body),
        b'ETag: "x"',
        b"Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT",
    ]
    if rng.random() < 0.4:
        line = rng.choice(LINES).replace(b"%s", rng.choice(TOKENS))
        lines.insert(rng.randrange(1, len(lines) + 1), line)
    head = b"\r\n".join(lines)
    if rng.random() < 0.1:
        head = spoiled(rng, head)
    return head + b"\r\n\r\n" + body


@asynccontextmanager
async def liar(rng: Random) -> AsyncGenerator[int]:
    """A server of that port, which hangs up after each answer."""

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"100-continue" in head:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            size = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
            await reader.readexactly(int(size or b"0"))
            writer.write(answer(rng))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def listed(store: Store) -> None:
    async for info in store.list(""):
        assert info.key is not None


async def test_no_answer_of_a_store_is_an_error_that_nobody_declared(tmp_path: Path) -> None:
    rng = generator("s3")
    refused = 0
    async with liar(rng) as port:
        config = StorageConfig(
            kind=StorageKind.S3,
            bucket="b",
            endpoint=f"http://127.0.0.1:{port}",
            access_key_id="a",
            secret_access_key="s",
        )
        patience = Patience(within=0.0, jitter=lambda: 0.0)
        async with open_s3(config, offload=in_place, patience=patience) as store:
            works: tuple[Callable[[], Awaitable[object]], ...] = (
                lambda: store.get("k"),
                lambda: store.head("k"),
                lambda: store.put("k", b"x"),
                lambda: store.get_file("k", tmp_path / "k"),
                lambda: store.delete(["k"]),
                lambda: listed(store),
            )
            for number in range(CASES):
                try:
                    try:
                        async with asyncio.timeout(5):
                            await works[number % len(works)]()
                    except StorageError as exc:
                        refused += 1
                        check_sentence(str(exc))
                except BaseException as exc:
                    exc.add_note(f"case {number} of RELAYMD_FUZZ_SEED={SEED}")
                    raise
    assert CASES / 5 < refused < CASES
