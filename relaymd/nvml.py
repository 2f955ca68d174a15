"""NVIDIA's devices as NVML tells of them. The one module that speaks to it.

Every call may block for as long as the driver likes, for ever where it hangs: call them where
nobody waits without a limit (`relaymd.machine`).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar

import structlog

from relaymd.core.devices import Card, GpuLoad
from relaymd.core.resources import Gpu

# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false
# pyright: reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

log = structlog.get_logger(__name__)

T = TypeVar("T")

GB = 1e9


class DriverError(Exception):
    """There is no driver, or none that answers. The message is one sentence."""


class NoDriverError(DriverError):
    """This machine has no NVIDIA driver, or the library is not installed: it has no GPU of ours."""


def cards() -> tuple[Card, ...]:
    """All that the driver shows this process. A card that is broken is passed over and said.

    Raises DriverError.
    """
    nvml = _opened()
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as exc:
        raise DriverError(f"the NVIDIA driver counts no devices: {exc}") from None
    found: list[Card] = []
    for index in range(count):
        try:
            found.append(_card(nvml, index))
        except nvml.NVMLError as exc:
            log.warning("gpu.passed_over", index=index, reason=str(exc))
    return tuple(found)


def loads(uuids: Iterable[str]) -> tuple[GpuLoad, ...]:
    """How busy these devices are; one that the driver no longer knows is left out.

    Raises DriverError.
    """
    nvml = _opened()
    found: list[GpuLoad] = []
    for uuid in uuids:
        with suppress(nvml.NVMLError):
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
            memory = _unless_unsupported(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
            rates = _unless_unsupported(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
            busy = None if rates is None else rates.gpu / 100
            used = None if memory is None else round(memory.used / GB, 3)
            found.append(GpuLoad(uuid=uuid, busy=busy, used_gb=used))
    return tuple(found)


def _card(nvml: Any, index: int) -> Card:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    instances = tuple(_gpu(nvml, one) for one in _instances(nvml, handle))
    uuid = nvml.nvmlDeviceGetUUID(handle)
    if instances or _is_divided(nvml, handle):  # a card in MIG mode runs nothing by itself
        return Card(uuid=uuid, gpus=instances)
    return Card(uuid=uuid, gpus=(_gpu(nvml, handle),))


def _gpu(nvml: Any, handle: Any) -> Gpu:
    memory = _unless_unsupported(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    return Gpu(
        model=nvml.nvmlDeviceGetName(handle),
        vram_gb=0.0 if memory is None else round(memory.total / GB, 3),
        uuid=nvml.nvmlDeviceGetUUID(handle),
    )


def _is_divided(nvml: Any, handle: Any) -> bool:
    mode = _unless_unsupported(nvml, nvml.nvmlDeviceGetMigMode, handle)
    return mode is not None and mode[0] == nvml.NVML_DEVICE_MIG_ENABLE


def _instances(nvml: Any, handle: Any) -> Iterator[Any]:
    if not _is_divided(nvml, handle):
        return
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with suppress(nvml.NVMLError_NotFound):  # a place where no instance was made
            yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)


def _unless_unsupported(nvml: Any, ask: Callable[[Any], T], handle: Any) -> T | None:
    try:
        return ask(handle)
    except (
        nvml.NVMLError_NotSupported,
        nvml.NVMLError_FunctionNotFound,
        nvml.NVMLError_InvalidArgument,
    ):
        return None


@cache
def _opened() -> Any:
    """The library, connected to the driver once a process. Raises DriverError."""
    try:
        import pynvml  # here, because most machines have no use for its 8,000 lines
    except ImportError:
        raise NoDriverError("the package nvidia-ml-py is not installed") from None
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded) as exc:
        raise NoDriverError(f"there is no NVIDIA driver: {exc}") from None
    except pynvml.NVMLError as exc:
        raise DriverError(f"the NVIDIA driver cannot be asked: {exc}") from None
    return pynvml
