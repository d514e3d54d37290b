"""The page of scores: how masks agree with the truth, over all images and by the size of the lesion."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from batch.outputs.reading import StoredMasks, stored_mask
from batch.reporting.pages.galleries import picture_of
from batch.reporting.pages.page_file import SCORE, maker
from batch.reporting.pages.pictures import WIDE, Drawing, Drawings, with_outlines
from batch.reporting.pages.scored_image import ScoredImage
from batch.reporting.pages.texts import percent, short_path, short_text
from seglab.errors import SeglabError
from seglab.images.masks import read_mask
from seglab.pages import charts
from seglab.pages.page import Card, Chart, Facts, Listing, Page, Picture, Section
from seglab.words import counted

OF_A_KIND = 12
SEED = 0
MOST_DOTS = 2000
NAMED = 20
SIZES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Limits between the groups by the lesion's share of the image."""
LOW = 0.05
"""The quantile shown as low Dice: the 5th percentile."""
WITH_COLOURS = "Cyan: the mask; amber: the truth."


@dataclass(frozen=True)
class ScorePage:
    """What the page of scores shows. ``figures``: their titles and texts; ``not_scored``: kinds of names with what they
    are.
    """

    masks: str
    truth: str
    images: Sequence[ScoredImage]
    figures: dict[str, str]
    not_scored: dict[str, Sequence[str]] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    def page(self, masks: StoredMasks, zip_encoding: str | None = None) -> Page:
        """Return the page, with pictures of the worst images and of some at random. ``masks``: opened for reading."""
        sections = [*self._figures(), *self._pictures(masks, Drawings(zip_encoding)), *self._names()]
        title = f"Scores of {short_path(self.masks)}"
        subtitle = f"{counted(len(self.images), 'image')} against {short_path(self.truth)}"
        return Page(title, subtitle, sections, maker(SCORE), list(map(short_text, self.warnings)))

    def _figures(self) -> Iterator[Section]:
        dice = np.array([image.counts.dice for image in self.images])
        cards = [
            Card(f"{len(dice):,}", "images scored"),
            Card(f"{dice.mean():.4f}", "mean Dice"),
            Card(f"{np.median(dice):.4f}", "median Dice"),
            Card(f"{np.quantile(dice, LOW):.4f}", "5th percentile of Dice"),
            Card(f"{np.mean([image.counts.iou for image in self.images]):.4f}", "mean IoU"),
        ]
        cards += [Card(f"{len(names):,}", what, warns=True) for what, names in self.not_scored.items() if names]
        yield Section("Scores", cards=cards, facts=Facts(self.figures))
        iou = [image.counts.iou for image in self.images]
        yield Section(
            "Distribution",
            charts=[
                Chart(charts.histogram(dice.tolist(), "Dice", low=0, high=1), "Dice of each image"),
                Chart(charts.histogram(iou, "IoU", low=0, high=1), "IoU of each image"),
            ],
        )
        yield self._by_size()

    def _by_size(self) -> Section:
        dots = self.images
        if len(dots) > MOST_DOTS:
            dots = random.Random(SEED).sample(self.images, MOST_DOTS)
        points = [(image.share, image.counts.dice) for image in dots]
        most = max(share for share, _ in points)
        drawn = charts.scatter(points, "lesion's share of the image", "Dice", x_range=(0, most or 1))
        caption = "Dice by the truth's share of the image"
        if len(dots) < len(self.images):
            caption += f"; {MOST_DOTS:,} images drawn at random"
        head = ["lesion's share of the image", "images", "mean Dice", "mean IoU", "lowest Dice"]
        rows = list(_size_rows(self.images))
        return Section(
            "Agreement by size of the lesion",
            charts=[Chart(drawn, caption)],
            listings=[Listing(head, rows, frozenset({1, 2, 3, 4}))],
        )

    def _pictures(self, masks: StoredMasks, drawings: Drawings) -> Iterator[Section]:
        worst = sorted(self.images, key=lambda image: image.counts.dice)[:OF_A_KIND]
        drawn = random.Random(SEED).sample(self.images, min(OF_A_KIND, len(self.images)))
        found = _drawn({image.name: image for image in [*worst, *drawn]}, masks, drawings)
        for title, text, images in (
            ("Lowest Dice", "The lowest first.", worst),
            ("At random", "Drawn with the same seed each time: the worst alone mislead.", drawn),
        ):
            pictures = [_picture(image, found[image.name]) for image in images]
            yield Section(title, f"{text} {WITH_COLOURS}", pictures=pictures, wide_pictures=True)

    def _names(self) -> Iterator[Section]:
        for what, names in self.not_scored.items():
            if names:
                more = f"The first {NAMED} of {len(names):,}." if len(names) > NAMED else ""
                rows = [[short_text(name)] for name in names[:NAMED]]
                yield Section(what[0].upper() + what[1:], more, listings=[Listing([what], rows)])


def _size_rows(images: Sequence[ScoredImage]) -> Iterator[list[str]]:
    """Yield a row of figures for each group by size, from small to large."""
    limits = [0.0, *SIZES, 1.0]
    groups: list[tuple[str, Callable[[float], bool]]] = [("no lesion", lambda share: share == 0)]
    for low, high in itertools.pairwise(limits):
        groups.append((f"{100 * low:g} % to {100 * high:g} %", _within(low, high)))
    for title, holds in groups:
        some = [image.counts for image in images if holds(image.share)]
        if some:
            dice = [counts.dice for counts in some]
            iou = float(np.mean([counts.iou for counts in some]))
            yield [title, f"{len(some):,}", f"{np.mean(dice):.4f}", f"{iou:.4f}", f"{min(dice):.4f}"]


def _within(low: float, high: float) -> Callable[[float], bool]:
    return lambda share: (low < share if low == 0 else low <= share) and (share < high or high == share == 1)


def _drawn(images: dict[str, ScoredImage], masks: StoredMasks, drawings: Drawings) -> dict[str, bytes | str]:
    """Return pictures by the names of images: on their photographs, or on grey where these are not known."""
    found: dict[str, bytes | str] = {}
    by_photograph = {}
    for image in images.values():
        if image.photograph is None:
            found[image.name] = _on_grey(image, masks)
        else:
            by_photograph[image.photograph] = image
    drawn = drawings.of(_drawing(path, image, masks) for path, image in by_photograph.items())
    return found | {by_photograph[path].name: picture for path, picture in drawn.items()}


def _drawing(path: str, image: ScoredImage, masks: StoredMasks) -> Drawing:
    return Drawing(path, image.pixels, lambda photograph: _outlined(photograph, image, masks))


def _on_grey(image: ScoredImage, masks: StoredMasks) -> bytes | str:
    try:
        return _outlined(None, image, masks)
    except SeglabError as error:
        return str(error)


def _outlined(photograph: bytes | None, image: ScoredImage, masks: StoredMasks) -> bytes:
    return with_outlines(photograph, stored_mask(masks, image.mask), read_mask(image.truth), size=WIDE)


def _picture(image: ScoredImage, found: bytes | str) -> Picture:
    name, counts = short_path(image.name), image.counts
    figures = f"Dice {counts.dice:.4f}, IoU {counts.iou:.4f}, {percent(image.share)} lesion"
    return picture_of(found, f"{name} with the outlines of its mask and of its truth", [name, figures])
