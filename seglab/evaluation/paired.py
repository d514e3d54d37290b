"""Paired comparison of two networks by their scores on the same images, with a bootstrap over lesions.

Each draw takes whole lesions with replacement, the same ones for both networks (Efron and Tibshirani, 1993, chapter
16).
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.data.finding.names import truth_id
from seglab.errors import DataError
from seglab.images.formats import IMAGE_SUFFIXES
from seglab.metrics.bootstrap import RESAMPLES, bounds, drawn_means
from seglab.training.run_folder import OUT_OF_FOLD, SCORES_CSV
from seglab.words import counted

METRICS = {"dice": "Dice", "iou": "IoU"}
SHOWN = 5


@dataclass(frozen=True)
class ImageScores:
    """``values``: scores by image, then metric (dice, iou). ``lesions``: lesion by image, where the file has it."""

    name: str
    values: Mapping[str, Mapping[str, float]]
    lesions: Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """One metric: both means, their difference, its 95 % interval, and the share of draws where the first is higher."""

    first: float
    second: float
    difference: float
    low: float
    high: float
    first_better: float


@dataclass(frozen=True)
class ScoredTwice:
    """An image that both networks scored: its name, and the scores of both by metric."""

    image: str
    first: Mapping[str, float]
    second: Mapping[str, float]


@dataclass(frozen=True)
class Paired:
    """Two networks compared on images that both scored. ``images``, ``lesions``: their numbers. ``only_first``,
    ``only_second``: images that only one of them scored. ``common``: the images that both scored.
    """

    first: str
    second: str
    images: int
    lesions: int
    differences: Mapping[str, Difference]
    only_first: Sequence[str]
    only_second: Sequence[str]
    common: Sequence[ScoredTwice] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values, without the single images."""
        plain = {key: value for key, value in vars(self).items() if key != "common"}
        return {**plain, "differences": {key: vars(value) for key, value in self.differences.items()}}

    def lines(self) -> Iterator[str]:
        """Yield the comparison as lines of text."""
        yield (
            f"{self.first} against {self.second}: {counted(self.images, 'image')} that both scored, of "
            f"{counted(self.lesions, 'lesion')}; 95 % intervals by {RESAMPLES} draws of lesions"
        )
        for key, title in METRICS.items():
            found = self.differences[key]
            yield (
                f"  {title:<5}{found.first:.4f} - {found.second:.4f} = {found.difference:+.4f} "
                f"({found.low:+.4f} to {found.high:+.4f}); {self.first} is better in {found.first_better:.1%} of draws"
            )
        for name, missing in ((self.first, self.only_first), (self.second, self.only_second)):
            if missing:
                more = ", ..." if len(missing) > SHOWN else ""
                yield f"  only {name} scored {len(missing)} more: {', '.join(missing[:SHOWN])}{more}"


def scores_file(path: Path) -> Path | None:
    """Return the table of scores: ``path`` itself, or that in the folder of a run or cross-validation; else None."""
    if path.suffix.lower() == ".csv":
        return path
    return next((file for file in (path / SCORES_CSV, path / OUT_OF_FOLD / SCORES_CSV) if file.is_file()), None)


def read_scores(file: Path, name: str) -> ImageScores:
    """Read a table that `seglab validate --csv`, `seg-batch score --csv` or a run wrote.

    Raises :class:`DataError` for any other file.
    """
    values: dict[str, dict[str, float]] = {}
    lesions: dict[str, str] = {}
    times: Counter[str] = Counter()
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                times[row["image"]] += 1
                image = row["image"] if times[row["image"]] == 1 else f"{row['image']} ({times[row['image']]})"
                values[image] = {key: _share(row[key]) for key in METRICS}
                if row.get("lesion"):
                    lesions[image] = row["lesion"]
        if not values:
            raise ValueError("it has no row")
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            f"{file} cannot be read as scores ({error}); expected a table with the columns image, dice and iou, as "
            "`seglab validate --csv` and `seg-batch score --csv` write. Check the path, or score again."
        ) from error
    return ImageScores(name, values, lesions)


def compare_paired(first: ImageScores, second: ImageScores) -> Paired:
    """Compare two networks on the images that both scored. Raises :class:`DataError` where there is none."""
    common = list(_common(first.values, second.values))
    if not common:
        raise DataError(
            f"{first.name} ({counted(len(first.values), 'image')}) and {second.name} ({len(second.values)}) have no "
            "scored image in common; expected scores on the same images. Score both checkpoints on one set with "
            "`seglab validate`."
        )
    lesions = [first.lesions.get(ours) or second.lesions.get(theirs) or ours for ours, theirs in common]
    differences = {
        key: _difference(
            [first.values[ours][key] for ours, _ in common],
            [second.values[theirs][key] for _, theirs in common],
            lesions,
        )
        for key in METRICS
    }
    ours, theirs = map(set, zip(*common, strict=True))
    return Paired(
        first.name, second.name, len(common), len(set(lesions)), differences,
        [image for image in first.values if image not in ours],
        [image for image in second.values if image not in theirs],
        [ScoredTwice(mine, first.values[mine], second.values[other]) for mine, other in common],
    )  # fmt: skip


def _difference(first: Sequence[float], second: Sequence[float], lesions: Sequence[str]) -> Difference:
    each = np.subtract(first, second)
    means = drawn_means(each.tolist(), lesions)
    low, high = bounds(means)
    better = float(np.mean(means > 0))
    return Difference(float(np.mean(first)), float(np.mean(second)), float(each.mean()), low, high, better)


def _common(first: Iterable[str], second: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of names of the same image: equal names, else names with the same id if it is unique in both."""
    there, rest = set(second), []
    for name in first:
        if name in there:
            there.remove(name)
            yield name, name
        else:
            rest.append(name)
    ours, theirs = _by_id(rest), _by_id(there)
    yield from ((ours[id], theirs[id]) for id in ours if id in theirs)


def _by_id(names: Iterable[str]) -> dict[str, str]:
    """Return names by id (``ISIC_7`` for ``a/ISIC_7_segmentation.png``), without ids that occur twice."""
    listed = [(_id_of(name), name) for name in names]
    times = Counter(id for id, _ in listed)
    return {id: name for id, name in listed if times[id] == 1}


def _id_of(name: str) -> str:
    return truth_id(Path(name if Path(name).suffix.lower() in IMAGE_SUFFIXES else f"{name}.png"))


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(f"a score is {text}, not within 0-1")
    return value
