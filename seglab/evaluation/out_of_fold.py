"""Masks and scores of every image from the network that did not train on it, in a cross-validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from seglab.data.pairs import Pair
from seglab.evaluation.confusion_picture import draw_confusion
from seglab.evaluation.original import Predictor
from seglab.evaluation.scoring import write_scores
from seglab.evaluation.validate import Judged, Verdict, judge
from seglab.files import write_bytes
from seglab.networks.checkpoints import load_checkpoint
from seglab.training.run_folder import BEST, CONFUSION

MASKS = "masks"


@dataclass(frozen=True)
class Fold:
    """The run folder of a fold, and its validation pairs."""

    run: Path
    validation: Sequence[Pair]


@dataclass(frozen=True)
class OutOfFold:
    """The result: scores of all images, the files of their masks in the same order, and a summary of each fold."""

    verdict: Verdict
    masks: Sequence[Path]
    folds: Sequence[dict[str, Any]]


def score_out_of_fold(
    out: Path, folds: Sequence[Fold], device: str = "cpu", advance: Callable[[int], Any] = lambda count: None
) -> OutOfFold:
    """Write ``out/masks/ID.png`` (0 and 255, at the images' own sizes), ``scores.csv`` and ``scores.json``.

    ``advance``: called with the number of images that are done. The network of each fold is its ``best.pt``.
    """
    verdict, by_fold, checkpoints = Verdict(), [], []
    masks: list[Path] = []
    for fold in folds:
        predictor = Predictor(load_checkpoint(fold.run / BEST), device=device)
        checkpoints.append({"file": f"{fold.run.name}/{BEST}", "sha256": predictor.checkpoint.sha256})
        own = Verdict(outlines=False)
        for judged, mask in _judged(predictor, fold, out / MASKS):
            masks.append(mask)
            verdict.add(judged)
            own.add(judged)
            advance(1)
        by_fold.append({"run": fold.run.name, **own.summary()})
    verdict.require_credible()
    about = {"checkpoints": checkpoints, "part": "all, each by the fold that did not train on it", "folds": by_fold}
    write_scores(out, verdict, about)
    draw_confusion(out / CONFUSION, verdict.scores.pooled(), len(verdict.lesions))
    return OutOfFold(verdict, masks, by_fold)


def _judged(predictor: Predictor, fold: Fold, masks: Path) -> Iterator[tuple[Judged, Path]]:
    """Yield each image with the file that its mask was written to."""
    times: Counter[str] = Counter()  # ISIC's pictures have one id in every set
    for judged in judge(predictor, fold.validation):
        id = judged.pair.id
        times[id] += 1
        name = id if times[id] == 1 else f"{id}.{times[id]}"
        file = masks / f"{name}.png"
        write_bytes(file, cv2.imencode(".png", judged.mask)[1].tobytes())
        yield judged, file
