"""SLURM as a provider, its commands played by scripts that print what the real ones do."""

import stat
import time
from pathlib import Path

import msgspec
import pytest

from relaymd.actors.providers.provider import ProviderError, ProviderRefusedError
from relaymd.actors.providers.shell import UnansweredError
from relaymd.actors.providers.slurm import SlurmProvider
from relaymd.actors.providers.slurm_commands import Limits, SlurmCommands
from relaymd.actors.providers.slurm_watch import MAY_ARRIVE, MAY_RETURN, SlurmWatch
from relaymd.actors.providers.worker_environment import WorkerEnvironment
from relaymd.core.allocation import Allocation, Sighting, Whereabouts
from relaymd.core.clusters import ClusterConfig, GpuConfig, WorkerImage
from relaymd.core.ids import AllocationId, Monotonic, UnixTime
from relaymd.core.outcome import Outcome
from tests.actors.providers.paper_slurm import PaperSlurm

A1, A2, A3 = AllocationId("a-1"), AllocationId("a-2"), AllocationId("a-3")
CANARY = "canary-of-a-secret"
ENVIRONMENT = WorkerEnvironment(
    settings={"RELAYMD_NATS_URL": "nats://login:4222"},
    secrets={"RELAYMD_NATS_PASSWORD": CANARY},
    file=".config/relaymd/north-1.env",
)
NORTH = ClusterConfig(name="north", partition="gpu", venv="~/venv", wall_time="4:00:00")


def allocation(id: AllocationId = A1, external: str = "") -> Allocation:
    return Allocation(
        id=id, cluster="north", external=external, requested_at=UnixTime(1795253000.0)
    )


def provider(paper: PaperSlurm, config: ClusterConfig = NORTH) -> SlurmProvider:
    return SlurmProvider(config, paper.shell, ENVIRONMENT)


@pytest.fixture
def paper(tmp_path: Path) -> PaperSlurm:
    return PaperSlurm(tmp_path)


async def look(paper: PaperSlurm, *allocations: Allocation) -> dict[AllocationId, Sighting]:
    return {**await provider(paper).observe(allocations or [allocation()])}


# -- submit ------------------------------------------------------------------------------------


async def test_an_allocation_is_submitted_under_its_own_id(paper: PaperSlurm) -> None:
    paper.says("sbatch", "4711\n")

    assert await provider(paper).submit(allocation()) == "4711"
    assert paper.asked("sbatch") == ["--parsable --job-name=a-1"]
    assert "#SBATCH --partition=gpu\n" in paper.given("sbatch")
    assert (paper.home / "relaymd-logs").is_dir(), "SLURM does not start a job that cannot log"


async def test_nothing_but_the_script_says_what_is_asked_for(paper: PaperSlurm) -> None:
    paper.says("sbatch", "4711\n")
    paper.does("sbatch", f"env >{paper.folder}/environment; pwd >{paper.folder}/where")
    paper.environment |= {"SBATCH_EXPORT": "ALL", "SBATCH_PARTITION": "other", "KEPT": "1"}
    await provider(paper).submit(allocation())

    seen = (paper.folder / "environment").read_text()
    assert ("SBATCH_" in seen, "KEPT=1" in seen) == (False, True)
    assert (paper.folder / "where").read_text().strip() == str(paper.home)


async def test_the_secret_is_in_a_private_file_and_nowhere_else(paper: PaperSlurm) -> None:
    paper.says("sbatch", "4711\n")
    await provider(paper).submit(allocation())

    kept = paper.home / ENVIRONMENT.file
    assert kept.read_text() == f"RELAYMD_NATS_PASSWORD={CANARY}\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert CANARY not in paper.given("sbatch")
    assert CANARY not in "".join(paper.asked("sbatch"))
    assert [file.name for file in kept.parent.iterdir()] == [kept.name], "no piece of it is left"


async def test_a_persons_own_credentials_file_is_not_written(paper: PaperSlurm) -> None:
    paper.says("sbatch", "4711\n")
    own = ClusterConfig(name="north", credentials_file="~/mine.env")
    await provider(paper, own).submit(allocation())

    assert not (paper.home / ".config").exists()
    assert 'read_credentials "$HOME"/mine.env' in paper.given("sbatch")


async def test_where_the_secret_cannot_be_kept_nothing_is_submitted(paper: PaperSlurm) -> None:
    (paper.home / ".config").write_text("a file where a folder should be")
    with pytest.raises(ProviderRefusedError, match="cannot be written"):
        await provider(paper).submit(allocation())

    assert paper.asked("sbatch") == []


