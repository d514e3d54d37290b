"""The card of the package's network: the template ``card.md``, filled from the figures of a release."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any

from benchmarks.support.release.sets import SETS
from benchmarks.support.release.work import BEFORE
from export.runtime.bundled import FP32, INT8

TEMPLATE = Path(__file__).with_name("card.md")
SHOWN = {"dice": "Dice", "iou": "IoU", "thresholded_jaccard": "thresholded Jaccard"}


def card_text(report: Mapping[str, Any]) -> str:
    """Return the card of a release's report (``release.json``)."""
    network = report["network"]
    return Template(TEMPLATE.read_text()).substitute(
        network=f"{network['arch']}, encoder {network['encoder']}, {network['weights'] / 1e6:.1f} million weights",
        files=", ".join(f"`{name}` ({size / 2**20:.1f} MiB)" for name, size in report["files"].items()),
        size=network["size"],
        licence=network["licence"],
        trained=network["training_images"],
        validated=network["validation_images"],
        machine=report["stages"][-1]["machine"],
        plan=report["plan"],
        stages="\n".join(f"| {stage['stage']} | {stage['seconds'] / 3600:.2f} |" for stage in report["stages"]),
        commands="\n".join(f"$ {command}" for stage in report["stages"] for command in stage["commands"]),
        scores="\n".join(_score_lines(report["scores"])),
        paired="\n".join(_paired_lines(report["paired"])),
        twins="\n".join(
            f"| {_title(name, found)} | {found['mean_dice']:.4f} | {found['worst_dice']:.4f} ({found['worst_image']}) |"
            for name, found in report["int8_to_fp32"].items()
        ),
        parity="\n".join(
            f"| `{name}` | {found['images']} | {found['mean_dice']:.6f} | {found['worst_dice']:.6f} |"
            for name, found in report["parity"].items()
        ),
        worst=len(report["worst"]),
        picture=f"![Outlines of masks and truths on the worst images]({report['picture']})",
    )


def _score_lines(scores: Mapping[str, Any]) -> Iterator[str]:
    for name in next(iter(scores.values())):
        for model in (BEFORE, FP32, INT8):
            found = scores[model][name]
            cells = [f"{found[key]:.4f} ({_span(*found['intervals'][key])})" for key in SHOWN]
            ran = f"{found['device']}, {found['precision']}"
            shown = model if model == BEFORE else f"`{model}`"
            yield f"| {_title(name, found)} | {shown} | {' | '.join(cells)} | {found['worst_dice']:.3f} | {ran} |"


def _paired_lines(paired: Mapping[str, Any]) -> Iterator[str]:
    for model, sets in paired.items():
        for name, found in sets.items():
            cells = [
                f"{each['difference']:+.4f} ({_span(each['low'], each['high'], '+.4f')})"
                for each in (found["differences"][key] for key in ("dice", "iou"))
            ]
            yield f"| {_title(name, found)} | `{model}` | {' | '.join(cells)} |"


def _title(name: str, found: Mapping[str, Any]) -> str:
    return f"{SETS[name].title}: {found['images']}"


def _span(low: float, high: float, form: str = ".4f") -> str:
    return f"{low:{form}} to {high:{form}}"
