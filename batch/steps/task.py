"""Images on their way through an engine; known without loading what works on them."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batch.errors import cannot_write
from batch.figures import Figures
from batch.outputs.base import CHANGED, TAKEN, MaskFiles
from batch.sources.bytes import ByteSource, NoBytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME_ERRORS = frozenset(
    {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY}
)
"""Errors that a mask's own name causes; every other failure to write would meet the next mask as well."""


HINTS = {
    TAKEN: "Move it away, and run again",
    CHANGED: "Move it away, and run again",
}
NOTHING = NoBytes("There is nothing to read.")


@dataclass(slots=True)
class Task:
    """One image on its way through the stages.

    ``content``: where the image is read from. ``mask``: name below the output folder. ``redraw``: the mask is there,
    only its overlay is wanted. ``pixels``: uint8 ``(S, S, 3)``, or ``(H, W, 3)`` in exact mode. ``prob``: float32 ``(S,
    S)``. ``whole``: the graph's own mask, uint8 ``(H, W)``. ``error``: why this image failed. ``fatal``: why the run
    must stop. ``version``: of the image, see :class:`batch.sources.image_ref.ImageRef`. ``sha256``: of the mask's file.
    ``was_read``: could the image's file be read? ``is_fresh``: did no run of this output make such a mask? ``made``:
    SHA-256 of the one that a run made, if it is known. ``remark``: what a user should know of the image as it was read.
    """

    row: int
    path: str
    mask: str
    bytes: int
    mtime_ns: int
    content: ByteSource = NOTHING
    redraw: bool = False
    size: tuple[int, int] = (0, 0)
    pixels: NDArray[np.uint8] | None = None
    prob: NDArray[np.float32] | None = None
    whole: NDArray[np.uint8] | None = None
    figures: Figures | None = None
    seconds: float = 0.0
    error: str | None = None
    fatal: BaseException | None = None
    version: str = ""
    sha256: str = ""
    was_read: bool = False
    is_fresh: bool = False
    made: str = ""
    remark: str = ""


def blame(task: Task, store: MaskFiles, error: OSError) -> None:
    """Note why a mask was not written: its own name, or what would meet the next one as well."""
    if error.errno in NAME_ERRORS:
        said = error.strerror or str(error)
        hint = HINTS.get(said, "Rename the image, or change --name")
        task.error = f"{_spoken(task, store, error)} cannot be written: {said}. {hint}."
        return
    task.fatal = cannot_write(store.where(task.mask), error)
    task.fatal.__cause__ = error


def _spoken(task: Task, store: MaskFiles, error: OSError) -> str:
    is_picture = error.strerror == TAKEN and error.filename not in (None, store.where(task.mask))
    return f"The picture {error.filename}" if is_picture else f"The mask {task.mask}"
