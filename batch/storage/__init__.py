"""Storage at URLs, through fsspec: ``s3://``, ``gs://``, ``https://``. Images are read from it, masks written to it."""

from batch.storage.failures import NOT_THERE, as_os_error, first_line, reason, storage_errors
from batch.storage.files import Storage, connect
from batch.urls import is_url

__all__ = [
    "NOT_THERE",
    "Storage",
    "as_os_error",
    "connect",
    "first_line",
    "is_url",
    "reason",
    "storage_errors",
]
