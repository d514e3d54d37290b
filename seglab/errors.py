"""The error tree: what a user can cause ends in one of these, with a message in three parts.

What came, what was expected, what to do. The command lines print the message and exit with ``exit_code``.
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
    """An image has more pixels than are to be decoded; nothing was."""


class DataError(SeglabError):
    """A data set, a pair of image and mask, or a truth folder is not as expected."""


class ConfigError(SeglabError):
    """A setting has a value it cannot have."""

    exit_code = 2


class CheckpointError(SeglabError):
    """A checkpoint cannot be read, or does not fit the network it names."""


class DivergedError(SeglabError):
    """A loss is not a number any more: training cannot go on as it is set."""


class WriteError(SeglabError):
    """A file or folder that a command is to write cannot be written, or somebody else is writing it."""


class MissingDependencyError(SeglabError):
    """An optional package is needed and not installed."""


UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
"""Control characters, separators and changes of direction, which would act on a terminal, and marks nobody sees."""


def printable(text: str) -> str:
    """Return ``text`` as it can be printed on one line, whatever is in it: bytes of a file name that are not UTF-8, and
    control characters, become ``\\xNN`` or ``\\n``.
    """
    whole = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return UNPRINTABLE.sub(_escaped, whole)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
