"""Errors of storage: classified by their meaning, retried if they may be temporary, and turned into messages.

Each storage has its own errors, and its library may not be installed, so they are recognised by class names and codes.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, TypeVar

from batch.errors import SourceError, SourceLostError, printable
from batch.urls import without_secrets
from seglab.errors import ImageError

WAITS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each retry."""
PATIENCE_SECONDS = 20.0
"""No retry begins after this time."""
NOT_THERE = "expected a file, or a folder with images. Check the URL, and the permissions of your account."

PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
PASSING_CODES = frozenset(
    {
        "ConditionalRequestConflict", "InternalError", "RequestLimitExceeded", "RequestTimeout", "ServiceUnavailable",
        "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException",
    }
)  # fmt: skip
PASSING_ERRORS = frozenset(
    {
        "ClientConnectionError", "ClientPayloadError", "ConnectionError", "HTTPClientError", "IncompleteRead",
        "IncompleteReadError", "ResponseParserError", "ResponseStreamingError", "TimeoutError",
    }
)  # fmt: skip
"""Names of errors in aiohttp, botocore and Python."""
LOST_CODES = frozenset(
    {
        "AccountProblem", "AuthFailure", "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId",
        "InvalidSecurity", "InvalidToken", "NotSignedUp", "TokenRefreshRequired", "UnrecognizedClientException",
    }
)  # fmt: skip
LOST_ERRORS = frozenset(
    {
        "CredentialRetrievalError", "NoCredentialsError", "SSOTokenLoadError", "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
    }
)  # fmt: skip
DOUBTED_CODES = frozenset({"RequestTimeTooSkewed", "SignatureDoesNotMatch"})
"""Usually a wrong clock or key; some servers answer so for a single odd name."""
REFUSED_STATUS = frozenset({401, 403, 407})

T = TypeVar("T")


class Failure(Enum):
    """The meaning of a storage error."""

    PASSING = "it may be gone a moment later"
    REFUSED = "no permission for this file, or no longer for any"
    DOUBTED = "the same, more likely for any file"
    LOST = "the credentials are no longer good"
    OTHER = "this file does not exist, or cannot be read"


def failure_of(error: BaseException) -> Failure:
    """Return the meaning of an error."""
    chain = list(_chain(error))
    codes = {code for code in map(_code, chain) if code}
    names = {kind.__name__ for entry in chain for kind in type(entry).__mro__}
    status = status_of(error)
    if codes & LOST_CODES or names & LOST_ERRORS:
        return Failure.LOST
    if codes & DOUBTED_CODES:
        return Failure.DOUBTED
    if status in REFUSED_STATUS or isinstance(error, PermissionError):
        return Failure.REFUSED
    is_certificate = any("Certificate" in name or "SSL" in name for name in names)
    passes = codes & PASSING_CODES or status in PASSING_STATUS or (names & PASSING_ERRORS and not is_certificate)
    return Failure.PASSING if passes else Failure.OTHER


def retried(action: Callable[[], T]) -> T:
    """Call ``action``; if it fails with an error that may be temporary, wait and retry a few times."""
    start = time.monotonic()
    for wait in WAITS:
        try:
            return action()
        except Exception as error:  # each storage has its own errors
            if failure_of(error) is not Failure.PASSING or time.monotonic() - start > PATIENCE_SECONDS:
                raise
        time.sleep(wait * random.uniform(0.5, 1))
    return action()


def reason(error: BaseException) -> str:
    """Return in a few words why storage failed, without secrets."""
    if isinstance(error, FileNotFoundError):
        return "it does not exist"
    status, message = getattr(error, "status", None), getattr(error, "message", "")
    if isinstance(status, int):
        return f"the server answered {status} {message}".strip()
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    return without_secrets(first_line(error))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def storage_errors(source: str) -> Iterator[None]:
    """Map errors of storage to :class:`SourceError`; :class:`FileNotFoundError` passes unchanged."""
    try:
        yield
    except (SourceError, SourceLostError, FileNotFoundError):
        raise
    except ImageError as error:
        raise SourceError(f"{printable(source)} cannot be read: {error}") from error
    except Exception as error:  # each storage has its own errors
        raise SourceError(f"{printable(source)} cannot be read: {reason(error)}; {NOT_THERE}") from error


@contextlib.contextmanager
def as_os_error(place: str) -> Iterator[None]:
    """Map errors of storage to :class:`OSError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(2, "it does not exist", place) from error
    except Exception as error:  # each storage has its own errors
        raise OSError(5, reason(error), place) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    entry: BaseException | None = error
    for _ in range(5):
        if entry is None:
            return
        yield entry
        entry = entry.__cause__ or entry.__context__


def _answer(error: BaseException) -> dict[str, Any]:
    """Return what botocore keeps of the server's answer; empty for other errors."""
    answer = getattr(error, "response", None)
    return answer if isinstance(answer, dict) else {}


def _code(error: BaseException) -> str | None:
    code = _answer(error).get("Error", {}).get("Code")
    return None if code is None else str(code)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that the server answered with; None if it did not."""
    for entry in _chain(error):
        for name in ("status", "status_code", "code"):
            if isinstance(status := getattr(entry, name, None), int):
                return status
        status = _answer(entry).get("ResponseMetadata", {}).get("HTTPStatusCode")
        if isinstance(status, int):
            return status
    return None
