"""Models and parity reports as text for people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from export.contract import DIMENSIONS, INPUT, MASK, PROB, Contract
from export.proof.gate import ParityReport
from export.samples import SYNTHETIC
from seglab.files import sha256

MIB = 1 << 20
LABEL_WIDTH = 16
FEEDS = {
    "whole": "whole images, in-graph resize",
    "batch": "S x S batches, host resize",
    "host": "cost of the host's resizing",
}


def data_sheet(path: Path, contract: Contract) -> str:
    """Describe a model file: what it is, how to feed it, where it comes from, how it was proved."""
    axes = ", ".join(DIMENSIONS)
    rows = [
        ("model", str(path)),
        ("size of file", f"{path.stat().st_size / MIB:.2f} MiB, sha256 {sha256(path)}"),
        ("format", f"contract {contract.format_version}, ONNX opset {contract.opset}"),
        *_network_rows(contract),
        *_quantisation_rows(contract.quantisation),
        ("classes", ", ".join(contract.class_names)),
        ("input", f"{INPUT}: uint8 ({axes}, 3), RGB ({contract.colour_space}), 0-255, any height and width"),
        ("output", f"{PROB}: float32 ({DIMENSIONS[0]}, {contract.classes}, {contract.size}, {contract.size}), 0-1"),
        ("", f"{MASK}: uint8 ({axes}), {_mask_values(contract)}"),
        ("inside", f"resize to {contract.size} x {contract.size} (bilinear, antialiased, half-pixel centres)"),
        *([("", "hair removal")] if contract.hair_removal else []),
        ("", f"mean {_numbers(contract.mean)}, std {_numbers(contract.std)} on the scale 0-1"),
        *([("", "mean over the image and its three mirror images")] if contract.tta == "flips" else []),
        *_nested("training", contract.training),
        ("checkpoint", f"sha256 {contract.checkpoint_sha256 or 'not known'}"),
        *_parity_rows(contract.parity),
        ("made with", ", ".join(f"{name} {version}" for name, version in contract.tools.items())),
        ("licence", contract.licence),
    ]
    return _table(rows)


def parity_text(report: ParityReport) -> str:
    """Describe a parity report in a few lines."""
    return _table(_parity_rows(report.summary()))


def _network_rows(contract: Contract) -> list[tuple[str, str]]:
    if not contract.ensemble:
        return [("network", f"{_named(contract.arch, contract.encoder)}, {contract.precision}")]
    members = [("", _named(member["arch"], member["encoder"])) for member in contract.ensemble]
    return [("networks", f"{len(members)}, whose probabilities are averaged, {contract.precision}"), *members]


def _named(arch: str, encoder: str | None) -> str:
    return f"{arch} / {encoder}" if encoder else arch


def _mask_values(contract: Contract) -> str:
    if contract.classes == 1:
        return f"0 or 255, lesion where prob >= {contract.threshold:g}"
    return f"0 to {contract.classes - 1}, the most probable class"


def _quantisation_rows(made: dict[str, Any]) -> list[tuple[str, str]]:
    if not made:
        return []
    kept = made["float_layers"]
    float_layers = f"{len(kept)} of {made['layers']} layers in fp32{': ' + ', '.join(kept) if kept else ''}"
    if "calibration" not in made:
        return [("", float_layers)]
    return [("quantised", f"calibrated on {made['calibration']}"), ("", float_layers)]


def _parity_rows(parity: dict[str, Any]) -> list[tuple[str, str]]:
    if not parity:
        return [("parity", "not measured")]
    passed = "passed" if parity["passed"] else "FAILED"
    source = f"{parity['images']} images ({parity['source']} and edge cases)"
    rows = [("parity", f"{passed} on {parity['device']} in {parity['precision']}, {source}")]
    if parity["whole_on"] != parity["device"]:
        rows.append(("", f"whole images were measured on {parity['whole_on']}"))
    rows += [("", parity["unproved"])] if parity.get("unproved") else []
    figures = parity["figures"]
    rows += [(f"  {feed}", f"{label}: {_figures(figures[feed])}") for feed, label in FEEDS.items() if feed in figures]
    if "truth" in figures:
        truth = figures["truth"]
        kind = SYNTHETIC if parity["source"] == SYNTHETIC else "images"
        rows.append(
            (
                "  truth",
                f"{truth['images']:.0f} {kind}: Dice {truth['dice']:.4f} (original {truth['original_dice']:.4f}), "
                f"IoU {truth['iou']:.4f} (original {truth['original_iou']:.4f})",
            )
        )
    return rows


def _figures(figures: dict[str, float]) -> str:
    parts = [f"Dice mean {figures['mean_dice']:.6f}, worst {figures['worst_dice']:.6f}"]
    if "max_prob" in figures:
        parts.append(f"prob differs by at most {figures['max_prob']:.2g}, mean {figures['mean_prob']:.2g}")
        parts.append(f"flipped pixels {figures['flipped']:.2g}")
    return "; ".join(parts)


def _nested(label: str, values: dict[str, Any]) -> list[tuple[str, str]]:
    if not values:
        return [(label, "not stated")]
    rows = [(f"  {key}", value if isinstance(value, str) else json.dumps(value)) for key, value in values.items()]
    return [(label, ""), *rows]


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:g}" for value in values)


def _table(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{label:<{LABEL_WIDTH}} {text}".rstrip() for label, text in rows)
