"""Storage that fsspec reaches by URL: ``s3://``, ``gs://``, ``https://``. Images come from it, masks go to it.

fsspec and the driver of the storage are optional (``pip install "seglab[remote]"``); what they raise is mapped here.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from batch.errors import SourceError, printable

URL = re.compile(r"[a-z][a-z0-9+.-]+://")
INSTALL = 'Install it: pip install "seglab[remote]" (for gs:// also gcsfs, for az:// adlfs).'
NOT_THERE = "expected a file, or a folder with images. Check the address, and the rights of your account."


def is_url(text: str) -> bool:
    """Is this an address of storage and not a path?"""
    return URL.match(text) is not None


def connect(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path on it. Raises :class:`SourceError`."""
    try:
        import fsspec

        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]
    except ImportError as error:
        raise SourceError(f"{printable(url)} needs a library that is not installed ({error}). {INSTALL}") from error
    except ValueError as error:
        raise SourceError(
            f"{printable(url)} cannot be opened: {error}. Expected s3://, gs://, https:// or so."
        ) from error


@contextlib.contextmanager
def storage_errors(source: str) -> Iterator[None]:
    try:
        yield
    except (SourceError, FileNotFoundError):
        raise
    except Exception as error:  # each storage has errors of its own
        raise SourceError(f"{printable(source)} cannot be read: {first_line(error)}; {NOT_THERE}") from error


@contextlib.contextmanager
def as_os_error(place: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(2, "nothing is there", place) from error
    except Exception as error:  # each storage has errors of its own
        raise OSError(5, first_line(error), place) from error


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
