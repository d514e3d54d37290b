"""Soft masks of all training images: the mean of the teachers and of the network before, over eight symmetries each.

A member's maps are kept by themselves (``maps/MEMBER/SET/ID.png``), so that a further teacher costs its own only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.support.places import CHECKPOINT
from benchmarks.support.release.plan import DATA_SETS
from benchmarks.support.release.training import SOFT, TEACHERS
from benchmarks.support.release.work import BEFORE, Work
from export import Segmenter
from export.runtime.masks import agreement, to_mask
from seglab.data.collection import collect
from seglab.data.pairs import Pair
from seglab.data.splits import read_split
from seglab.files import write_bytes, write_text
from seglab.images.pixels.mask_resize import HALF, fit_mask

DOUBTFUL = 0.6
"""Soft masks with a lower Dice to the truth are listed, to be looked at."""
DOUBTFUL_FILE = "soft-doubtful.json"


def make_soft_masks(work: Work) -> bool:
    """Write a soft mask for every training image. Return False where the hours were over before."""
    pairs = training_pairs(work)
    for name, checkpoint in members(work).items():
        model = work.out / "members" / f"{name}.onnx"
        if not model.exists():
            work.call("seg-export", "onnx", checkpoint, "--tta", "symmetries", "--out", model)
        if not _draw(model, work, pairs, work.out / "maps" / name):
            return False
    doubtful = {}
    for (set_name, id), pair in pairs.items():
        places = [work.out / "maps" / name / set_name / f"{id}.png" for name in members(work)]
        soft = mean_map([_read(place) for place in places])
        _write(work.out / SOFT / set_name / f"{id}.png", soft)
        dice = agreement(to_mask(soft, 0.5), truth_at(pair, len(soft)))[1]
        if dice < DOUBTFUL:
            doubtful[f"{set_name}/{id}"] = round(dice, 4)
    worst_first = dict(sorted(doubtful.items(), key=lambda entry: entry[1]))
    report = {"images": len(pairs), "members": list(members(work)), f"dice_below_{DOUBTFUL:g}": worst_first}
    write_text(work.out / DOUBTFUL_FILE, json.dumps(report, indent=1) + "\n")
    return True


def members(work: Work) -> dict[str, Path]:
    """Return the checkpoints whose maps are averaged, by name."""
    teachers = {each.name: work.out / TEACHERS / each.name / "best.pt" for each in work.plan.teachers}
    return {**teachers, BEFORE: work.out / BEFORE / CHECKPOINT.name}


def training_pairs(work: Work) -> dict[tuple[str, str], Pair]:
    """Return the pairs that trained the first teacher, by set and id."""
    split = read_split(work.out / TEACHERS / work.plan.teachers[0].name / "split.json")
    trained = set(split["training"])
    found = collect([work.data / name for name in DATA_SETS])
    return {(each.name, pair.id): pair for each in found.sets for pair in each.pairs if pair.id in trained}


def mean_map(maps: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the mean of maps ``(s, s)`` at the size of the largest, ``(S, S)``."""
    size = max(map(len, maps))
    whole = [cv2.resize(each, (size, size), interpolation=cv2.INTER_LINEAR) for each in maps]
    return np.asarray(np.mean(whole, axis=0), np.float32)


def truth_at(pair: Pair, size: int) -> NDArray[np.uint8]:
    """Return the truth of a pair, ``(size, size)``, 0 or 255."""
    return np.where(fit_mask(pair.mask(), size) >= HALF, np.uint8(255), np.uint8(0))


def _draw(model: Path, work: Work, pairs: dict[tuple[str, str], Pair], out: Path) -> bool:
    """Write the maps that are not there yet; return whether all are."""
    left = {out / set_name / f"{id}.png": pair.source for (set_name, id), pair in pairs.items()}
    left = {place: source for place, source in left.items() if not place.exists()}
    if not left:
        return True
    segmenter = Segmenter(model, work.device)
    results = segmenter.stream(_until(left.values(), work.until))
    for place, (_, prob) in zip(left, results, strict=False):
        _write(place, prob)
    return all(place.exists() for place in left)


def _until(sources: Iterable[str], until: float) -> Iterator[str]:
    for source in sources:
        if time.monotonic() >= until:
            return
        yield source


def _write(place: Path, prob: NDArray[np.float32]) -> None:
    levels = np.rint(prob * 255).astype(np.uint8)
    write_bytes(place, bytes(cv2.imencode(".png", levels)[1]), None)


def _read(place: Path) -> NDArray[np.float32]:
    levels = cv2.imdecode(np.frombuffer(place.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.asarray(levels, np.float32) / np.float32(255)
