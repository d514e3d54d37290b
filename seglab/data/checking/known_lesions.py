"""What is known of a set's lesions, and whether it is enough to draw a split by them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from seglab.data.collection import DataSet
from seglab.data.pairs import Pair
from seglab.words import counted

HAM10000_IDS = range(24306, 34321)
"""ISIC's numbers of HAM10000's images, of which 10015 show 7470 lesions."""
ISIC_ID = re.compile(r"ISIC_(\d{7})")
WAYS_OUT = (
    "Bring the table (HAM10000_metadata, metadata.csv) into the set's folder (of a prepared set: into that of its "
    "source, and prepare it anew), or say that each image is a lesion of its own: --set lesions=ids (seglab inspect: "
    "--lesions ids)."
)


def lesions_unknown(found: DataSet) -> Iterator[str]:
    """Yield why a set's lesions are not known well enough to draw a split by them."""
    if not (alone := _without_lesion(found)):
        return
    tables = ", ".join(found.lesions.tables)
    unlisted = sum(pair.id not in found.lesions.listed for pair in alone)
    if tables and unlisted:
        yield (
            f"{found.name}: {tables} names the lesions of {len(found.pairs) - unlisted} of "
            f"{counted(len(found.pairs), 'image')}; of the other {unlisted} it is not known which show one lesion, and "
            f"a drawn split may have it on two sides. {WAYS_OUT}"
        )
    elif (several := sum(_is_of_ham10000(pair) for pair in alone)) > 1:
        yield (
            f"{found.name}: {counted(several, 'image')} are HAM10000's, which has several of one lesion, and nothing "
            f"beside them says of which; a drawn split may have one lesion on two sides. {WAYS_OUT}"
        )


def lesions_told(found: DataSet) -> Iterator[str]:
    """Yield what is known of a set's lesions, where that is not all."""
    if not (alone := _without_lesion(found)):
        return
    if found.lesions.tables:
        yield (
            f"{found.name}: {', '.join(found.lesions.tables)} says nothing of the lesions of {len(alone)} of "
            f"{counted(len(found.pairs), 'image')}; each counts as one lesion."
        )
    elif len(alone) == len(found.pairs):
        yield f"{found.name}: nothing says which images show one lesion; each counts as one lesion."


def _without_lesion(found: DataSet) -> list[Pair]:
    """Return the pairs of which nothing says what lesion they show: a pair is then called as its lesion."""
    return [pair for pair in found.pairs if pair.lesion == pair.id and pair.id not in found.lesions.of]


def _is_of_ham10000(pair: Pair) -> bool:
    number = ISIC_ID.search(pair.id)
    return number is not None and int(number[1]) in HAM10000_IDS
