"""What is stored when an engine has ended, well or not."""

import msgspec
import pytest

from relaymd.core.ids import Epoch
from relaymd.storage import keys
from relaymd.storage.trees import fetch_outputs, fetch_tree
from relaymd.worker.diagnostics import Diagnostics
from tests.worker.shop import Shop


@pytest.mark.parametrize("named", [[], ["ledger.txt"], ["*"]])
async def test_a_failed_attempt_leaves_what_may_explain_it(shop: Shop, named: list[str]) -> None:
    spec = {"failure_artifact_paths": named}
    job = await shop.submit("--steps", "9", "--fail-at", "4", "--fail-code", "3", spec=spec)
    async with shop.worker():
        fail = await shop.desk.until_said("Fail")
    left = shop.root / "left"
    index = await fetch_tree(shop.store, keys.failures(job, Epoch(1)), left)
    assert {file.path for file in index.files} >= {"relaymd-stdout.txt", "relaymd-stderr.txt"}
    assert (left / "ledger.txt").exists() == bool(named)
    assert "fails, as it was told to" in (left / "relaymd-stderr.txt").read_text()
    told = msgspec.json.decode((left / "relaymd-diagnostics.json").read_bytes(), type=Diagnostics)
    assert (told.job, told.epoch, told.worker, told.end) == (job, 1, "w-1", fail.end)
    assert told.disk_free
    assert told.files["ledger.txt"] > 0


async def test_what_a_segment_leaves_beside_its_checkpoint_the_next_one_finds(shop: Shop) -> None:
    spec = {"resume_preserved_output_paths": ["kept/*.xtc"], "outputs": ["kept", "seen"]}
    write = "mkdir -p kept; ls kept > seen; date +%s%N > kept/$RELAYMD_EPOCH.xtc; echo 1 > state"
    wait = f"{write}; [ $RELAYMD_EPOCH -gt 1 ] || sleep 60"
    watched = {"checkpoint_watch_paths": ["state"], **spec}
    job = await shop.submit_command(wait, job="j-1", spec=watched)
    async with shop.worker() as first:
        await shop.desk.until(lambda: shop.desk.committed.get(job))
        first.worker.drain("a test")
        await first.left()
    shop.resubmit(job)
    async with shop.worker(shop.tools("w-2")):
        await shop.desk.until_said("Complete")
    index = await fetch_outputs(shop.store, job, Epoch(2), shop.root / "out")
    sizes = {file.path: file.size for file in index.files}
    assert set(sizes) == {"kept/1.xtc", "kept/2.xtc", "seen"}
    assert (shop.root / "out/seen").read_text() == "1.xtc\n"
    assert all(len(file.digest) == 64 for file in index.files)
