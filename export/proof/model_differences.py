"""The differences between two model files: contract, graph, and above all their masks."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.contract import Contract, read_contract
from export.proof.graph_differences import GraphDifferences, graph_differences
from export.runtime.masks import agreement
from export.runtime.model import Model
from export.samples import Sample
from export.tolerances import tolerance_for

FORMAT_VERSION = 1
JUDGED_BY = "fp32"
OTHER_CLASSES = "the models have different numbers of classes"


@dataclass(frozen=True)
class MaskRow:
    """How the masks of one image differ: flipped pixels, Dice; ``counted``: the Dice it is judged by.

    ``max_prob``: largest difference of probabilities; None if the models' sizes differ.
    """

    image: str
    flipped: int
    pixels: int
    dice: float
    counted: float
    max_prob: float | None


@dataclass(frozen=True)
class MaskDifferences:
    """The same over all images, and what exceeds the limits of fp32 (empty: the masks agree)."""

    flipped: float
    mean_dice: float
    worst_dice: float
    max_prob: float | None
    beyond: tuple[str, ...]
    rows: tuple[MaskRow, ...]

    def worst(self, count: int) -> list[MaskRow]:
        """Return the images whose masks differ most, without those whose masks are equal."""
        return sorted((row for row in self.rows if row.flipped), key=lambda row: (row.counted, row.dice))[:count]


@dataclass(frozen=True)
class ModelDifferences:
    """``contract``: fields that differ, with both values. ``graph``: None if the package onnx is missing.

    ``masks``: None if masks cannot be compared; ``not_compared`` says why.
    """

    contract: dict[str, tuple[Any, Any]]
    graph: GraphDifferences | None
    masks: MaskDifferences | None
    not_compared: str = ""

    @property
    def masks_agree(self) -> bool:
        """Return whether the masks agree within the limits of fp32."""
        return self.masks is not None and not self.masks.beyond

    def to_json(self) -> str:
        """Return everything as JSON, with a format version."""
        values = {"kind": "seglab diff", "format_version": FORMAT_VERSION, "masks_agree": self.masks_agree}
        return json.dumps(_finite(values | dataclasses.asdict(self)), indent=2)


def model_differences(
    first: Model,
    second: Model,
    samples: Iterable[Sample],
    track: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
) -> ModelDifferences:
    """Compare two opened models; their masks are compared on whole images, one after the other.

    Raises :class:`export.errors.DeviceError` if a model does not run, :class:`seglab.errors.ImageError` for an image
    that cannot be read.
    """
    if first.contract.classes != second.contract.classes:
        return file_differences(first.path, second.path, OTHER_CLASSES)
    found = file_differences(first.path, second.path, "")
    return dataclasses.replace(found, masks=_mask_differences(tuple(_rows(first, second, track(samples)))))


def file_differences(first: Path, second: Path, not_compared: str) -> ModelDifferences:
    """Compare two model files without running them. ``not_compared``: why their masks are not compared.

    Raises :class:`export.errors.ContractError` for a file without a valid contract.
    """
    has_onnx = importlib.util.find_spec("onnx") is not None
    return ModelDifferences(
        _contract_differences(read_contract(first), read_contract(second)),
        graph_differences(first, second) if has_onnx else None,
        None,
        not_compared,
    )


def _contract_differences(first: Contract, second: Contract) -> dict[str, tuple[Any, Any]]:
    one, other = dataclasses.asdict(first), dataclasses.asdict(second)
    return {name: (one[name], other[name]) for name in one if one[name] != other[name]}


def _rows(first: Model, second: Model, samples: Iterable[Sample]) -> Iterator[MaskRow]:
    limits = tolerance_for(JUDGED_BY)
    for sample in samples:
        (probs, masks), (other_probs, other_masks) = (
            model.prob_and_mask(sample.image[None]) for model in (first, second)
        )
        flipped, dice = agreement(masks[0], other_masks[0])
        counted = limits.counted_dice(dice, flipped, masks[0].size if sample.edge else 0)
        gap = float(np.abs(probs - other_probs).max()) if probs.shape == other_probs.shape else None
        yield MaskRow(sample.name, flipped, masks[0].size, dice, counted, gap)


def _mask_differences(rows: tuple[MaskRow, ...]) -> MaskDifferences:
    limits = tolerance_for(JUDGED_BY)
    pixels = sum(row.pixels for row in rows)
    flipped, most = sum(row.flipped for row in rows) / pixels, limits.most_flipped(pixels)
    counted = [row.counted for row in rows]
    beyond = []
    if flipped > most:
        beyond.append(f"the share of flipped pixels is {flipped:.2g}, at most {most:.2g} allowed")
    for name, found in (("mean", float(np.mean(counted))), ("worst", min(counted))):
        limit = getattr(limits, f"{name}_dice")
        if found < limit:
            beyond.append(f"{name} Dice is {found:.6f}, at least {limit:g} allowed")
    gaps = [row.max_prob for row in rows if row.max_prob is not None]
    max_prob = float(np.max(gaps)) if gaps else None
    if max_prob is not None and np.isnan(max_prob):
        beyond.append("some probabilities are not finite")
    dice = [row.dice for row in rows]
    return MaskDifferences(flipped, float(np.mean(dice)), min(dice), max_prob, tuple(beyond), rows)


def _finite(value: Any) -> Any:
    """Return a value as JSON can hold it: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
