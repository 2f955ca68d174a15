"""What an S3 service's refusals mean, told apart as the store protocol wants them."""

from relaymd.storage.store import (
    MissingObjectError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
    StorageUnreachableError,
)

_FULL = {
    "QuotaExceeded",
    "InsufficientStorage",
    "StorageFull",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
}

_LATER = {
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "RequestTimeout",
    "InternalError",
    "ServiceUnavailable",
    "OperationAborted",
    "IncompleteBody",
    "BadDigest",
    "NoSuchUpload",
}
"""What time heals: of an upload that the service forgot, the next attempt begins another."""

_NAMELESS = {"", "404", "NotFound"}
"""Codes made up where an answer had none."""

_LATER_STATUS = {408, 409, 425, 429}
_NEVER_STATUS = {501, 505}


def explained(key: str, bucket: str, *, status: int, code: str, message: str) -> StorageError:
    """The error for an answer.

    Only an answer that names the missing object says that it is missing: a 404 without that
    comes from a bucket, a proxy or a wrong address, and a 403 may hide anything.
    """
    said = f"{status} {code}: {message}" if message else f"{status} {code}"
    if code == "NoSuchKey":
        return MissingObjectError(key)
    if code == "NoSuchBucket":
        return StorageDeniedError(key, f"the bucket {bucket!r} does not exist")
    if status == 507 or code in _FULL or "storage cap exceeded" in message.lower():
        return StorageFullError(key, said)
    if code in _LATER or status in _LATER_STATUS:
        return StorageUnreachableError(key, said)
    if status == 404 and code in _NAMELESS:
        return StorageUnreachableError(key, f"{said}; it does not say that the object is missing")
    if 300 <= status < 500 or status in _NEVER_STATUS:
        return StorageDeniedError(key, said)
    return StorageUnreachableError(key, said)
