"""Scores of the model files on the sets that decide, through ``seg-batch run`` and ``score``, as a user gets them."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from batch.ledger.reader import LedgerReader
from benchmarks.support.release.sets import SETS, lesions_of
from benchmarks.support.release.work import BEFORE, Work
from export.runtime.bundled import FP32, INT8
from export.runtime.masks import agreement
from seglab.evaluation.paired import ImageScores, compare_paired, read_scores
from seglab.images.masks import read_mask
from seglab.metrics.bootstrap import interval

RELEASE = "release"
METRICS = ("dice", "iou", "thresholded_jaccard")


def models(work: Work) -> dict[str, Path]:
    """Return the model files that are scored, by name: the one before, and those of the release."""
    return {BEFORE: work.out / BEFORE / FP32, **{name: work.out / RELEASE / name for name in (FP32, INT8)}}


def scored_sets(work: Work) -> list[str]:
    """Return the names of the sets that are there."""
    return [name for name in SETS if (work.out / "sets" / name).is_dir()]


def make_scores(work: Work) -> bool:
    """Segment and score every set by every model; what is done is not done again."""
    for name, model in models(work).items():
        for each in scored_sets(work):
            links, out, place = work.out / "sets" / each, masks_of(work, name, each), table_of(work, name, each)
            work.call("seg-batch", "run", links / "images", "--out", out, "--model", model, "--device", work.device)
            work.call("seg-batch", "score", out, links / "masks", "--csv", place)
    return True


def masks_of(work: Work, model: str, name: str) -> Path:
    """Return the folder of a model's masks of a set."""
    return work.out / "scores" / model / name


def table_of(work: Work, model: str, name: str) -> Path:
    """Return the table of a model's scores of a set."""
    return work.out / "scores" / model / f"{name}.csv"


def figures(work: Work) -> dict[str, Any]:
    """Return all scores with 95 % intervals, the paired differences to the model before, and int8 beside fp32."""
    names = scored_sets(work)
    return {
        "scores": {model: {name: set_scores(work, model, name) for name in names} for model in models(work)},
        "paired": {
            model: {name: _paired(work, model, name) for name in names} for model in models(work) if model != BEFORE
        },
        "int8_to_fp32": {name: _twins(work, name) for name in names},
    }


def set_scores(work: Work, model: str, name: str) -> dict[str, Any]:
    """Return the scores of a model on a set, and on which device in which precision it ran."""
    rows = rows_of(table_of(work, model, name))
    lesions = lesions_of(work.out / "sets" / name)
    groups = [lesions[_id(row["image"])] for row in rows]
    values = {key: [float(row[key]) for row in rows] for key in METRICS}
    with LedgerReader(masks_of(work, model, name)) as ledger:
        run = ledger.last_run()
    return {
        "images": len(rows),
        **{key: float(np.mean(column)) for key, column in values.items()},
        "intervals": {key: list(interval(column, groups)) for key, column in values.items()},
        "worst_dice": min(values["dice"]),
        "device": run.device if run else "",
        "precision": run.precision if run else "",
    }


def rows_of(table: Path) -> list[dict[str, str]]:
    """Return the rows of a table of scores."""
    with table.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _paired(work: Work, model: str, name: str) -> dict[str, Any]:
    lesions = lesions_of(work.out / "sets" / name)
    now, before = (_with_lesions(read_scores(table_of(work, each, name), each), lesions) for each in (model, BEFORE))
    return compare_paired(now, before).to_json()


def _with_lesions(scores: ImageScores, lesions: Mapping[str, str]) -> ImageScores:
    return dataclasses.replace(scores, lesions={image: lesions[_id(image)] for image in scores.values})


def _twins(work: Work, name: str) -> dict[str, Any]:
    """Return the Dice of the masks of int8 to those of fp32."""
    found = {
        place.stem: agreement(read_mask(place), read_mask(masks_of(work, FP32, name) / place.name))[1]
        for place in sorted(masks_of(work, INT8, name).glob("*.png"))
    }
    worst = min(found, key=lambda id: found[id])
    return {"images": len(found), "mean_dice": float(np.mean(list(found.values()))), "worst_dice": found[worst],
            "worst_image": worst}  # fmt: skip


def _id(image: str) -> str:
    return Path(image).stem
