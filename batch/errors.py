"""Errors of a batch run that are neither the image's nor the model's fault."""

from __future__ import annotations

from batch.urls import without_secrets
from seglab.errors import ConfigError, SeglabError
from seglab.errors import printable as printable_text


class OutputError(SeglabError):
    """The output folder cannot be written, is in use, or holds something else."""


class ProcessError(SeglabError):
    """A process of the run failed or ended by itself."""


class SourceError(ConfigError):
    """A source does not exist, or is not a folder, file or pattern that can be opened."""


class SourceGoneError(SeglabError):
    """A source that held images in earlier runs holds none now."""


class SourceLostError(SeglabError):
    """A source can no longer be read, for a reason that affects all its images: the run must end."""


class TooManyFailuresError(SeglabError):
    """More images failed than ``--max-failures`` allows."""


def cannot_write(place: str, error: OSError) -> OutputError:
    """Return the error for an output that cannot be written."""
    where = printable(str(error.filename or place))
    return OutputError(
        f"{where} cannot be written: {error.strerror or error}. Expected a place with write permission and free "
        "space. Free some space or choose another output, then run again to continue."
    )


def printable(text: str) -> str:
    """Return ``text`` as :func:`seglab.errors.printable` does, with passwords and signatures removed from URLs."""
    return printable_text(without_secrets(text) if "://" in text else text)


def encodable(text: str) -> str:
    """Return ``text`` as JSON and tables hold it: bytes of a file name that are not UTF-8 become ``\\xNN``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
