"""A folder of foreign files with unknown pixels: each is read and compared with what other decoders read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.support.formats.cells import Picture
from benchmarks.support.formats.children import Limits, run_all
from benchmarks.support.formats.decoders import Attempt, Decode, Task, others_for
from benchmarks.support.formats.judging import OURS

SIDE = 64
NEAR = 6.0
"""Levels in the mean, at 64 x 64, up to which two decoders agree."""
WORST = 40
TILE, COLUMNS = 112, 5
FILES_OF_NO_IMAGE = frozenset({".md", ".txt", ".csv", ".json", ".svg", ".icc", ".xml"})


@dataclass(frozen=True, slots=True)
class Compared:
    """A file's outcome.

    ``outcome``: ``agrees``, ``agrees with X alone`` (while others agree on something else), ``differs`` (from what the
    others agree on), ``size`` (is another), ``alone`` (no other reads it), ``disputed`` (the others disagree, and ours
    is none of theirs), ``refused``, or how it failed.
    ``distance``: to the nearest of the others that agree, in levels of 255. ``readers``: the others that read it.
    """

    name: str
    outcome: str
    message: str
    distance: float | None = None
    nearest: str = ""
    readers: tuple[str, ...] = ()
    size: tuple[int, int] | None = None


Attempts = dict[str, Attempt]


def read_folder(
    folder: Path, read: Decode, options: tuple[tuple[str, Any], ...], processes: int | None
) -> dict[str, Attempts]:
    """Return what every decoder makes of every file, by its name in the folder."""
    found: dict[str, Attempts] = defaultdict(dict)
    limits = Limits(seconds=40.0, megabytes=1500)
    for (name, decoder), attempt in run_all(_tasks(folder, options), read, limits, processes):
        found[name][decoder] = attempt
    return dict(sorted(found.items()))


def _tasks(folder: Path, options: tuple[tuple[str, Any], ...]) -> Iterator[tuple[tuple[str, str], Task]]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix.lower() in FILES_OF_NO_IMAGE:
            continue
        data, name = path.read_bytes(), str(path.relative_to(folder))
        suffix = ".dcm" if data[128:132] == b"DICM" else path.suffix.lower() or ".dcm"
        yield (name, OURS), Task(data, suffix, reduce=SIDE, options=options)
        for decoder in others_for(suffix):
            yield (name, decoder), Task(data, suffix, decoder, reduce=SIDE)


def compared(name: str, attempts: Attempts) -> Compared:
    """Judge one file."""
    ours = attempts[OURS]
    others = {who: found for who, found in attempts.items() if who != OURS and found.pixels is not None}
    readers = tuple(sorted(others))
    if ours.pixels is None:
        return Compared(name, ours.state, ours.message, readers=readers)
    remarks = "; ".join(ours.remarks)
    if not others:
        return Compared(name, "alone", remarks, size=ours.size)
    agreed = _agreed(others)
    distances = {who: _distance(ours.pixels, found.pixels) for who, found in others.items()}
    near = {who for who in others if distances[who] <= NEAR and others[who].size == ours.size}
    nearest = min(agreed or others, key=lambda who: (others[who].size != ours.size, distances[who]))
    distance = round(distances[nearest], 2)
    if near:
        outcome = "agrees" if near & set(agreed or others) else f"agrees with {', '.join(sorted(near))} alone"
    else:
        outcome = "size" if distance <= NEAR else "differs" if agreed or len(others) == 1 else "disputed"
    return Compared(name, outcome, remarks, distance, nearest, readers, ours.size)


def _agreed(others: Attempts) -> Attempts:
    """Return those that at least one more agrees with."""
    return {
        who: found
        for who, found in others.items()
        if any(
            other is not found and other.size == found.size and _distance(found.pixels, other.pixels) <= NEAR
            for other in others.values()
        )
    }


def _distance(one: Picture | None, other: Picture | None) -> float:
    assert one is not None
    assert other is not None
    return float(np.abs(one.astype(np.int16) - other).mean())


def outcomes_table(results: Sequence[Compared]) -> str:
    """Return a Markdown table of outcomes for each suffix."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        readable = result.outcome == "refused" and len(result.readers) >= 2
        outcome = "refused, two others read" if readable else result.outcome
        counts[Path(result.name).suffix.lower() or "none"][outcome] += 1
        counts["all"][outcome] += 1
    head = ["suffix", *sorted(counts["all"])]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += [
        "| " + " | ".join([suffix, *(str(by[outcome]) for outcome in head[1:])]) + " |"
        for suffix, by in sorted(counts.items(), key=lambda item: -item[1].total())
    ]
    return "\n".join(lines)


def contact_sheet(results: Sequence[Compared], attempts: dict[str, Attempts]) -> Picture | None:
    """Return the worst that differ, ours left and the nearest of the others right, with names; None if none do."""
    differing = [result for result in results if result.outcome in ("differs", "disputed", "size")]
    worst = sorted(differing, key=lambda result: -(result.distance or 0))[:WORST]
    if not worst:
        return None
    tiles = [_tile(result, attempts[result.name]) for result in worst]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[at : at + COLUMNS]) for at in range(0, len(tiles), COLUMNS)]
    return np.vstack(rows)


def _tile(result: Compared, attempts: Attempts) -> Picture:
    tile = np.full((TILE + 40, 2 * TILE + 12, 3), 255, np.uint8)
    for place, who in enumerate((OURS, result.nearest)):
        pixels = attempts[who].pixels
        assert pixels is not None
        left = place * (TILE + 2)
        tile[:TILE, left : left + TILE] = cv2.resize(pixels, (TILE, TILE), interpolation=cv2.INTER_NEAREST)
    said = (result.name[-36:], f"{result.distance:.0f} {result.outcome} {result.nearest} of {len(result.readers)}")
    for line, text in enumerate(said):
        cv2.putText(tile, text, (2, TILE + 14 + 15 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    return tile


def as_json(results: Sequence[Compared]) -> list[dict[str, Any]]:
    """Return every file's outcome."""
    return [asdict(result) for result in results]
