"""What can go wrong with an archive run and is neither the image's nor the model's fault."""

from __future__ import annotations

from batch.urls import without_secrets
from seglab.errors import ConfigError, SeglabError
from seglab.errors import printable as printable_text


class OutputError(SeglabError):
    """The output folder cannot be written, is in use, or holds something else."""


class ProcessError(SeglabError):
    """A process of the run ended by itself, or does not do what the others do."""


class SourceError(ConfigError):
    """A source cannot be what was named: it is not there, or is no folder, file or pattern."""


class SourceGoneError(SeglabError):
    """A source that held images in earlier runs holds none any more."""


class SourceLostError(SeglabError):
    """A source cannot be read any more, for a reason that would meet each of its images: the run must end."""


class TooManyFailuresError(SeglabError):
    """More images failed than the run was told to put up with."""


def cannot_write(place: str, error: OSError) -> OutputError:
    """Return the error for an output that cannot be written."""
    where = printable(str(error.filename or place))
    return OutputError(
        f"{where} cannot be written: {error.strerror or error}. Expected a place with write "
        "permission and free space. Make room or choose another output, then run again to go on."
    )


def printable(text: str) -> str:
    """Return ``text`` as :func:`seglab.errors.printable` does, and addresses without passwords and signatures."""
    return printable_text(without_secrets(text) if "://" in text else text)


def encodable(text: str) -> str:
    """Return ``text`` as JSON and tables hold it: only bytes of a file name that are not UTF-8 become ``\\xNN``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
