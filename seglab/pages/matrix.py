"""A confusion matrix as SVG: counts, and the share of each in its row."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from seglab.errors import printable

CELL_WIDTH, CELL_HEIGHT = 110, 62
LEFT, TOP, BOTTOM = 96, 34, 6
DARKEST = 0.35
"""Opacity of a cell that holds its whole row: light enough for the text in it."""


def confusion_matrix(names: Sequence[str], counts: Sequence[Sequence[int]], title: str) -> str:
    """Return the matrix. ``counts``: a row per class of the truth, a column per class of the mask, as ``names``."""
    width, height = LEFT + CELL_WIDTH * len(names), TOP + CELL_HEIGHT * len(names) + BOTTOM
    parts = [f'<text x="{LEFT + (width - LEFT) / 2:.0f}" y="12" text-anchor="middle">mask</text>']
    parts.append(f'<text x="4" y="{TOP - 6}">truth</text>')
    for column, name in enumerate(names):
        x = LEFT + CELL_WIDTH * (column + 0.5)
        parts.append(f'<text x="{x:.0f}" y="{TOP - 6}" text-anchor="middle">{_safe(name)}</text>')
    for row, (name, values) in enumerate(zip(names, counts, strict=True)):
        y = TOP + CELL_HEIGHT * row
        parts.append(f'<text x="4" y="{y + CELL_HEIGHT / 2 + 4:.0f}">{_safe(name)}</text>')
        total = sum(values)
        parts += [_cell(LEFT + CELL_WIDTH * column, y, value, total) for column, value in enumerate(values)]
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{_safe(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _cell(x: float, y: float, value: int, total: int) -> str:
    share = value / total if total else 0.0
    said = f"{100 * share:.2f} %" if total else "none"
    middle = x + CELL_WIDTH / 2
    return (
        f'<rect class="bar" fill-opacity="{DARKEST * share:.3f}" x="{x}" y="{y}" width="{CELL_WIDTH}" '
        f'height="{CELL_HEIGHT}"/><rect class="grid" x="{x}" y="{y}" width="{CELL_WIDTH}" height="{CELL_HEIGHT}"/>'
        f'<text style="fill: var(--ink)" x="{middle}" y="{y + 28}" text-anchor="middle">{said}</text>'
        f'<text style="fill: var(--ink)" x="{middle}" y="{y + 45}" text-anchor="middle">{value:,}</text>'
    )


def _safe(text: str) -> str:
    return escape(printable(text))
