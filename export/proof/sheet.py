"""The data sheet of a model file, as text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from export.contract import DIMENSIONS, INPUT, MASK, PROB, SUITABLE, Contract
from export.proof.text import aligned_rows, parity_rows, verdict
from seglab.files import sha256

MIB = 1 << 20
VIEWS = {
    "flips": "mean over the image and its three mirror images",
    "symmetries": "mean over the eight symmetries of the square",
}
"""What a graph averages over, by the contract's ``tta``."""
PARTS = ("training", "validation", "test")


def data_sheet(path: Path, contract: Contract, *, verbose: bool = False) -> str:
    """Return the description of a model file: what it is, how it was proved, how to feed it, where it comes from.

    ``verbose``: include everything that the contract says about training and parity.
    """
    axes = ", ".join(DIMENSIONS)
    rows = [
        ("model", f"{path}, {path.stat().st_size / MIB:.2f} MiB"),
        *_network_rows(contract),
        *_quantisation_rows(contract.quantisation),
        *_parity_rows(contract.parity, verbose=verbose),
        ("classes", ", ".join(contract.class_names)),
        ("input", f"{INPUT}: uint8 ({axes}, 3), RGB ({contract.colour_space}) 0-255, any size"),
        ("output", f"{PROB}: float32 ({DIMENSIONS[0]}, {contract.classes}, {contract.size}, {contract.size}), 0-1"),
        ("", f"{MASK}: uint8 ({axes}), {_mask_values(contract)}"),
        *_suitable_rows(contract.suitable),
        ("inside", f"resize to {contract.size} x {contract.size} (bilinear, antialiased, half-pixel centres)"),
        *([("", "hair removal")] if contract.hair_removal else []),
        ("", f"mean {_numbers(contract.mean)}, std {_numbers(contract.std)} on the scale 0-1"),
        *([("", VIEWS[contract.tta])] if contract.tta in VIEWS else []),
        *(_nested("training", contract.training) if verbose else _training_rows(contract.training)),
        ("licence", contract.licence),
        ("checkpoint", contract.checkpoint_sha256 or "not known"),
        ("sha256", sha256(path)),
        ("format", f"contract {contract.format_version}, ONNX opset {contract.opset}"),
        ("made with", ", ".join(f"{name} {version}" for name, version in contract.tools.items())),
        ("use it", usage(path)),
        *([] if verbose else [("more", "--verbose: all of training and parity; --json: everything")]),
    ]
    return aligned_rows(rows)


def usage(path: Path) -> str:
    """Return the command that makes masks with a model file."""
    return shlex.join(["seg-batch", "run", "photos/", "--out", "masks/", "--model", str(path)])


def _network_rows(contract: Contract) -> list[tuple[str, str]]:
    if not contract.ensemble:
        return [("network", f"{_named(contract.arch, contract.encoder)}, {contract.precision}")]
    members = [("", _named(member["arch"], member["encoder"])) for member in contract.ensemble]
    return [("networks", f"{len(members)}, averaged probabilities, {contract.precision}"), *members]


def _named(arch: str, encoder: str | None) -> str:
    return f"{arch} / {encoder}" if encoder else arch


def _mask_values(contract: Contract) -> str:
    if contract.classes == 1:
        return f"0 or 255, lesion: prob >= {contract.threshold:g}"
    return f"0 to {contract.classes - 1}, the most probable class"


def _suitable_rows(suitable: dict[str, Any]) -> list[tuple[str, str]]:
    if not suitable:
        return []
    below = f"below {suitable['threshold']:g} an image does not look like the training images"
    return [("", f"{SUITABLE}: float32 ({DIMENSIONS[0]}), 0-1; {below}")]


def _quantisation_rows(made: dict[str, Any]) -> list[tuple[str, str]]:
    if not made:
        return []
    kept = made["float_layers"]
    float_layers = f"{len(kept)} of {made['layers']} layers in fp32{': ' + ', '.join(kept) if kept else ''}"
    if "calibration" not in made:
        return [("", float_layers)]
    way = made["calibration"]
    learned = way.removeprefix("none: ")
    return [("quantised", f"calibrated on {way}" if learned == way else learned), ("", float_layers)]


def _parity_rows(parity: dict[str, Any], *, verbose: bool) -> list[tuple[str, str]]:
    if not parity:
        return [("parity", "not measured")]
    rows = parity_rows(parity)
    return [
        ("parity", verdict(parity)),
        *(rows if verbose else [row for row in rows if row[0] in ("images", "to the truth")]),
    ]


def _training_rows(training: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is known of the training in a few lines; the rest is shown with ``verbose``."""
    if not training:
        return [("training", "not stated")]
    texts = [*_of_data(training.get("data")), *_of_epoch(training.get("last_epoch"))]
    rest = ", ".join(f"{key} {value}" for key, value in training.items() if isinstance(value, str | int | float))
    texts += [rest] if rest else []
    return [("" if place else "training", text) for place, text in enumerate(texts)] or [("training", "see --verbose")]


def _of_data(data: Any) -> Iterable[str]:
    if isinstance(data, dict) and "sets" in data:
        counts = ", ".join(f"{data[key]} {part}" for part in PARTS if (key := f"{part}_images") in data)
        split = f" (split {data['split']})" if "split" in data else ""
        yield f"{counts} images of {', '.join(map(str, data['sets']))}{split}"


def _of_epoch(epoch: Any) -> Iterable[str]:
    if isinstance(epoch, dict) and {"val_dice", "val_iou"} <= epoch.keys():
        yield f"validation Dice {epoch['val_dice']:.4f}, IoU {epoch['val_iou']:.4f}, at the network's size"


def _nested(label: str, values: dict[str, Any]) -> list[tuple[str, str]]:
    if not values:
        return [(label, "not stated")]
    rows = [(f"  {key}", value if isinstance(value, str) else json.dumps(value)) for key, value in values.items()]
    return [(label, ""), *rows]


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:g}" for value in values)
