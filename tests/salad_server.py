"""Salad Cloud, simulated: its documented API over real HTTP, with real processes as containers.

One container group. It starts machines with the delays it is given, starts the container again
when it ends, puts another machine in the place of a lost one, and takes away the cheapest when it
is told fewer replicas. It can be told to refuse, to storm, to be silent, to be down.
"""

import asyncio
import contextlib
import os
import signal
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

ORGANIZATION, PROJECT, GROUP = "acme", "md", "workers"
KEY = "canary-salad-key-5f1c"
NOWHERE = "00000000-0000-0000-0000-000000000000"
PER_MINUTE = 240
BASE = "/api/public/organizations/{organization}/projects/{project}/containers/{group}"


@dataclass
class Container:
    """What a group runs, and how long things take. Seconds."""

    command: Sequence[str] | None = None
    """None: instances without processes."""

    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    folder: Path | None = None
    starts: float = 0.02
    """In each of allocating, downloading and creating."""

    stops_in: float = 0.02
    """Until the word that it is to stop has reached the machine."""

    grace: float = 10.0
    """Between SIGTERM and SIGKILL."""

    again: float = 0.3
    """Between the end of a container and its next start."""


@dataclass
class Instance:
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    machine: str = field(default_factory=lambda: str(uuid.uuid4()))
    state: str = "allocating"
    deletion_cost: int = 0
    born: float = field(default_factory=time.monotonic)
    process: asyncio.subprocess.Process | None = None
    life: asyncio.Task[None] | None = None
    starts: int = 0

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "machine_id": NOWHERE if self.state == "allocating" else self.machine,
            "state": self.state,
            "update_time": datetime.now(UTC).isoformat(),
            "version": 1,
            "ready": self.state == "running",
            "started": self.state == "running",
            "deletion_cost": self.deletion_cost,
        }


