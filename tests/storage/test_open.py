import subprocess
import sys
from pathlib import Path

import pytest

from relaymd.config import StorageConfig, StorageKind
from relaymd.storage.open import open_store, prepare_store
from relaymd.storage.store import StorageDeniedError, StorageUnreachableError


async def test_the_default_is_a_folder_in_the_state_folder(tmp_path: Path) -> None:
    async with open_store(StorageConfig(), tmp_path) as store:
        await store.put("k", b"data")
    assert (tmp_path / "storage/k").read_bytes() == b"data"
    resolved = prepare_store(StorageConfig(), tmp_path)
    async with open_store(resolved, tmp_path / "of-another") as store:
        assert await store.get("k") == b"data"


async def test_a_folder_that_nobody_prepared_is_out_of_reach(tmp_path: Path) -> None:
    config = StorageConfig(path=str(tmp_path / "shared"))
    async with open_store(config, tmp_path) as store:
        with pytest.raises(StorageUnreachableError, match="is it mounted"):
            await store.put("k", b"data")
        prepare_store(config, tmp_path)
        await store.put("k", b"data")


async def test_s3_without_a_bucket_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(StorageDeniedError, match=r"storage\.bucket is not set"):
        async with open_store(StorageConfig(kind=StorageKind.S3), tmp_path):
            pass


async def test_s3_with_an_address_that_is_none_is_told_in_words(tmp_path: Path) -> None:
    config = StorageConfig(kind=StorageKind.S3, bucket="b", endpoint="not an address")
    with pytest.raises(StorageDeniedError, match="not an address"):
        async with open_store(config, tmp_path):
            pass


def test_a_folder_store_does_not_import_s3() -> None:
    script = "import sys, relaymd.storage.open; sys.exit('aioboto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
