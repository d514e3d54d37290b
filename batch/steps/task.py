"""What a run asks a worker to do with one image, and what it hears back. Both are small, and sent between processes."""

from __future__ import annotations

from typing import NamedTuple

from batch.figures import Finish
from batch.sources.bytes import ByteSource

Span = tuple[str, int, float, float, int]
"""A stage's work: name, thread, begin and end (seconds of ``time.perf_counter``), and on how many images."""


class Task(NamedTuple):
    """One image to be done.

    ``row``: of the ledger. ``path``: of the image, for people. ``mask``: name below the output folder. ``image``: where
    it is read from. ``is_fresh``: did no run of this output make such a mask? ``made``: SHA-256 of the one that a run
    made, if it is known. ``redraw``: the mask is there, only its overlay is wanted; ``drawn``: that mask's file, where
    a worker cannot read it itself. ``solo``: no other such image is worked on meanwhile. ``attempts``: how often a
    process ended, or had to be ended, on it. ``is_torn``: a process that ended may have written what belongs to it.
    """

    row: int
    path: str
    mask: str
    image: ByteSource
    is_fresh: bool = False
    made: str = ""
    attempts: int = 0
    solo: bool = False
    redraw: bool = False
    drawn: bytes | None = None
    is_torn: bool = False


class Outcome(NamedTuple):
    """What became of a task. ``finish``: None for an image that has to be worked on alone.

    ``mask``: its file, where somebody else writes it. ``is_torn``: see :class:`Task`.
    """

    row: int
    finish: Finish | None
    mask: bytes | None = None
    spans: tuple[Span, ...] = ()
    is_torn: bool = False
