"""Noise on every subject and every route while a job runs: nobody falls, and the job completes."""

# pyright: reportUnknownMemberType=false
# nats-py has types in part only.

import json
import os
import random
from pathlib import Path
from typing import Any

import nats
import pytest
from aiohttp import ClientSession
from nats.aio.client import Client

from relaymd.connection import Role, read_connection, read_credentials
from tests.bus.samples import requests, samples
from tests.engines.verify import problems
from tests.hostile.payloads import generator, payloads
from tests.system.bundles import LONG, LongRun
from tests.system.stack import Stack

pytestmark = pytest.mark.system

EACH = int(os.environ.get("RELAYMD_FUZZ_CASES", "60"))
"""Payloads for each subject and each route."""

ROUTES = (
    ("GET", "/api/v1/jobs"),
    ("POST", "/api/v1/jobs"),
    ("GET", "/api/v1/jobs/{id}"),
    ("POST", "/api/v1/jobs/{id}/cancel"),
    ("POST", "/api/v1/jobs/{id}/requeue"),
    ("GET", "/api/v1/workers"),
    ("GET", "/api/v1/status"),
    ("PUT", "/api/v1/events"),
    ("GET", "/healthz"),
    ("POST", "/"),
    ("DELETE", "/nowhere"),
)
WORDS = ("", "..", "%2e%2e", "j" * 2000, "j-2%00", "%ff%fe", "a b", "ä", "*", ">", "j.2", "1'--")


async def test_fuzzed_bytes_on_every_subject_and_route_end_nobody(
    stack: Stack, tmp_path: Path
) -> None:
    run = LongRun(tmp_path / "b")
    job = await stack.submit(run.bundle, "--title", "fuzzed")
    await stack.until_event(job, "checkpointed")
    worker = (await stack.worker_of(job))["id"]
    before = {name: stack.children(name) for name in ("relaymd.actors", "relaymd.web")}
    rng = generator("stack")
    await fuzz_subjects(stack, rng, job, worker)
    await fuzz_routes(stack, rng)
    actors = (await stack.status())["actors"]
    assert [actor for actor in actors if actor.get("restarts")] == []
    assert before == {name: stack.children(name) for name in before}
    run.let_go()
    await stack.until_state(job, "completed", within=90)
    assert len((await stack.show(job))["segments"]) == 1, "noise ended a segment"
    await stack.cli("jobs", "fetch", job, "--to", tmp_path / "out")
    assert problems(tmp_path / "out" / "ledger.txt", LONG) == []


async def connected(stack: Stack, role: Role) -> Client:
    return await nats.connect(
        read_connection(stack.state).nats_url,
        user=role,
        password=read_credentials(stack.state).passwords[role],
        inbox_prefix=f"_INBOX.{role}".encode(),
    )


async def fuzz_subjects(stack: Stack, rng: random.Random, job: str, worker: str) -> None:
    """Also under the names of the job that runs and the worker that runs it."""
    for role, prefix in ((Role.WORKER, "relaymd.worker."), (Role.OPERATOR, "relaymd.operator.")):
        client = await connected(stack, role)
        inbox = client.new_inbox()
        for row in requests().values():
            if not row.template.startswith(prefix):
                continue
            sample = samples(row.carries)[0]
            subject = row.template.format(worker=worker, job=job, cluster="local")
            for data in payloads(rng, [sample], EACH):
                await client.publish(subject, data, reply=rng.choice([inbox, ""]))
                await client.publish(
                    row.template.format(worker="w-x", job="j-x", cluster="c-x"), data
                )
            await client.flush()
        assert client.is_connected
        await client.close()


async def fuzz_routes(stack: Stack, rng: random.Random) -> None:
    address = read_connection(stack.state).bridge_url
    token = read_credentials(stack.state).bridge_token
    async with ClientSession() as session:
        for method, route in ROUTES:
            for data in payloads(rng, [{"job": "j-2", "title": "t", "bundle": {}}], EACH):
                path = route.format(id=rng.choice(WORDS))
                query = f"?limit={rng.choice(WORDS)}&after={rng.choice(WORDS)}&state=x"
                headers = {
                    "Authorization": f"Bearer {token}",
                    "Last-Event-ID": rng.choice(["x", "9" * 30, "-1", "٣"]),
                }
                async with session.request(
                    method,
                    f"{address}{path}{query if rng.random() < 0.5 else ''}",
                    data=None if method == "GET" else data,
                    headers=headers,
                ) as answer:
                    body = await answer.read()
                    assert answer.status < 500, (method, path, data, body)
                    if answer.status >= 400:
                        said: Any = json.loads(body)
                        assert {"error", "message"} <= {*said}, (method, path, body)
