"""What a run asks a worker to do with one image, and the answer. Both are small and sent between processes."""

from __future__ import annotations

from typing import NamedTuple

from batch.figures import Finish
from batch.sources.bytes import ByteSource

Span = tuple[str, int, float, float, int]
"""The work of a stage: name, thread, start and end (seconds of ``time.perf_counter``), number of images."""


class Task(NamedTuple):
    """One image to be segmented.

    ``row``: in the ledger. ``path``: of the image, for messages. ``mask``: name below the output folder. ``image``:
    what its bytes are read from. ``is_fresh``: no run of this output made this mask. ``made``: SHA-256 of the mask that
    a run made, if it is known. ``redraw``: the mask exists, only its overlay is missing; ``drawn``: that mask's file,
    if a worker cannot read it itself. ``solo``: no other such image is worked on at the same time. ``attempts``: how
    often a process ended, or had to be ended, on it. ``is_torn``: a process or a run that ended may have written its
    files.
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
    """The outcome of a task. ``finish``: None for an image that must be worked on alone.

    ``mask``: its file, if the run writes it and not the worker. ``is_torn``: see :class:`Task`.
    """

    row: int
    finish: Finish | None
    mask: bytes | None = None
    spans: tuple[Span, ...] = ()
    is_torn: bool = False
