"""`relaymd clusters`: where workers may come from, what is asked of them, and why not more."""

import asyncclick as click

from relaymd.bus import contract
from relaymd.bus.operating import (
    AllocationView,
    AskPlan,
    ClusterList,
    ClusterView,
    ListClusters,
    PlannedStep,
    PlanView,
    SwitchCluster,
)
from relaymd.cli.failures import REFUSED, CommandError
from relaymd.cli.lazy import ListingGroup
from relaymd.cli.session import now, session, settings, whoami
from relaymd.cli.shown import document, fields, line, table
from relaymd.cli.words import ago, clock, duration, models, number
from relaymd.config import Config
from relaymd.core.clusters import ClusterConfig
from relaymd.core.provisioning import Offer


@click.group(cls=ListingGroup)
def clusters() -> None:
    """List clusters; show, enable, disable one; what is planned; the batch script."""


@clusters.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def list_(as_json: bool) -> None:
    """All places that workers may come from, this machine included."""
    found = await _ask()
    if as_json:
        document(found)
        return
    columns = ("cluster", "state", "workers", "coming", "limit", "gpus")
    table(columns, [_row(view) for view in found.clusters], elastic=("state", "gpus"))


@clusters.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def show(name: str, as_json: bool) -> None:
    """One cluster: its limits, how it does, and its allocations with what it says of them."""
    view = _pick(name, await _ask())
    if as_json:
        document(view)
        return
    fields(
        [
            ("cluster", view.cluster),
            ("state", _state(view)),
            ("answered", f"{duration(view.seen_ago)} ago" if view.seen_ago is not None else ""),
            ("workers", str(view.workers)),
            *(("offers", _offered(offer)) for offer in view.offers),
        ]
    )
    columns = ("allocation", "there", "state", "requested", "ends", "says")
    rows = [_allocation(one) for one in view.allocations]
    table(columns, rows, elastic=("says",), empty="It has no allocations.")


@clusters.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def enable(name: str, as_json: bool) -> None:
    """Use a cluster again, whatever the configuration says."""
    await _switch(name, enabled=True, as_json=as_json)


@clusters.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def disable(name: str, as_json: bool) -> None:
    """Ask a cluster for nothing more and take back what waits there; its workers go on."""
    await _switch(name, enabled=False, as_json=as_json)


@clusters.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
async def plan(as_json: bool) -> None:
    """What would be asked for now, and why jobs that wait do not run."""
    async with session() as stack:
        found = await stack.bus.ask(contract.PLAN, AskPlan())
    if as_json:
        document(found)
    else:
        _show_plan(found)


@clusters.command()
@click.argument("name")
@click.option("--image", help="The worker image, by the name of the configuration.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def script(name: str, image: str | None, as_json: bool) -> None:
    """The batch script that is submitted to a cluster; secrets are not in it."""
    config = settings().config
    text = _script(config, _configured(name, config), image)
    if as_json:
        document({"cluster": name, "script": text})
    else:
        click.echo(text, nl=not text.endswith("\n"))


def _script(config: Config, cluster: ClusterConfig, image: str | None) -> str:
    from relaymd import connection
    from relaymd.actors.providers import slurm_script, worker_environment
    from relaymd.connection import Role
    from relaymd.core.allocation import Allocation
    from relaymd.core.ids import AllocationId

    if image is None and not cluster.venv:
        image = next(iter(cluster.worker_images), None)
    if image is not None and image not in cluster.worker_images:
        known = ", ".join(cluster.worker_images) or "none"
        raise CommandError(f"{cluster.name} has no image {image}; known are {known}", REFUSED)
    environment = worker_environment.for_cluster(
        config, cluster, connection.find(config, Role.WORKER)
    )
    example = Allocation(
        id=AllocationId("a-example"), cluster=cluster.name, requested_at=now(), image=image
    )
    credentials = cluster.credentials_file or f"~/{environment.file}"
    return slurm_script.render(
        cluster, example, settings=environment.settings, credentials=credentials
    )


def _configured(name: str, config: Config) -> ClusterConfig:
    for cluster in config.clusters:
        if cluster.name == name:
            return cluster
    known = ", ".join(cluster.name for cluster in config.clusters) or "none"
    raise CommandError(f"no cluster {name} is configured; known are {known}", REFUSED)


async def _ask() -> ClusterList:
    async with session() as stack:
        return await stack.bus.ask(contract.CLUSTERS, ListClusters())


async def _switch(name: str, *, enabled: bool, as_json: bool) -> None:
    async with session() as stack:
        _pick(name, await stack.bus.ask(contract.CLUSTERS, ListClusters()))
        wanted = SwitchCluster(cluster=name, enabled=enabled, by=whoami())
        done = await stack.bus.ask(contract.SWITCH, wanted)
    if as_json:
        document(done)
    else:
        line(f"{name} is {'enabled' if enabled else 'disabled'}")


def _pick(name: str, found: ClusterList) -> ClusterView:
    for view in found.clusters:
        if view.cluster == name:
            return view
    known = ", ".join(view.cluster for view in found.clusters) or "none"
    raise CommandError(f"there is no cluster {name}; known are {known}", REFUSED)


def _row(view: ClusterView) -> tuple[str, ...]:
    coming = sum(one.allocation.is_coming for one in view.allocations)
    gpus = [gpu for offer in view.offers[:1] for gpu in offer.template.gpus * offer.slots]
    limit = str(view.offers[0].limit) if view.offers else "-"
    state = _state(view)
    return (view.cluster, state, str(view.workers), str(coming), limit, models(gpus) or "-")


def _state(view: ClusterView) -> str:
    if view.disabled:
        return f"disabled: {view.disabled}"
    return f"left alone: {view.closed}" if view.closed else "in use"


def _offered(offer: Offer) -> str:
    parts = [
        f"image {offer.template.image}" if offer.template.image else "",
        models(offer.template.gpus * offer.slots),
        number(offer.slots, "slot"),
        f"strategy {offer.strategy}",
        f"at most {offer.limit}",
        f"{offer.max_pending} waiting" if offer.max_pending is not None else "",
        f"for {duration(offer.wall_seconds)}" if offer.wall_seconds is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def _allocation(one: AllocationView) -> tuple[str, ...]:
    allocation = one.allocation
    says = one.says
    if one.expected is not None:
        says = f"{says}, expected {clock(one.expected)}".lstrip(", ")
    ends = clock(allocation.deadline) if allocation.deadline is not None else "-"
    state = "taken back" if one.withdrawn else _phase(one)
    requested = ago(allocation.requested_at, now())
    return (allocation.id, allocation.external or "-", state, requested, ends, says or "-")


def _phase(one: AllocationView) -> str:
    allocation = one.allocation
    if allocation.is_coming and allocation.started_at is not None:
        return "starting"
    return str(allocation.state)


def _show_plan(found: PlanView) -> None:
    for step in found.commands:
        line(_step(step))
    if not found.commands:
        line("Nothing would be asked for or taken back now.")
    for waiting in found.waiting:
        jobs = number(waiting.jobs, "job")
        line(f"{jobs} such as {waiting.first}, waiting for up to {duration(waiting.oldest)}:")
        line(f"  {waiting.why}")


def _step(step: PlannedStep) -> str:
    match step.what:
        case "submit":
            image = f" with image {step.image}" if step.image else ""
            wall = f" for {duration(step.wall_seconds)}" if step.wall_seconds else ""
            return f"ask {step.cluster} for an allocation{image}{wall}: {step.reason}"
        case "withdraw":
            return f"take back {step.allocation}: {step.reason}"
        case _:
            return f"let {step.worker} leave: {step.reason}"
