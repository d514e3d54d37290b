"""The archives that are timed, and how right the masks of one are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from batch.outputs.framing import TarFraming
from seglab.data.finding.layouts import find_file_pairs
from seglab.data.pairs import FilePair
from seglab.evaluation.original import Predictor
from seglab.images.masks import read_mask
from seglab.images.reader import read_image
from seglab.metrics.overlap import confusion
from seglab.synth import synthesise, write_set

SEED = 2026
TINY_KINDS, TINY_SIDE = 16, 40


@dataclass(frozen=True)
class Quality:
    """Mask Dice to the PyTorch original (mean, median, worst image) and Dice and IoU against the truth (means)."""

    dice_to_original: float
    median_dice_to_original: float
    worst_dice_to_original: float
    dice: float
    iou: float


@dataclass(frozen=True)
class Archive:
    """Images with truth and the masks of the PyTorch original (whole decode, antialiased resize) on disk."""

    name: str
    pairs: Sequence[FilePair]
    reference: Path

    @property
    def images(self) -> list[Path]:
        """The image files."""
        return [pair.image for pair in self.pairs]

    def judge(self, masks: Path) -> Quality:
        """Compare a folder of masks, one per image by its stem; a missing one is an error."""
        agreements, dices, ious = [], [], []
        for pair in self.pairs:
            mask = read_mask(masks / f"{pair.image.stem}.png")
            agreements.append(confusion(mask, read_mask(self.reference / f"{pair.image.stem}.png")).dice)
            counts = confusion(mask, read_mask(pair.truth))
            dices.append(counts.dice)
            ious.append(counts.iou)
        return Quality(
            float(np.mean(agreements)),
            float(np.median(agreements)),
            min(agreements),
            float(np.mean(dices)),
            float(np.mean(ious)),
        )


def photos(root: Path, count: int, predictor: Predictor) -> Archive:
    """Write ``count`` synthetic photographs of 600x450, JPEG quality 90."""
    write_set(root, count, [(450, 600)], SEED)
    return _with_reference("600x450", find_file_pairs(root), root / "reference", predictor)


def originals(data: Path, root: Path, count: int, predictor: Predictor) -> Archive:
    """Take ``count`` camera originals of 0.4 to 12 megapixels, evenly spaced over the set."""
    pairs = find_file_pairs(data / "originals")
    chosen = [pairs[index] for index in np.linspace(0, len(pairs) - 1, min(count, len(pairs)), dtype=int)]
    return _with_reference("originals", chosen, root / "reference", predictor)


def write_tar(path: Path, count: int) -> Path:
    """Write a tar of ``count`` photographs of a few kilobytes, some of them the same."""
    photographs = [_jpeg(synthesise(TINY_SIDE, TINY_SIDE + kind, seed=kind).image) for kind in range(TINY_KINDS)]
    framing, end = TarFraming(), 0
    with path.open("wb") as file:
        for number in range(count):
            data = photographs[number % TINY_KINDS]
            head, tail = framing.around(f"{number // 1000:04}/{number:07}.jpg", len(data), 0, 1_700_000_000)
            end += file.write(head + data + tail)
        file.writelines(framing.ending((), end))
    return path


def _with_reference(name: str, pairs: Sequence[FilePair], folder: Path, predictor: Predictor) -> Archive:
    folder.mkdir(parents=True)
    for pair in pairs:
        Image.fromarray(predictor.mask(read_image(pair.image))).save(folder / f"{pair.image.stem}.png")
    return Archive(name, pairs, folder)


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
