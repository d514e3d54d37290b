"""The images that parity is measured on: real or synthetic ones, plus edge cases of shapes and values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seglab.data.finding.layouts import find_file_pairs
from seglab.data.pairs import require_size
from seglab.errors import DataError, ImageError
from seglab.images.formats import IMAGE_SUFFIXES
from seglab.images.masks import read_mask
from seglab.images.reader import read_image
from seglab.synth import synthesise

DEFAULT_LIMIT = 48
SYNTHETIC = "synthetic images"
SYNTHETIC_SIZES = (
    (450, 600),
    (600, 450),
    (333, 517),
    (97, 61),
    (767, 1022),
    (1024, 1024),
    (256, 256),
    (1499, 1125),
    (180, 640),
    (200, 150),
    (1536, 2048),
    (255, 257),
)
"""Heights and widths of the synthetic images that are used if no folder is given."""


@dataclass(frozen=True)
class Sample:
    """An image, uint8 ``(H, W, 3)`` RGB, and its truth, uint8 ``(H, W)`` 0/255, if there is one.

    ``edge``: an edge case, not a picture; it must match like any other image, but says nothing about typical ones.
    """

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8] | None = None
    edge: bool = False


@dataclass(frozen=True)
class SampleSet:
    """Samples that are read or drawn one at a time during iteration; ``source`` says where they come from."""

    source: str
    files: tuple[tuple[Path, Path | None], ...] = ()

    def __len__(self) -> int:
        return len(self.files or SYNTHETIC_SIZES) + len(EDGES)

    def __iter__(self) -> Iterator[Sample]:
        yield from edge_samples()
        if self.files:
            yield from (_read(image, truth) for image, truth in self.files)
        else:
            yield from synthetic_samples()

    def some(self, count: int) -> SampleSet:
        """Return the set with at most ``count`` of its files; synthetic images are few, and all are kept."""
        if not self.files:
            return self
        return dataclasses.replace(self, files=self.files[:: max(1, -(-len(self.files) // count))])


def sample_set(folder: Path | None, limit: int = DEFAULT_LIMIT) -> SampleSet:
    """Return at most ``limit`` images of a folder, evenly spaced, or synthetic ones; edge cases are added.

    A data set in a known layout is read with its truth, any other folder as images only. Raises
    :class:`seglab.errors.DataError` if there are none.
    """
    if folder is None:
        return SampleSet(SYNTHETIC)
    kept, total, kind = sample_files(folder, limit)
    return SampleSet(f"{len(kept)} of {total} {kind} of {folder.resolve().name}", kept)


def sample_files(folder: Path, limit: int) -> tuple[tuple[tuple[Path, Path | None], ...], int, str]:
    """Return at most ``limit`` images of a folder, evenly spaced, with their truths; their total, and their kind.

    Raises :class:`seglab.errors.DataError` if there are none.
    """
    files: list[tuple[Path, Path | None]]
    try:
        files = [(pair.image, pair.truth) for pair in find_file_pairs(folder)]
        kind = "images with truth"
    except DataError as error:
        files = [(path, None) for path in _images(folder)]
        kind = "images without truth"
        if not files:
            raise DataError(f"No images below {folder}; expected some to prove it on. Check the path.") from error
    kept = np.unique(np.linspace(0, len(files) - 1, min(limit, len(files))).round().astype(int))
    return tuple(files[i] for i in kept), len(files), kind


def edge_samples() -> Iterator[Sample]:
    """Yield the edge cases that are always measured: all black, all white, noise, 1x1, thin, wide."""
    for name, (height, width), value in EDGES:
        if value is None:
            image = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
        else:
            image = np.full((height, width, 3), value, np.uint8)
        yield Sample(name, image, edge=True)


EDGES: tuple[tuple[str, tuple[int, int], int | None], ...] = (
    ("black", (301, 400), 0),
    ("white", (301, 400), 255),
    ("noise", (353, 251), None),
    ("1x1", (1, 1), 130),
    ("thin", (4000, 32), None),
    ("wide", (32, 4000), None),
)


def synthetic_samples() -> Iterator[Sample]:
    """Yield synthetic dermoscopy images with truth, in the sizes :data:`SYNTHETIC_SIZES`."""
    for seed, (height, width) in enumerate(SYNTHETIC_SIZES):
        drawn = synthesise(height, width, seed)
        yield Sample(f"synthetic-{height}x{width}", drawn.image, drawn.mask)


def _images(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def _read(path: Path, truth_path: Path | None) -> Sample:
    try:
        image = read_image(path)
        truth = read_mask(truth_path) if truth_path else None
    except ImageError as error:
        raise ImageError(f"{path} (or its truth) cannot be used to measure parity. {error}") from error
    if truth_path and truth is not None:
        require_size(truth_path, truth.shape, (image.shape[0], image.shape[1]))
    return Sample(path.name, image, truth)
