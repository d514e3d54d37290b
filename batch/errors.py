"""What can go wrong with an archive run and is neither the image's nor the model's fault."""

from __future__ import annotations

from seglab.errors import ConfigError, SeglabError, printable

__all__ = [
    "OutputError",
    "ProcessError",
    "SourceError",
    "TooManyFailuresError",
    "cannot_write",
    "encodable",
    "printable",
]


class OutputError(SeglabError):
    """The output folder cannot be written, is in use, or holds something else."""


class ProcessError(SeglabError):
    """A process of the run failed, or ended by itself; ``exit_code`` is that of its error."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class SourceError(ConfigError):
    """A source cannot be what was named: it is not there, or is no folder, file or pattern."""


class TooManyFailuresError(SeglabError):
    """More images failed than the run was told to put up with."""


def cannot_write(place: str, error: OSError) -> OutputError:
    """Return the error for an output that cannot be written."""
    return OutputError(
        f"{error.filename or place} cannot be written: {error.strerror or error}. Expected a place with write "
        "permission and free space. Make room or choose another output, then run again to go on."
    )


def encodable(text: str) -> str:
    """Return ``text`` as JSON and tables hold it: only bytes of a file name that are not UTF-8 become ``\\xNN``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
