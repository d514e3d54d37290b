"""Whether enough is known about a set's lesions to draw a split by them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from seglab.data.collection import DataSet
from seglab.data.pairs import Pair
from seglab.words import counted

HAM10000_IDS = range(24306, 34321)
"""ISIC numbers of the images of HAM10000: 10015 images of 7470 lesions."""
ISIC_ID = re.compile(r"ISIC_(\d{7})")
WAYS_OUT = (
    "Copy the table (HAM10000_metadata, metadata.csv) into the set's folder (for a prepared set: into the folder of "
    "its source, then prepare it again), or treat each image as a lesion of its own: --set lesions=ids (seglab "
    "inspect: --lesions ids)."
)


def lesions_unknown(found: DataSet) -> Iterator[str]:
    """Yield the reasons why too little is known about a set's lesions to draw a split by them."""
    if not (alone := _without_lesion(found)):
        return
    tables = ", ".join(found.lesions.tables)
    unlisted = sum(pair.id not in found.lesions.listed for pair in alone)
    if tables and unlisted:
        yield (
            f"{found.name}: {tables} names the lesions of {len(found.pairs) - unlisted} of "
            f"{counted(len(found.pairs), 'image')}. The other {unlisted} may show the same lesions, and a drawn split "
            f"could have a lesion on both sides. {WAYS_OUT}"
        )
    elif (several := sum(_is_of_ham10000(pair) for pair in alone)) > 1:
        yield (
            f"{found.name}: {several} images are from HAM10000, which has several images of some lesions, and no table "
            f"says which. A drawn split could have a lesion on both sides. {WAYS_OUT}"
        )


def lesions_told(found: DataSet) -> Iterator[str]:
    """Yield remarks where a set's lesions are known in part only."""
    if not (alone := _without_lesion(found)):
        return
    if found.lesions.tables:
        yield (
            f"{found.name}: {', '.join(found.lesions.tables)} does not name the lesions of {len(alone)} of "
            f"{counted(len(found.pairs), 'image')}; each of these counts as a lesion of its own."
        )
    elif len(alone) == len(found.pairs):
        yield f"{found.name}: nothing says which images show one lesion; each counts as one lesion."


def _without_lesion(found: DataSet) -> list[Pair]:
    """Return the pairs whose lesion is unknown; their lesion has the name of the pair."""
    return [pair for pair in found.pairs if pair.lesion == pair.id and pair.id not in found.lesions.of]


def _is_of_ham10000(pair: Pair) -> bool:
    number = ISIC_ID.search(pair.id)
    return number is not None and int(number[1]) in HAM10000_IDS
