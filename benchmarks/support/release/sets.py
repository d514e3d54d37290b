"""The sets that decide: which images, and folders of links to them that every command reads alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seglab.data.collection import collect
from seglab.data.dividing import validates
from seglab.data.pairs import FilePair
from seglab.files import write_text

HAM_IMAGES, HAM_SEED = 1200, 0
LESIONS = "lesions.json"


@dataclass(frozen=True)
class TestSet:
    """Images with truth that no training has seen. ``free``: whether its pictures may be shown (CC0)."""

    name: str
    title: str
    folder: str
    chosen: Callable[[Sequence[FilePair]], Sequence[FilePair]]
    free: bool = True

    def pairs(self, data: Path) -> list[FilePair]:
        """Return its pairs below the data folder, by id."""
        found = [pair for pair in collect([data / self.folder]).pairs if isinstance(pair, FilePair)]
        return sorted(self.chosen(sorted(found, key=lambda pair: pair.id)), key=lambda pair: pair.id)


def _of_the_fifth(pairs: Sequence[FilePair]) -> list[FilePair]:
    return [pair for pair in pairs if validates(pair.lesion)]


def _official_validation(pairs: Sequence[FilePair]) -> list[FilePair]:
    return [pair for pair in pairs if pair.part == "validation"]


def _drawn(pairs: Sequence[FilePair]) -> list[FilePair]:
    order = np.random.default_rng(HAM_SEED).permutation(len(pairs))[:HAM_IMAGES]
    return [pairs[place] for place in order]


SETS = {
    each.name: each
    for each in (
        TestSet("fifth", "ISIC 2018, validation fifth (crops)", "isic2018", _of_the_fifth),
        TestSet("isic2017", "ISIC 2017, validation set (whole frames)", "isic2017", _official_validation),
        TestSet("originals", "camera originals (whole frames, up to 12 megapixels)", "originals", list),
        TestSet("ham10000", f"HAM10000, {HAM_IMAGES} images drawn by seed {HAM_SEED}", "ham10000", _drawn, free=False),
    )
}


def link_set(found: TestSet, data: Path, out: Path) -> int:
    """Make ``out/images`` and ``out/masks`` of links, and ``out/lesions.json``; return how many pairs there are."""
    pairs = found.pairs(data)
    for pair in pairs:
        _link(out / "images" / f"{pair.id}{pair.image.suffix}", pair.image)
        _link(out / "masks" / f"{pair.id}{pair.truth.suffix}", pair.truth)
    write_text(out / LESIONS, json.dumps({pair.id: pair.lesion for pair in pairs}, indent=1) + "\n")
    return len(pairs)


def lesions_of(out: Path) -> Mapping[str, str]:
    """Return the lesion of each id of a set that :func:`link_set` made."""
    found: dict[str, str] = json.loads((out / LESIONS).read_text())
    return found


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target.resolve())