class SaladServer:
    def __init__(self, container: Container) -> None:
        self.container = container
        self.replicas = 0
        self.status = "stopped"
        self.description: str | None = None
        self.instances: list[Instance] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.started: list[Instance] = []
        """Every instance that ever ran."""

        self.url = ""
        self.down = False
        self.mute = False
        self.storm = 0
        """So many requests are answered 429."""

        self.retry_after = "1"
        self.refuses_scaling = ""
        self.contrary = False
        """It takes the dearest away."""

        self._recent: deque[float] = deque()
        self._tasks = asyncio.TaskGroup()

    @property
    def running(self) -> list[Instance]:
        return [one for one in self.instances if one.state == "running"]

    def lose(self, instance: Instance) -> None:
        """Its owner wants to play: the machine is gone without a word."""
        self._remove(instance)
        self._reconcile()

    # -- the API ------------------------------------------------------------------------------

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._gate])
        app.add_routes(
            [
                web.get(BASE, self._get),
                web.patch(BASE, self._patch),
                web.post(f"{BASE}/start", self._start),
                web.post(f"{BASE}/stop", self._stop),
                web.get(f"{BASE}/instances", self._list),
                web.patch(f"{BASE}/instances/{{instance}}", self._cost),
                web.post(f"{BASE}/instances/{{instance}}/reallocate", self._reallocate),
            ]
        )
        return app

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        path = request.path.partition("/containers/")[2].partition("/")[2]
        self.requests.append((request.method, path, await request.text()))
        if self.mute:
            await asyncio.Event().wait()
        if self.down:
            return web.Response(
                status=503, text="<html>Bad Gateway</html>", content_type="text/html"
            )
        if self.storm > 0 or self._is_too_fast():
            self.storm -= 1
            return _problem(429, "Too Many Requests", {"Retry-After": self.retry_after})
        if request.headers.get("Salad-Api-Key") != KEY:
            return _problem(401, "Unauthorized")
        names = (ORGANIZATION, PROJECT, GROUP)
        info = request.match_info
        if (info.get("organization"), info.get("project"), info.get("group")) != names:
            return _problem(404, "Not Found")
        if request.method == "PATCH" and request.content_type != "application/merge-patch+json":
            return _problem(415, "Unsupported Media Type")
        return await handler(request)  # type: ignore[no-any-return]

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._shown())

    async def _patch(self, request: web.Request) -> web.Response:
        body = await request.json()
        replicas = body.get("replicas")
        if {*body} != {"replicas"} or not isinstance(replicas, int) or not 0 <= replicas <= 500:
            return _problem(400, "Bad Request")
        if self.refuses_scaling and replicas > self.replicas:
            return _problem(400, self.refuses_scaling)
        self.replicas = replicas
        self._reconcile()
        return web.json_response(self._shown())

    async def _start(self, request: web.Request) -> web.Response:
        if self.status == "stopped":
            self.status = "running"
            self._reconcile()
        return web.Response(status=202)

    async def _stop(self, request: web.Request) -> web.Response:
        self.status = "stopped"
        for one in [*self.instances]:
            self._let_go(one)
        return web.Response(status=202)

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"instances": [one.shown() for one in self.instances]})

    async def _cost(self, request: web.Request) -> web.Response:
        one = self._find(request)
        cost = (await request.json()).get("deletion_cost")
        if one is None:
            return _problem(404, "Not Found")
        if not isinstance(cost, int) or not 0 <= cost <= 100_000:
            return _problem(400, "Bad Request")
        one.deletion_cost = cost
        return web.json_response(one.shown())

    async def _reallocate(self, request: web.Request) -> web.Response:
        one = self._find(request)
        if one is None:
            return _problem(404, "Not Found")
        self._let_go(one)
        self._reconcile()
        return web.Response(status=202)

    def _find(self, request: web.Request) -> Instance | None:
        id = request.match_info["instance"]
        return next((one for one in self.instances if one.id == id), None)

    def _shown(self) -> dict[str, Any]:
        counts = {
            f"{state}_count": sum(one.state == state for one in self.instances)
            for state in ("allocating", "creating", "running", "stopping")
        }
        return {
            "id": "ab3a4591-efc3-46c0-b06a-3d820c0ec100",
            "name": GROUP,
            "replicas": self.replicas,
            "pending_change": False,
            "version": 1,
            "current_state": {
                "status": self.status,
                "description": self.description,
                "start_time": datetime.now(UTC).isoformat(),
                "instance_status_counts": counts,
            },
        }

    def _is_too_fast(self) -> bool:
        now = time.monotonic()
        while self._recent and now - self._recent[0] > 60:
            self._recent.popleft()
        self._recent.append(now)
        return len(self._recent) > PER_MINUTE

    # -- the machines -------------------------------------------------------------------------

    def _reconcile(self) -> None:
        if self.status != "running":
            return
        staying = [one for one in self.instances if one.state != "stopping"]
        for _ in range(self.replicas - len(staying)):
            one = Instance()
            self.instances.append(one)
            one.life = self._tasks.create_task(self._live(one))
        cheapest = sorted(
            staying, key=lambda one: (one.deletion_cost, -one.born), reverse=self.contrary
        )
        for one in cheapest[: max(len(staying) - self.replicas, 0)]:
            self._let_go(one)

    async def _live(self, one: Instance) -> None:
        for state in ("allocating", "downloading", "creating"):
            one.state = state
            await asyncio.sleep(self.container.starts)
        one.state = "running"
        self.started.append(one)
        if self.container.command is None:
            return
        while True:
            await self._run(one)
            await asyncio.sleep(self.container.again)

    async def _run(self, one: Instance) -> None:
        assert self.container.command is not None
        assert self.container.folder is not None
        home = self.container.folder / one.machine
        home.mkdir(parents=True, exist_ok=True)
        one.starts += 1
        with (home / "log").open("ab") as log:
            one.process = await asyncio.create_subprocess_exec(
                *self.container.command,
                env={
                    **self.container.environment,
                    "SALAD_MACHINE_ID": one.machine,
                    "SALAD_CONTAINER_GROUP_ID": "ab3a4591-efc3-46c0-b06a-3d820c0ec100",
                    "RELAYMD_STATE_DIR": str(home),
                },
                cwd=home,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        await one.process.wait()

    def _let_go(self, one: Instance) -> None:
        """SIGTERM, a while, SIGKILL, as whoever runs containers does."""
        if one.state == "stopping":
            return
        one.state = "stopping"
        self._tasks.create_task(self._end(one))

    async def _end(self, one: Instance) -> None:
        await asyncio.sleep(self.container.stops_in)
        if one.process is not None and one.process.returncode is None:
            _signal(one.process, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.container.grace):
                    await one.process.wait()
        self._remove(one)

    def _remove(self, one: Instance) -> None:
        if one in self.instances:
            self.instances.remove(one)
        if one.life is not None:
            one.life.cancel()
        if one.process is not None:
            _signal(one.process, signal.SIGKILL)

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator["SaladServer"]:
        runner = web.AppRunner(self.app(), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/api/public"
        try:
            async with self._tasks:
                try:
                    yield self
                finally:
                    self.status = "stopped"
                    for one in [*self.instances]:
                        self._remove(one)
        finally:
            await runner.cleanup()


def _problem(status: int, title: str, headers: Mapping[str, str] | None = None) -> web.Response:
    body = {"type": "about:blank", "title": title, "status": status, "detail": None}
    return web.json_response(
        body, status=status, headers=headers, content_type="application/problem+json"
    )


def _signal(process: asyncio.subprocess.Process, what: signal.Signals) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, what)
