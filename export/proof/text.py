"""Parity reports as text: the verdict first, then a table of the figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from export.proof.gate import ParityReport
from seglab.terminal import padded, width_of, wrapped
from seglab.words import counted

WIDTH = 80
FEEDS = {"whole": "whole images", "batch": "batches of S x S", "host": "host's resizing"}
"""Rows of the table: images of any size, resized in the graph; resized before; the effect of the host's resizing."""
COLUMNS = ("mask Dice", "worst", "prob. differs by", "pixels flipped")


def parity_text(name: str, report: ParityReport, *more: tuple[str, str]) -> str:
    """Describe the report of a model in lines of :data:`WIDTH`, if names allow; ``more`` rows come at the end."""
    parity = report.summary()
    said = f"PASSED: {name} gives the masks of its original"
    if not parity["passed"]:
        said = (
            f"FAILED: {name} {'is not proved to' if parity['unproved'] else 'does not'} give the masks of its original"
        )
    return "\n".join([said, aligned_rows([("measured", _place(parity)), *parity_rows(parity), *more])])


def verdict(parity: dict[str, Any]) -> str:
    """Return in a few words whether a model passed, and on which device."""
    return f"{'PASSED' if parity['passed'] else 'FAILED'} {_place(parity)}"


def _place(parity: dict[str, Any]) -> str:
    return f"on {parity['device']} in {parity['precision']}, {counted(parity['images'], 'image')}"


def parity_rows(parity: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the figures of a parity summary as rows of label and text."""
    rows = [("images", f"{parity['source']}, and edge cases")]
    if parity["whole_on"] != parity["device"]:
        rows.append(("", f"whole images were measured on {parity['whole_on']}"))
    rows += [("not proved", parity["unproved"])] if parity.get("unproved") else []
    figures = parity["figures"]
    rows.append(("to its original", _cells(COLUMNS)))
    rows += [(label, _cells(_figures(figures[feed]))) for feed, label in FEEDS.items() if feed in figures]
    if "suitable" in figures:
        rows.append(("suitable", f"differs by at most {max(figures['suitable'].values()):.2g}"))
    if "truth" in figures:
        rows.append(("to the truth", _truth(figures["truth"])))
    return rows


def aligned_rows(rows: Iterable[tuple[str, str]]) -> str:
    """Return rows of label and text with the texts aligned; long lines are broken between words."""
    rows = list(rows)
    width = max(width_of(label) for label, _ in rows) + 2
    return "\n".join(
        line for label, text in rows for line in wrapped(f"{padded(label, width)}{text}".rstrip(), WIDTH, " " * width)
    )


def _cells(cells: Sequence[str]) -> str:
    return "  ".join(f"{cell:>{max(8, len(title))}}" for cell, title in zip(cells, COLUMNS, strict=True))


def _figures(figures: dict[str, float]) -> tuple[str, str, str, str]:
    dice = f"{figures['mean_dice']:.6f}", f"{figures['worst_dice']:.6f}"
    if "max_prob" not in figures:
        return *dice, "-", "-"
    return *dice, f"{figures['max_prob']:.2g}", f"{100 * figures['flipped']:.2g} %"


def _truth(truth: dict[str, float]) -> str:
    dice, iou = f"Dice {truth['dice']:.4f}", f"IoU {truth['iou']:.4f}"
    return f"{dice} (original {truth['original_dice']:.4f}), {iou} (original {truth['original_iou']:.4f})"
