"""Errors that a user can cause. Each message says what came, what was expected, and what to do.

The command lines print the message and exit with ``exit_code``.
"""

from __future__ import annotations

import re

INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM."""


class SeglabError(Exception):
    """Base of every error a user can cause."""

    exit_code = 1


class ImageError(SeglabError):
    """A file cannot be read as an image."""


class TooLargeError(ImageError):
    """An image has more pixels than the limit, so it was not decoded."""


class DataError(SeglabError):
    """A data set, a pair of image and truth, or a folder of truth masks is not as expected."""


class ConfigError(SeglabError):
    """A setting has an invalid value."""

    exit_code = 2


class CheckpointError(SeglabError):
    """A checkpoint cannot be read, or its weights do not fit the network it names."""


class DivergedError(SeglabError):
    """The loss became NaN or infinite, so training stopped."""


class WriteError(SeglabError):
    """An output file or folder cannot be written, or another process is writing it."""


class MissingDependencyError(SeglabError):
    """A package that this function needs is not installed."""


UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
"""Characters that act on a terminal (controls, line separators, changes of direction), and the invisible U+FEFF."""


def printable(text: str) -> str:
    """Return ``text`` as one printable line.

    Control characters become ``\\n`` or ``\\xNN``, and so do bytes of a file name that are not UTF-8.
    """
    whole = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return UNPRINTABLE.sub(_escaped, whole)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
