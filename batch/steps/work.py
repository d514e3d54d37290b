"""One image inside the process that works on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batch.steps.task import Span, Task
from seglab.errors import SeglabError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(slots=True)
class Work:
    """A task with its results so far.

    ``pixels``: uint8 ``(S, S, 3)``, or ``(H, W, 3)`` in exact mode. ``size``: of the image (H, W). ``prob``: float32
    ``(S, S)``, or ``(C, S, S)`` for several classes. ``suitable``: the model's score of the image, if it has one.
    ``whole``: the graph's own mask, uint8 ``(H, W)``. ``bytes``, ``mtime_ns``, ``version``: of the file as read.
    ``needs_solo``: it must be worked on alone.
    """

    task: Task
    was_read: bool = False
    bytes: int = -1
    mtime_ns: int = 0
    version: str = ""
    size: tuple[int, int] = (0, 0)
    pixels: NDArray[np.uint8] | None = None
    prob: NDArray[np.float32] | None = None
    whole: NDArray[np.uint8] | None = None
    suitable: float | None = None
    remark: str = ""
    error: str | None = None
    needs_solo: bool = False
    spans: list[Span] = field(default_factory=list)


def reason_of(error: BaseException) -> str:
    """Return the message for an image that failed."""
    return str(error) if isinstance(error, SeglabError) else f"{type(error).__name__}: {error}"
