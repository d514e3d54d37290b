"""Verdicts on cells: the results of the reader and of other decoders compared with the known pixels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from benchmarks.support.formats.cells import Cell, Picture
from benchmarks.support.formats.children import Limits, run_all
from benchmarks.support.formats.decoders import PROGRAMS, Attempt, Decode, Task, others_for

OURS = "seglab"
VERDICTS = ("right", "refused", "wrong")


@dataclass(frozen=True)
class Judged:
    """A cell's verdict by one decoder; ``why``: the message of a refusal, or what is wrong."""

    cell: Cell
    decoder: str
    verdict: str
    why: str


def judged(cell: Cell, attempt: Attempt, decoder: str) -> Judged:
    """Compare one attempt with what the cell holds."""
    if attempt.state == "read" and attempt.pixels is not None:
        if any(_is(attempt, right, cell) for right in cell.accepted):
            return Judged(cell, decoder, "right", "; ".join(attempt.remarks))
        return Judged(cell, decoder, "wrong", _difference(cell, attempt))
    if decoder != OURS:
        return Judged(cell, decoder, "refused", attempt.message)
    if attempt.state == "refused" and _is_one_sentence(attempt.message):
        return Judged(cell, decoder, "refused", attempt.message)
    return Judged(cell, decoder, "wrong", f"{attempt.state}: {attempt.message}")


def _is(attempt: Attempt, right: Picture, cell: Cell) -> bool:
    """Return whether the result is this picture, or a large enough copy where a reduced one was asked for."""
    pixels = attempt.pixels
    assert pixels is not None
    if cell.at_least is None:
        return cell.bound.holds(pixels, right)
    height, width = pixels.shape[:2]
    small = np.asarray(cv2.resize(right, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    said = attempt.whole or attempt.size
    return said == right.shape[:2] and min(height, width) >= cell.at_least and cell.bound.holds(pixels, small)


def _is_one_sentence(message: str) -> bool:
    return len(message) > 20 and not any(sign in message for sign in "\n\t\r")


def _difference(cell: Cell, attempt: Attempt) -> str:
    pixels, remarks = attempt.pixels, f" ({'; '.join(attempt.remarks)})" if attempt.remarks else ""
    assert pixels is not None
    if not cell.accepted:
        return f"read, which cannot be right{remarks}"
    right = cell.accepted[0]
    if pixels.shape != right.shape:
        return f"{pixels.shape[:2]} for {right.shape[:2]}{remarks}"
    return f"off by {np.abs(pixels.astype(int) - right).mean():.1f} levels in the mean{remarks}"


def judge_all(
    cells: Iterable[Cell], read: Decode, *, others: str = "all", processes: int | None = None
) -> Iterator[Judged]:
    """Judge cells by the reader and, of ``others`` (``all``, ``here``: no programs, ``none``), by the rest."""
    for (cell, decoder), attempt in run_all(_tasks(cells, others), read, Limits(), processes):
        yield judged(cell, attempt, decoder)


def _tasks(cells: Iterable[Cell], others: str) -> Iterator[tuple[tuple[Cell, str], Task]]:
    for cell in cells:
        options = (("at_least", cell.at_least),) if cell.at_least else ()
        yield (cell, OURS), Task(cell.data, cell.suffix, OURS, options=options)
        for decoder in others_for(cell.suffix) if others != "none" else ():
            if not (others == "here" and decoder in PROGRAMS):
                yield (cell, decoder), Task(cell.data, cell.suffix, decoder)


def table(results: Sequence[Judged]) -> str:
    """Return a Markdown table: a row for each matrix and group, ours in three columns, each other in one."""
    decoders = sorted({result.decoder for result in results} - {OURS})
    counts: dict[tuple[str, str], dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for result in results:
        counts[result.cell.matrix, result.cell.group][result.decoder][result.verdict] += 1
        counts[result.cell.matrix, "all"][result.decoder][result.verdict] += 1
    head = ["matrix", "group", "cells", *VERDICTS, *(f"{name} (right / refused / wrong)" for name in decoders)]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for (matrix, group), by in sorted(counts.items()):
        ours = by[OURS]
        cells = [matrix, group, str(ours.total()), *(str(ours[verdict]) for verdict in VERDICTS)]
        cells += [" / ".join(str(by[name][verdict]) for verdict in VERDICTS) if by[name] else "" for name in decoders]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def unconfirmed(results: Sequence[Judged]) -> list[str]:
    """Return cells that other decoders tried and none read as expected: their writer may be wrong."""
    asked: dict[str, set[str]] = defaultdict(set)
    for result in results:
        if result.decoder != OURS and result.cell.accepted:
            asked[f"{result.cell.matrix}, {result.cell.group}: {result.cell.name}"].add(result.verdict)
    return [name for name, verdicts in asked.items() if "right" not in verdicts]


def figures(results: Sequence[Judged]) -> dict[str, Any]:
    """Return counts, and every cell that is not right, for a JSON file."""
    ours = [result for result in results if result.decoder == OURS]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for result in ours:
        counts[result.cell.matrix][result.verdict] += 1
    listed = [
        {"matrix": r.cell.matrix, "group": r.cell.group, "name": r.cell.name, "verdict": r.verdict, "why": r.why}
        for r in ours
        if r.verdict != "right"
    ]
    return {"counts": counts, "not_right": listed, "unconfirmed": unconfirmed(results)}