async def test_a_node_in_quarantine_is_avoided_once_slurm_has_named_it(paper: PaperSlurm) -> None:
    paper.says("sbatch", "4711\n")
    paper.says("squeue", "1|RUNNING|1|2|n1|None|a-1\n2|RUNNING|1|2|n2|None|a-2\n")
    north, new = provider(paper), msgspec.structs.replace(allocation(A3), avoid=("n1.site",))
    await north.submit(new)
    assert "--exclude" not in paper.given("sbatch")

    await north.observe([allocation(A1), allocation(A2)])
    await north.submit(new)
    assert "#SBATCH --exclude=n1\n" in paper.given("sbatch")


async def test_a_refusal_is_told_as_one(paper: PaperSlurm) -> None:
    paper.says("sbatch", err="sbatch: error: QOSMaxSubmitJobPerUserLimit\n", code=1)
    with pytest.raises(ProviderRefusedError, match="a quota is full") as told:
        await provider(paper).submit(allocation())

    assert told.value.retry_after == 120.0
    assert paper.asked("squeue") == []


@pytest.mark.parametrize("code", [1, 0])
async def test_a_submit_that_nobody_answered_is_found_by_its_name(
    paper: PaperSlurm, code: int
) -> None:
    paper.says("sbatch", err="sbatch: error: Socket timed out on send/recv operation", code=code)
    paper.says("squeue", "12|PENDING|N/A|N/A||Priority|a-1\n13|RUNNING|1|2|n1|None|other\n")

    assert await provider(paper).submit(allocation()) == "12"


async def test_a_submit_that_nobody_answered_and_nobody_knows_may_still_arrive(
    paper: PaperSlurm,
) -> None:
    paper.says("sbatch", err="sbatch: error: Socket timed out on send/recv operation", code=1)
    with pytest.raises(UnansweredError, match="did not answer"):
        await provider(paper).submit(allocation())

    assert (await look(paper))[A1].where is Whereabouts.UNKNOWN


async def test_a_hanging_sbatch_is_cut_off_there_and_here(paper: PaperSlurm) -> None:
    paper.hangs("sbatch")
    commands = SlurmCommands(paper.shell, Limits(submit=0.5, look=5.0, grace=5.0))
    began = time.monotonic()
    with pytest.raises(UnansweredError, match="did not answer in time"):
        await commands.submit(A1, "#!/bin/sh\n", log_dir="logs")

    assert time.monotonic() - began < 5.0, "its own `timeout` ended it"


# -- observe -----------------------------------------------------------------------------------


async def test_the_queue_tells_of_what_waits_and_runs(paper: PaperSlurm) -> None:
    paper.says("squeue", "12|PENDING|900|N/A||Priority|a-1\n13|RUNNING|1|2|n1|None|a-2\n9|x\n")
    seen = await look(paper, allocation(A1), allocation(A2))

    assert seen[A1].where is Whereabouts.PENDING
    assert (seen[A1].external, seen[A1].estimated_start) == ("12", 900.0)
    assert (seen[A2].where, seen[A2].deadline) == (Whereabouts.RUNNING, 2.0)
    assert paper.asked("sacct") == [], "nobody is asked about the past of what lives"


async def test_an_error_is_not_an_empty_queue(paper: PaperSlurm) -> None:
    paper.says("squeue", err="squeue: error: Unable to contact slurm controller", code=1)
    with pytest.raises(ProviderError, match="Unable to contact slurm controller"):
        await look(paper)


async def test_an_empty_queue_is_no_proof_at_once(paper: PaperSlurm) -> None:
    paper.says("squeue", "")
    assert (await look(paper))[A1].where is Whereabouts.UNKNOWN


async def test_what_the_queue_forgot_is_asked_of_accounting(paper: PaperSlurm) -> None:
    paper.says("sacct", "7|TIMEOUT|0:0|0:0|1|2|a-1\n7.batch|CANCELLED|0:15||1|2|batch\n")
    seen = await look(paper)

    assert (seen[A1].where, seen[A1].outcome) == (Whereabouts.GONE, Outcome.INTERRUPTED)
    assert seen[A1].reason == "TIMEOUT: its wall time was over"
    (asked,) = paper.asked("sacct")
    assert "--starttime=2026-11-19" in asked, "long before midnight of today"


async def test_accounting_tells_more_of_an_end_than_the_queue(paper: PaperSlurm) -> None:
    paper.says("squeue", "7|FAILED|1|2|n1|NonZeroExitCode|a-1\n")
    paper.says("sacct", "7|FAILED|78:0|0:0|1|2|a-1\n")

    assert "its configuration is wrong" in (await look(paper))[A1].reason


async def test_a_cluster_without_accounting_tells_the_end_all_the_same(paper: PaperSlurm) -> None:
    paper.says("squeue", "7|TIMEOUT|1|2|n1|TimeLimit|a-1\n")
    paper.says("sacct", err="Slurm accounting storage is disabled", code=1)
    made = provider(paper)

    assert (await made.observe([allocation()]))[A1].where is Whereabouts.GONE
    await made.observe([allocation()])
    assert len(paper.asked("sacct")) == 1, "it is left alone for a while"


