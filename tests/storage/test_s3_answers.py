import pytest

from relaymd.storage.s3_answers import explained
from relaymd.storage.store import (
    MissingObjectError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "NoSuchKey", MissingObjectError),
        (404, "NoSuchBucket", StorageDeniedError),
        (404, "404", StorageUnreachableError),
        (404, "", StorageUnreachableError),
        (404, "NoSuchUpload", StorageUnreachableError),
        (404, "SomethingElse", StorageDeniedError),
        (400, "InvalidRequest", StorageDeniedError),
        (400, "RequestTimeout", StorageUnreachableError),
        (400, "BadDigest", StorageUnreachableError),
        (401, "401", StorageDeniedError),
        (403, "403", StorageDeniedError),
        (403, "AccessDenied", StorageDeniedError),
        (403, "QuotaExceeded", StorageFullError),
        (409, "OperationAborted", StorageUnreachableError),
        (429, "429", StorageUnreachableError),
        (500, "InternalError", StorageUnreachableError),
        (501, "NotImplemented", StorageDeniedError),
        (503, "SlowDown", StorageUnreachableError),
        (507, "507", StorageFullError),
        (0, "", StorageUnreachableError),
    ],
)
def test_each_refusal_means_one_thing(status: int, code: str, error: type[StorageError]) -> None:
    assert type(explained("k", "b", status=status, code=code, message="")) is error


def test_only_an_answer_that_names_the_key_says_that_it_is_missing() -> None:
    codes = ("", "404", "NotFound", "NoSuchBucket", "AccessDenied", "NoSuchUpload", "Missing")
    for code in codes:
        for status in (*range(200, 600), 0):
            error = explained("k", "b", status=status, code=code, message="")
            assert not isinstance(error, MissingObjectError)


def test_a_cap_that_b2_reports_as_denied_is_full() -> None:
    message = "Cannot upload files, storage cap exceeded."
    error = explained("k", "b", status=403, code="AccessDenied", message=message)
    assert isinstance(error, StorageFullError)
