"""The result of searching one data set, and the limit for lost files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seglab.data.finding.lesions import Lesions
from seglab.data.finding.names import TRUTH_WORDS
from seglab.data.pairs import Pair
from seglab.errors import DataError

MOST_LOST = 10
"""A set is refused if at least one in this many of its images would be lost."""
SHOWN = 3
OURS = "written by seglab or seg-batch, so not used as data unless named by --images or --masks"
OUR_OUTLINES = "Lesions, segmented by seg-batch"
"""Description in COCO files that `seg-batch contours` wrote."""
LAYOUTS_IN_WORDS = (
    "folders of images and masks, masks beside their images, the sets of ISIC, HAM10000, PH2, nnU-Net, COCO (.json), "
    "Ultralytics outlines (labels/*.txt), MedSegBench (.npz), a table of pairs (.csv), what seglab prepare wrote"
)
ENDINGS = ", ".join(f"_{word}" for word in TRUTH_WORDS[:7])


@dataclass
class Found:
    """One data set. ``layout``: in words. ``left_out``: names of files by the reason. ``images``: number of images.

    ``lesions``: what its tables say about the images in files.
    """

    layout: str
    pairs: list[Pair] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    images: int = 0
    remarks: list[str] = field(default_factory=list)
    lesions: Lesions = field(default_factory=Lesions)

    def leave_out(self, reason: str, names: Iterable[str]) -> None:
        """Record files that are in no pair."""
        names = list(names)
        if names:
            self.left_out.setdefault(reason, []).extend(names)


def is_too_much(lost: int, total: int, least: int = 1) -> bool:
    """Return whether at least a tenth of ``total``, and at least ``least``, are lost."""
    return lost >= least and MOST_LOST * lost >= total


def some(names: Sequence[str]) -> str:
    """Return a text with the first names and the number of the others."""
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def not_understood(
    root: Path, pairs: int, images: Sequence[str], truths: Sequence[str], not_read: Sequence[str], ours: Sequence[str]
) -> DataError:
    """Return the error for a set with ``pairs`` pairs, and ``images`` and ``truths`` without a partner."""
    lost = [f"without a truth mask: {some(images)}"] * bool(images)
    lost += [f"without an image: {some(truths)}"] * bool(truths)
    lost += [f"of kinds that are not read: {some(not_read)}"] * bool(not_read)
    lost += [f"{OURS}: {some(ours)}"] * bool(ours)
    what = f"{_number(pairs + len(images), 'image')} and {_number(pairs + len(truths), 'truth mask')} make "
    what += _number(pairs, "pair")
    return DataError(
        "; ".join([f"{root}: {what}", *lost])
        + f".\nExpected: {LAYOUTS_IN_WORDS}; a mask with the name of its image, or that with one of: {ENDINGS}.\n"
        "Rename or add files, remove what does not belong to the set, or name two folders: --images DIR --masks DIR."
    )


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
