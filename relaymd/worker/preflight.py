"""Looks at the node before an engine is started on it; what speaks against it ends the attempt.

The judgements are in `relaymd.core.preflight`.
"""

import msgspec

from relaymd.bus.messages import Assignment
from relaymd.core import preflight
from relaymd.core.outcome import AttemptEnd
from relaymd.core.resources import Gpu
from relaymd.core.specification import Specification
from relaymd.nvml import DriverError
from relaymd.worker import files
from relaymd.worker.engine import Command, LaunchError
from relaymd.worker.place import Place
from relaymd.worker.racing import within
from relaymd.worker.tools import Tools

EVIDENCE = 4096
"""Bytes of the last output that go with a failure."""


async def has_room(tools: Tools, assignment: Assignment) -> AttemptEnd | None:
    """Whether input and checkpoint fit on the disk, before anything of them is fetched."""
    newest = assignment.checkpoints[-1].size if assignment.checkpoints else 0
    free = await tools.offload(files.free_bytes, tools.folder)
    return preflight.room(assignment.bundle.size + newest, free, "what has to be restored")


async def is_fit(
    tools: Tools, spec: Specification, place: Place, gpus: tuple[Gpu, ...], command: Command
) -> AttemptEnd | None:
    """gpus: the slot's. command: the engine's, in whose environment the bundle's own look runs."""
    need = spec.resources
    free = await tools.offload(files.free_bytes, place.folder)
    return (
        preflight.platform(need, tools.me.platforms)
        or preflight.room(need.disk_gb * 1e9, free, "the job")
        or (await _devices(tools, spec, gpus) if preflight.needs_devices(need) else None)
        or await _own(tools, spec, place, command)
    )


async def _devices(tools: Tools, spec: Specification, gpus: tuple[Gpu, ...]) -> AttemptEnd | None:
    try:
        answering = {load.uuid for load in await tools.machine.look(gpus)}
    except DriverError as exc:
        return preflight.silent(str(exc))
    return preflight.devices(spec.resources, gpus, answering)


async def _own(
    tools: Tools, spec: Specification, place: Place, command: Command
) -> AttemptEnd | None:
    """The bundle's preflight command, where it has one."""
    if (argv := spec.preflight_argv()) is None:
        return None
    output = place.folder / "preflight"
    own = msgspec.structs.replace(command, argv=argv, stdout=output, stderr=output)
    seconds = spec.preflight_timeout_seconds
    try:
        async with tools.launch(own) as process:
            code = await within(seconds, process.exited())
    except LaunchError as exc:
        return preflight.refused(127, str(exc), seconds)
    said = await tools.offload(files.tail, output, EVIDENCE)
    return preflight.refused(code, said.decode(errors="replace").strip(), seconds)
