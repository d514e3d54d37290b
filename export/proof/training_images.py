"""Which images of a set a model was trained on: agreement on them is no validation, and is not called so."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from export.samples import SampleSet
from seglab.data.splits import read_split, validates
from seglab.errors import DataError

SPLIT = "split.json"
"""File in the folder of a training run with the ids of its parts."""


def told_apart(samples: SampleSet, training: dict[str, Any], checkpoint: Path | None) -> SampleSet:
    """Return the set with a ``source`` that says how many of its images the model was trained on, as far as is known.

    ``training``: the checkpoint's record of its training. ``checkpoint``: its path; the split of its run is beside it.
    """
    names = [image.stem for image, _ in samples.files]
    trained = _trained_on(names, samples, training, checkpoint)
    if not trained:
        return samples
    which = "from the training set" if trained == len(names) else f"{trained} of them from the training set"
    return dataclasses.replace(samples, source=f"{samples.source} ({which})")


def _training_ids(training: dict[str, Any], checkpoint: Path | None) -> frozenset[str] | None:
    """Return the training names of the split in the checkpoint, or beside it; None if there is no split.

    For ids like ``SET/id``, used where two sets share an id, only the id: here a photograph is known by its file name.
    """
    kept = training.get("split")
    if isinstance(kept, dict):
        return frozenset(str(id).rpartition("/")[2] for id in kept.get("training", ()))
    split = checkpoint.parent / SPLIT if checkpoint else None
    if split is None or not split.is_file():
        return None
    try:
        return frozenset(read_split(split)["training"])
    except DataError:  # another program's file of that name
        return frozenset()


def _trained_on(names: Sequence[str], samples: SampleSet, training: dict[str, Any], checkpoint: Path | None) -> int:
    ids = _training_ids(training, checkpoint)
    if ids is not None:
        return sum(name in ids for name in names)
    data = training.get("data")
    sets = data.get("sets") if isinstance(data, dict) else None
    if not isinstance(sets, list):
        return 0
    known = [image.stem for image, _ in samples.files if set(image.parts) & set(map(str, sets))]
    method = str(data.get("split", "")) if isinstance(data, dict) else ""
    is_fifth = method == "fifth" or "mod 5" in method
    return sum(not validates(name) for name in known) if is_fifth else len(known)
