"""Salad Cloud's public HTTP API, as far as a container group needs it.

Routes, fields and states are those of Salad's OpenAPI document, version 0.9.
"""

import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Annotated, TypeVar

import aiohttp
import msgspec
import structlog

from relaymd.actors.providers.provider import ProviderError, ProviderRefusedError
from relaymd.actors.providers.salad_pace import SHORT, Pace
from relaymd.core.clusters import SaladConfig
from relaymd.core.replicas import Instance, InstanceState
from relaymd.core.strict import decode_json
from relaymd.version import version

log = structlog.get_logger(__name__)

LONGEST = 4 * 2**20
"""Bytes of an answer."""

TRIES = 3
MERGE_PATCH = "application/merge-patch+json"
NOWHERE = "00000000-0000-0000-0000-000000000000"


class UnknownToSaladError(ProviderRefusedError):
    """There is no such group, or no such instance any more."""


Name = Annotated[str, msgspec.Meta(pattern=r"^([0-9A-Za-z][0-9A-Za-z_.:-]*)?$", max_length=200)]
"""Of an instance or a machine, as it may stand in an address and in the ledger."""


class GroupState(msgspec.Struct, frozen=True, kw_only=True):
    status: str
    """pending, deploying, running, stopped, succeeded, failed."""

    description: str | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    replicas: int
    current_state: GroupState


class _Instance(msgspec.Struct, frozen=True, kw_only=True):
    id: Name | None = None
    instance_id: Name | None = None
    """Its name in elder versions of the API."""

    machine_id: Name | None = None
    state: str
    deletion_cost: int | None = None


class _Instances(msgspec.Struct, frozen=True, kw_only=True):
    instances: list[_Instance]


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What comes with an error, by RFC 7807; sometimes an HTML page comes instead."""

    title: str | None = None
    detail: str | None = None


T = TypeVar("T")


class SaladApi:
    """One container group. Every method raises ProviderError, one sentence without secrets."""

    def __init__(
        self, session: aiohttp.ClientSession, config: SaladConfig, *, rng: Callable[[], float]
    ) -> None:
        self._session = session
        self._within = config.request_seconds
        self._name = f"{config.organization}/{config.project}/{config.container_group}"
        self._url = (
            f"{config.api_url.rstrip('/')}/organizations/{config.organization}"
            f"/projects/{config.project}/containers/{config.container_group}"
        )
        self._pace = Pace(rng)

    async def group(self) -> Group:
        found = _read(await self._ask("GET", ""), Group)
        state = found.current_state
        told = msgspec.structs.replace(state, description=_line(state.description))
        return msgspec.structs.replace(found, current_state=told)

    async def instances(self) -> list[Instance]:
        found = _read(await self._ask("GET", "/instances"), _Instances).instances
        return [_instance(one) for one in found]

    async def scale(self, replicas: int) -> None:
        log.info("salad.scaled", replicas=replicas)
        await self._ask("PATCH", "", {"replicas": replicas})

    async def start(self) -> None:
        """Let a group that was stopped run. Again is once."""
        log.info("salad.started")
        await self._ask("POST", "/start")

    async def price(self, instance: str, deletion_cost: int) -> None:
        """The cheapest go first when the group is told fewer replicas."""
        await self._ask("PATCH", f"/instances/{instance}", {"deletion_cost": deletion_cost})

    async def reallocate(self, instance: str) -> None:
        """Not repeated: another of the same place may be there already."""
        log.info("salad.reallocated", instance=instance)
        await self._ask("POST", f"/instances/{instance}/reallocate", tries=1)

    async def _ask(
        self, method: str, path: str, body: object = None, *, tries: int = TRIES
    ) -> bytes:
        while True:
            await self._pace.turn()
            tries -= 1
            try:
                return await self._ask_once(method, path, body)
            except ProviderRefusedError:
                raise
            except ProviderError:
                if tries == 0 or self._pace.rest > SHORT:
                    raise

    async def _ask_once(self, method: str, path: str, body: object) -> bytes:
        headers = {} if body is None else {"Content-Type": MERGE_PATCH}
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with self._session.request(
                method, f"{self._url}{path}", data=data, headers=headers, allow_redirects=False
            ) as answer:
                content = await _all_of(answer)
        except TimeoutError:
            raise self._pace.failed(f"Salad did not answer within {self._within:g} s") from None
        except (aiohttp.ClientError, OSError) as exc:
            reason = getattr(exc, "strerror", None) or type(exc).__name__
            raise self._pace.failed(f"Salad was not reached: {reason}") from None
        if answer.status // 100 != 2:
            raise self._refused(answer, content)
        self._pace.fine()
        return content

    def _refused(self, answer: aiohttp.ClientResponse, content: bytes) -> ProviderError:
        said = _said(content)
        wants = _retry_after(answer.headers.get("Retry-After", ""))
        match answer.status:
            case HTTPStatus.TOO_MANY_REQUESTS:
                return self._pace.failed("Salad has had too many requests", wants)
            case HTTPStatus.UNAUTHORIZED:
                text = "Salad does not know our API key (salad.api_key)"
                return ProviderRefusedError(text, retry_after=self._pace.failed(text).retry_after)
            case HTTPStatus.FORBIDDEN:
                return ProviderRefusedError(f"Salad forbids it for {self._name}{said}")
            case HTTPStatus.NOT_FOUND:
                return UnknownToSaladError(f"Salad does not have it, for {self._name}{said}")
            case status if status >= 500:
                return self._pace.failed(f"Salad is in trouble ({status}){said}", wants)
            case status:
                return ProviderRefusedError(f"Salad refuses ({status}){said}")


async def _all_of(answer: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for piece in answer.content.iter_any():
        content += piece
        if len(content) > LONGEST:
            raise ProviderError(f"Salad answered more than {LONGEST} bytes")
    return bytes(content)


@asynccontextmanager
async def opened(
    config: SaladConfig, *, rng: Callable[[], float] = random.random
) -> AsyncGenerator[SaladApi]:
    """The API, for the length of the block."""
    headers = {
        "Salad-Api-Key": config.api_key or "",
        "Accept": "application/json",
        "User-Agent": f"relaymd/{version()}",
    }
    within = aiohttp.ClientTimeout(total=config.request_seconds)
    async with aiohttp.ClientSession(headers=headers, timeout=within, trust_env=True) as session:
        yield SaladApi(session, config, rng=rng)


def _instance(said: _Instance) -> Instance:
    known = {str(state) for state in InstanceState}
    machine = said.machine_id or ""
    return Instance(
        id=said.id or said.instance_id or "",
        machine="" if machine == NOWHERE else machine,
        state=InstanceState(said.state if said.state in known else "other"),
        deletion_cost=said.deletion_cost or 0,
    )


def _read(content: bytes, kind: type[T]) -> T:
    try:
        return decode_json(content, kind)
    except msgspec.DecodeError as exc:
        raise ProviderError(f"Salad answered what we do not understand: {exc}") from None


def _said(content: bytes) -> str:
    """What an error says, as the end of a sentence."""
    try:
        problem = decode_json(content, _Problem)
    except msgspec.DecodeError:
        return ""
    text = _line(problem.detail or problem.title)
    return f": {text}" if text else ""


def _line(text: str | None) -> str:
    """What Salad says in its own words, as a part of a sentence of ours."""
    return " ".join((text or "").split())[:200]


def _retry_after(text: str) -> float | None:
    """Seconds, or a date, as HTTP has it."""
    if (seconds := text.strip()).isdecimal():
        return float(seconds)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None