async def test_one_name_that_accounting_cannot_answer_for_hides_no_other(
    paper: PaperSlurm,
) -> None:
    fails = 'case "$*" in *a-2*) echo "sacct: error: no such thing" >&2; exit 1;; esac'
    paper.does("sacct", fails)
    paper.says("sacct", "7|TIMEOUT|0:0|0:0|1|2|a-1\n8|NODE_FAIL|0:0|0:0|1|2|a-3\n")
    seen = await look(paper, allocation(A1), allocation(A2), allocation(A3))

    assert [seen[id].where for id in (A1, A2, A3)] == [
        Whereabouts.GONE,
        Whereabouts.UNKNOWN,
        Whereabouts.GONE,
    ]


async def test_accounting_that_still_calls_it_running_is_no_proof(paper: PaperSlurm) -> None:
    paper.says("sacct", "7|RUNNING|0:0|0:0|1|Unknown|a-1\n")

    assert (await look(paper))[A1].where is Whereabouts.UNKNOWN


async def test_a_requeued_job_waits_again_whatever_it_did_before(paper: PaperSlurm) -> None:
    paper.says("squeue", "7|PENDING|900|N/A||BeginTime|a-1\n")
    paper.says("sacct", "7|PREEMPTED|0:0|0:0|1|2|a-1\n")

    assert (await look(paper, allocation(external="7")))[A1].where is Whereabouts.PENDING


async def test_of_two_jobs_of_one_name_the_living_one_counts(paper: PaperSlurm) -> None:
    for lines in ("6|CANCELLED|1|2||None|a-1\n7|RUNNING|1|2|n1|None|a-1\n",) * 2:
        paper.says("squeue", lines)
        assert (await look(paper))[A1].external == "7"
        paper.says("squeue", "".join(reversed(lines.splitlines(keepends=True))))
        assert (await look(paper))[A1].external == "7"


@pytest.mark.parametrize(
    ("external", "patience", "words"),
    [("", MAY_ARRIVE, "it never came"), ("7", MAY_RETURN, "it left the queue")],
)
async def test_what_is_nowhere_is_gone_after_a_while(
    paper: PaperSlurm, external: str, patience: float, words: str
) -> None:
    now = 1000.0
    watch = SlurmWatch(SlurmCommands(paper.shell), "north", clock=lambda: Monotonic(now))
    one = allocation(external=external)
    assert (await watch.look([one]))[A1].where is Whereabouts.UNKNOWN
    now += patience - 1
    assert (await watch.look([one]))[A1].where is Whereabouts.UNKNOWN
    now += 1
    gone = (await watch.look([one]))[A1]

    assert gone.where is Whereabouts.GONE
    assert words in gone.reason


async def test_what_came_back_is_waited_for_anew(paper: PaperSlurm) -> None:
    now = 1000.0
    watch = SlurmWatch(SlurmCommands(paper.shell), "north", clock=lambda: Monotonic(now))
    one = allocation(external="7")
    await watch.look([one])
    paper.says("squeue", "7|RUNNING|1|2|n1|None|a-1\n")
    now += MAY_RETURN
    assert (await watch.look([one]))[A1].where is Whereabouts.RUNNING
    paper.says("squeue", "")
    assert (await watch.look([one]))[A1].where is Whereabouts.UNKNOWN


# -- the rest ----------------------------------------------------------------------------------


async def test_a_job_is_cancelled_by_its_name(paper: PaperSlurm) -> None:
    made = provider(paper)
    await made.cancel(allocation())
    await made.cancel(allocation())

    assert paper.asked("scancel") == ["--name=a-1"] * 2


async def test_a_cancel_that_failed_is_told(paper: PaperSlurm) -> None:
    paper.says("scancel", err="scancel: error: Kill job error on job id 7: Access denied", code=1)
    with pytest.raises(ProviderError, match="Access denied"):
        await provider(paper).cancel(allocation())


def test_an_offer_is_what_the_configuration_says(paper: PaperSlurm) -> None:
    config = ClusterConfig(
        name="north",
        gpu=GpuConfig(type="a100", count=4, vram_gb=80),
        slots=2,
        max_allocations=7,
        max_pending_jobs=3,
        worker_images={
            "md": WorkerImage(sif_path="/md.sif"),
            "ml": WorkerImage(sif_path="/ml.sif"),
        },
    )
    first, second = provider(paper, config).offers()

    assert (first.template.image, second.template.image) == ("md", "ml")
    assert [gpu.model for gpu in first.template.gpus] == ["a100", "a100"]
    assert (first.slots, first.limit, first.max_pending) == (2, 7, 3)
    assert "CUDA" in first.template.platforms


def test_a_virtual_environment_is_an_offer_without_an_image(paper: PaperSlurm) -> None:
    (only,) = provider(paper).offers()

    assert only.template.image is None
    assert only.wall_seconds == 4 * 3600
