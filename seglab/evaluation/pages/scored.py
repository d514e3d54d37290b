"""Sections of a page about scored images: scores, their distribution, agreement by size, pixels, and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from seglab.data.pairs import Pair
from seglab.evaluation.card import TITLES
from seglab.evaluation.pages.strips import COLOURS, WIDTH, Shown, choose, strips
from seglab.images.pixels.resize import OVERSAMPLING
from seglab.metrics.overlap import Confusion
from seglab.pages import charts
from seglab.pages.matrix import confusion_matrix
from seglab.pages.page import Card, Chart, Listing, Section
from seglab.words import counted

if TYPE_CHECKING:
    from seglab.evaluation.original import Predictor
    from seglab.evaluation.validate import Verdict

MOST_DOTS = 2000
"""Dots in a scatter plot; of more images, evenly spaced ones are shown."""
SIZES = ((0.01, "below 1 %"), (0.05, "1 to 5 %"), (0.2, "5 to 20 %"), (0.5, "20 to 50 %"), (2.0, "above 50 %"))
"""Classes of the lesion's share of an image: upper bound and name."""
IN_PIXELS = frozenset({"hd95_median"})
POOR, MANY = 0.65, 0.1
"""IoU below which ISIC 2018 counts a mask as failed, and the share of such masks from which a page marks it."""


@dataclass(frozen=True)
class ScoredImages:
    """Scored images. ``pairs``: in the order of ``verdict``. ``shown``: reads and masks the image at a place.
    ``whose``: which images these are, as a sentence.
    """

    verdict: Verdict
    pairs: Sequence[Pair]
    shown: Callable[[int], Shown]
    whose: str

    @property
    def counts(self) -> list[Confusion]:
        """Pixel counts of each image."""
        return self.verdict.scores.counts


def predicted(predictor: Predictor, pairs: Sequence[Pair]) -> Callable[[int], Shown]:
    """Return a function that reads the image at a place, not larger than needed, and masks it."""

    def shown(place: int) -> Shown:
        image = pairs[place].photo(at_least=OVERSAMPLING * predictor.checkpoint.size).pixels
        return image, predictor.mask(image)

    return shown


def masked(pairs: Sequence[Pair], masks: Sequence[Path]) -> Callable[[int], Shown]:
    """Return a function that reads the image at a place, and its mask from the file at the same place."""

    def shown(place: int) -> Shown:
        mask = cv2.imdecode(np.frombuffer(masks[place].read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
        return pairs[place].photo(at_least=OVERSAMPLING * WIDTH).pixels, np.asarray(mask, np.uint8)

    return shown


def score_cards(verdict: Verdict) -> list[Card]:
    """Return the most important scores."""
    counts, summary = verdict.scores.counts, verdict.summary()
    poor = sum(each.iou < POOR for each in counts)
    return [
        Card(f"{len(counts):,}", "images scored"),
        Card(f"{summary['dice']:.4f}", "mean Dice"),
        Card(f"{summary['iou']:.4f}", "mean IoU"),
        Card(f"{summary['worst_dice']:.3f}", "worst Dice", warns=summary["worst_dice"] < 0.5),
        Card(f"{poor:,}", f"IoU below {POOR}", warns=poor > MANY * len(counts)),
    ]


def scored_sections(scored: ScoredImages) -> Iterator[Section]:
    """Yield the sections."""
    yield _scores(scored)
    yield _distribution(scored.counts)
    yield _by_size(scored.counts)
    yield from _pictures(scored)


def _scores(scored: ScoredImages) -> Section:
    summary, intervals = scored.verdict.summary(), scored.verdict.intervals()
    rows = [
        (title[:1].upper() + title[1:], _value(key, summary[key]), _interval(intervals.get(key)))
        for key, title in TITLES.items() if key in summary
    ]  # fmt: skip
    text = f"{scored.whose} Means over images at their own sizes; the 95 % intervals are by lesion."
    table = Listing(("Score", "Value", "95 % interval"), rows, frozenset({1, 2}))
    return Section("Scores", text, listings=[table])


def _value(key: str, value: float) -> str:
    return f"{value:.1f}" if key in IN_PIXELS else f"{value:.4f}"


def _interval(bounds: tuple[float, float] | None) -> str:
    return f"{bounds[0]:.4f} to {bounds[1]:.4f}" if bounds else ""


def _distribution(counts: Sequence[Confusion]) -> Section:
    pixels = sum(counts, Confusion(0, 0, 0, 0))
    table = [[pixels.tp, pixels.fn], [pixels.fp, pixels.tn]]
    matrix = confusion_matrix(("lesion", "skin"), table, "Confusion matrix of all pixels")
    drawn = [
        Chart(charts.histogram([each.dice for each in counts], "Dice", low=0, high=1), "Images by Dice."),
        Chart(charts.histogram([each.iou for each in counts], "IoU", low=0, high=1), "Images by IoU."),
        Chart(matrix, f"Pixels of {counted(len(counts), 'image')} together; each row sums to 100 %."),
    ]
    return Section("Distribution of scores", charts=drawn)


def _by_size(counts: Sequence[Confusion]) -> Section:
    shares = np.array([_share(each) for each in counts])
    dice, iou = (np.array([getattr(each, key) for each in counts]) for key in ("dice", "iou"))
    rows, low = [], -1.0
    for high, name in SIZES:
        found = (shares >= low) & (shares < high)
        if found.any():
            values = dice[found]
            means = (f"{values.mean():.4f}", f"{iou[found].mean():.4f}", f"{values.min():.4f}")
            rows.append((name, f"{found.sum():,}", *means))
        low = high
    kept = np.linspace(0, len(counts) - 1, min(MOST_DOTS, len(counts))).astype(int)
    points = [(100 * float(shares[place]), float(dice[place])) for place in kept]
    of = f" {MOST_DOTS:,} of {len(counts):,} images." if len(kept) < len(counts) else ""
    chart = Chart(charts.scatter(points, "lesion in the truth, % of the image", "Dice"), f"A dot per image.{of}")
    table = Listing(("Lesion", "Images", "Mean Dice", "Mean IoU", "Worst Dice"), rows, _all_but_first(5))
    return Section("Agreement by lesion size", charts=[chart], listings=[table])


def _share(counts: Confusion) -> float:
    return (counts.tp + counts.fn) / (counts.tp + counts.fp + counts.fn + counts.tn)


def _all_but_first(columns: int) -> frozenset[int]:
    return frozenset(range(1, columns))


def _pictures(scored: ScoredImages) -> Iterator[Section]:
    chosen = choose([each.dice for each in scored.counts])
    order = f"Each strip: photograph, truth, mask. {COLOURS}"
    groups = {
        "Worst images": (chosen.worst, f"The lowest Dice first. {order}"),
        "Median images": (chosen.median, f"From the middle of all images by Dice. {order}"),
        "Random images": (chosen.random, f"Drawn at random from the others: the worst alone mislead. {order}"),
    }
    for title, (places, text) in groups.items():
        if places:
            pictures = list(strips(scored.pairs, scored.counts, places, scored.shown))
            yield Section(title, text, pictures=pictures, wide_pictures=True)
