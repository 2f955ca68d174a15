"""What an engine gets to see."""

from pathlib import Path

import pytest

from relaymd.core.checkpoint import Progress
from relaymd.core.ids import Epoch, Generation, JobId
from relaymd.core.resources import Gpu
from relaymd.engine import Segment
from relaymd.worker.environment import for_engine


def environment(
    inherited: dict[str, str],
    own: dict[str, str] | None = None,
    gpus: tuple[Gpu, ...] | None = None,
) -> dict[str, str]:
    return for_engine(
        inherited,
        own or {},
        job=JobId("j-1"),
        epoch=Epoch(2),
        generation=Generation(3),
        gpus=gpus,
    )


@pytest.mark.parametrize(
    "name",
    [
        "RELAYMD_NATS_PASSWORD",
        "RELAYMD_STORAGE_SECRET_ACCESS_KEY",
        "RELAYMD_STORAGE_READ_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "AWS_SESSION_TOKEN",
        "B2_APPLICATION_KEY",
        "TS_AUTHKEY",
        "SALAD_API_KEY",
        "GITHUB_TOKEN",
        "db_password",
    ],
)
def test_secrets_are_withheld(name: str) -> None:
    assert name not in environment({name: "canary"})


@pytest.mark.parametrize("name", ["PATH", "HOME", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "TZ"])
def test_what_an_engine_needs_is_passed_on(name: str) -> None:
    assert environment({name: "value"})[name] == "value"


def test_the_bundle_may_set_anything_but_who_it_is() -> None:
    own = {"MY_TOKEN": "mine", "PATH": "/opt/bin", "RELAYMD_JOB_ID": "another"}
    found = environment({"PATH": "/bin"}, own)
    assert (found["MY_TOKEN"], found["PATH"]) == ("mine", "/opt/bin")
    assert (found["RELAYMD_JOB_ID"], found["RELAYMD_EPOCH"]) == ("j-1", "2")
    assert found["RELAYMD_GENERATION"] == "3"


def test_an_engine_sees_only_the_gpus_of_its_slot() -> None:
    gpus = (Gpu(model="A", uuid="GPU-1"), Gpu(model="A", uuid="GPU-2"))
    assert environment({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, gpus=gpus)["CUDA_VISIBLE_DEVICES"] == (
        "GPU-1,GPU-2"
    )


def test_a_slot_without_a_device_of_its_own_sees_none_of_the_others() -> None:
    assert environment({"CUDA_VISIBLE_DEVICES": "0"}, gpus=())["CUDA_VISIBLE_DEVICES"] == ""


def test_a_bundle_cannot_take_the_devices_of_another_slot() -> None:
    own = {"CUDA_VISIBLE_DEVICES": "0"}
    found = environment({}, own, gpus=(Gpu(model="A", uuid="GPU-2"),))
    assert found["CUDA_VISIBLE_DEVICES"] == "GPU-2"


def test_where_no_gpu_is_known_nothing_is_said_about_them() -> None:
    assert environment({"CUDA_VISIBLE_DEVICES": "1"})["CUDA_VISIBLE_DEVICES"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in environment({})


def test_the_engine_is_told_where_it_resumes_and_where_to_say_what() -> None:
    found = for_engine(
        {"RELAYMD_NOTICES": "another's", "RELAYMD_PROGRESS": "another's"},
        {},
        job=JobId("j-1"),
        epoch=Epoch(2),
        generation=Generation(3),
        gpus=(),
        progress=Progress(fraction=0.5, step=10),
        progress_file="progress.json",
        notices=Path("/lease/notices"),
    )
    told = Segment.here(found)
    assert (told.job, told.epoch, told.generation) == ("j-1", 2, 3)
    assert (told.restored.fraction, told.restored.step) == (0.5, 10)
    assert (told.progress_file, told.notices) == (Path("progress.json"), Path("/lease/notices"))


def test_nothing_is_told_of_what_there_is_not() -> None:
    told = Segment.here(environment({"RELAYMD_NOTICES": "another's", "RELAYMD_PROGRESS": "x"}))
    assert told.notices is None
    assert told.restored.step is None
