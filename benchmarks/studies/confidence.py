"""How well ``confidence`` separates good masks from bad ones: measures of doubt compared with Dice against the truth.

``python -m benchmarks.studies.confidence [--model M.onnx] [--set fifth ...]`` prints a Markdown table: Spearman's rank
correlation of each measure with Dice; and of the images with a Dice below 0.7, how many are in its lowest tenth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click
import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.support.places import DATA
from benchmarks.support.release.sets import SETS
from export import Segmenter
from export.runtime.masks import CONFIDENCE, agreement, confidence, to_mask
from seglab.cli_support import begin_command
from seglab.data.pairs import FilePair
from seglab.files import write_text

FILE = click.Path(path_type=Path)
BAD = 0.7
LOWEST = 0.1
Maps = NDArray[np.float32]
Number = TypeVar("Number", bound=np.generic)


def former(views: Maps, _threshold: float) -> float:
    """Return the earlier definition: the mean of max(p, 1 - p)."""
    return float(np.maximum(views[0], 1 - views[0]).mean())


def spread(views: Maps, threshold: float) -> float:
    """Return the mean Dice of the mask to those of the seven turned images."""
    masks = [to_mask(view, threshold) for view in views]
    return float(np.mean([agreement(masks[0], other)[1] for other in masks[1:]]))


PLAIN: dict[str, Callable[[Maps, float], float]] = {
    "mean of max(p, 1 - p)": former,
    "mean p in the mask": lambda views, threshold: _mean(views[0][views[0] >= threshold]),
    CONFIDENCE: lambda views, threshold: confidence(views[0], threshold),
}
TURNED: dict[str, Callable[[Maps, float], float]] = {
    f"{CONFIDENCE} of the mean of eight symmetries": lambda views, threshold: confidence(views.mean(axis=0), threshold),
    "Dice to the masks of the other symmetries": spread,
    "the two above, multiplied": lambda views, threshold: (
        confidence(views.mean(axis=0), threshold) * spread(views, threshold)
    ),
}


@dataclass(frozen=True)
class Row:
    """How well a measure ranks images: see the module. ``bad_found`` of ``bad``."""

    measure: str
    spearman: float
    bad_found: int
    bad: int


@click.command()
@click.option("--model", type=FILE, help="Model file.  [default: the one that comes with the package]")
@click.option("--data", type=FILE, default=DATA, help="Folder of the data sets.")
@click.option("--set", "names", type=click.Choice(list(SETS)), multiple=True, help="[default: fifth and originals]")
@click.option("--symmetries", is_flag=True, help="Also compare measures that need eight views of an image.")
@click.option("--images", type=click.IntRange(min=2), help="Most images of each set.")
@click.option("--device", default="auto", show_default=True, help="Device, as for seg-batch.")
@click.option("--json", "json_file", type=FILE, help="Write the figures as JSON.")
def main(
    model: Path | None, data: Path, names: tuple[str, ...], symmetries: bool, images: int | None, device: str,
    json_file: Path | None,
) -> None:  # fmt: skip
    """Score a model's measures of doubt and print a table."""
    begin_command()
    segmenter = Segmenter(model, device)
    measures = PLAIN | (TURNED if symmetries else {})
    report = {}
    click.echo(f"| set | measure | Spearman | below {BAD:g} in the lowest tenth |\n|" + " --- |" * 4)
    for name in names or ("fifth", "originals"):
        rows = ranked(segmenter, SETS[name].pairs(data)[:images], measures, views=8 if symmetries else 1)
        report[name] = [vars(row) for row in rows]
        for row in rows:
            click.echo(f"| {name} | {row.measure} | {row.spearman:.3f} | {row.bad_found} of {row.bad} |")
    if json_file:
        write_text(json_file, json.dumps({"format_version": 1, "sets": report}, indent=1) + "\n")


def ranked(
    segmenter: Segmenter, pairs: Sequence[FilePair], measures: dict[str, Callable[[Maps, float], float]], *, views: int
) -> list[Row]:
    """Return a row for each measure on these pairs."""
    threshold = segmenter.contract.threshold
    dice, found = [], []
    for pair, (mask, maps) in zip(pairs, _segmented(segmenter, pairs, views), strict=True):
        dice.append(agreement(mask, pair.mask())[1])
        found.append([measure(maps, threshold) for measure in measures.values()])
    columns = np.asarray(found).T  # (measures, images)
    return [ranking(name, column, np.asarray(dice)) for name, column in zip(measures, columns, strict=True)]


def ranking(name: str, values: NDArray[np.float64], dice: NDArray[np.float64]) -> Row:
    """Return how well ``values`` rank images of these Dice, ``(N,)`` each."""
    lowest = np.argsort(values, kind="stable")[: max(1, round(LOWEST * len(values)))]
    bad = dice < BAD
    return Row(name, float(spearmanr(values, dice).statistic), int(bad[lowest].sum()), int(bad.sum()))


def _segmented(segmenter: Segmenter, pairs: Sequence[FilePair], views: int) -> Iterator[tuple[NDArray[np.uint8], Maps]]:
    """Yield the mask of each image, and the probabilities ``(views, S, S)`` of its turned forms, turned back."""
    for pair in pairs:
        image = pair.photo().pixels
        made = [tuple(result) for result in segmenter([turned(image, view) for view in range(views)])]
        yield made[0][0], np.stack([turned(prob, view, back=True) for view, (_, prob) in enumerate(made)])


def turned(array: NDArray[Number], view: int, *, back: bool = False) -> NDArray[Number]:
    """Return one of the eight symmetric forms of ``(H, W, ...)``, or undo it: 0 leaves it as it is."""
    across, flips = view // 4, tuple(axis for axis in (0, 1) if view >> axis & 1)
    if back:
        array = np.flip(array, axis=flips)
        return np.swapaxes(array, 0, 1) if across else array
    return np.ascontiguousarray(np.flip(np.swapaxes(array, 0, 1) if across else array, axis=flips))


def _mean(values: NDArray[np.float32]) -> float:
    return float(values.mean()) if values.size else 0.0


if __name__ == "__main__":
    main()
