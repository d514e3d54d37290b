"""Files damaged on purpose, mostly in their headers, to find readings that end in neither a picture nor a refusal."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.support.formats.cells import Cell
from benchmarks.support.formats.children import Limits, run_all
from benchmarks.support.formats.decoders import Attempt, Decode, Task

MOST_BYTES = 14_000
MAX_PIXELS = 4_000_000
"""The reader's limit: small, so that a read stays cheap whatever a header claims."""
EDGE = 700
"""Bytes at a file's beginning and end, where headers and directories are."""
NUMBERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 4095, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
KEPT = 5
"""Files of one finding that are kept."""


@dataclass
class Findings:
    """``counts``: of all states. ``findings``: what went wrong, with how often. ``files``: those that were kept."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    files: list[str] = field(default_factory=list)


def fuzzed(cells: Sequence[Cell], count: int, seed: int, read: Decode, folder: Path, processes: int | None) -> Findings:
    """Read ``count`` spoiled files; keep those that crash, hang, take too much memory or end in another exception."""
    seeds = [cell for cell in cells if len(cell.data) <= MOST_BYTES]
    found = Findings()
    limits = Limits(seconds=20.0, megabytes=300)
    for (number, cell, task), attempt in run_all(_tasks(seeds, count, seed), read, limits, processes):
        state = _state(attempt)
        found.counts[state] += 1
        if state in ("read", "refused"):
            continue
        what = f"{cell.matrix}: {state}: {attempt.message[:100]}"
        found.findings[what] += 1
        if found.findings[what] <= KEPT:
            target = folder / f"{state}-{number}{cell.suffix}"
            folder.mkdir(parents=True, exist_ok=True)
            target.write_bytes(task.data)
            found.files.append(f"{target.name}: {what} (from {cell.group}, {cell.name}; {dict(task.options)})")
    return found


def _state(attempt: Attempt) -> str:
    if attempt.state == "refused" and any(sign in attempt.message for sign in "\n\t\r"):
        return "message"
    return attempt.state


def _tasks(seeds: Sequence[Cell], count: int, seed: int) -> Iterator[tuple[tuple[int, Cell, Task], Task]]:
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        cell = seeds[int(rng.integers(len(seeds)))]
        data = spoiled(cell.data, rng)
        options = (("max_pixels", MAX_PIXELS), *((("at_least", 16),) if number % 2 else ()))
        task = Task(data, cell.suffix, reduce=1, options=options)
        yield (number, cell, task), task


def spoiled(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file's bytes with one to four faults; the checksums of a PNG's chunks are usually corrected."""
    for _ in range(int(rng.integers(1, 5))):
        data = _fault(bytearray(data), rng)
    if data.startswith(b"\x89PNG") and rng.random() < 0.85:
        return _with_sums(data)
    return data


def _fault(data: bytearray, rng: np.random.Generator) -> bytes:
    at = _place(len(data), rng)
    match int(rng.integers(8)):
        case 0:
            data[at] ^= 1 << int(rng.integers(8))
        case 1:
            data[at] = int(rng.integers(256))
        case 2 | 3 | 4:
            size = ("B", "H", "I", "Q")[int(rng.integers(4))]
            value = NUMBERS[int(rng.integers(len(NUMBERS)))] % (1 << 8 * struct.calcsize(size))
            number = struct.pack(("<", ">")[int(rng.integers(2))] + size, value)
            data[at : at + len(number)] = number
        case 5:
            del data[at : at + int(rng.integers(1, 64))]
        case 6:
            data[at:at] = data[at : at + int(rng.integers(1, 64))]
        case 7:
            end = _place(len(data), rng)
            data[at : at + 24] = data[end : end + 24]
    return bytes(data) or b"\0"


def _place(length: int, rng: np.random.Generator) -> int:
    """Return a place in a file, most likely in its header or directory."""
    edge = min(EDGE, length)
    match int(rng.integers(4)):
        case 0 | 1:
            return int(rng.integers(edge))
        case 2:
            return length - 1 - int(rng.integers(edge))
    return int(rng.integers(length))


def _with_sums(data: bytes) -> bytes:
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        content = data[at + 4 : at + 8 + length]
        out += data[at : at + 4] + content + struct.pack(">I", zlib.crc32(content))
        at += 12 + length
    return bytes(out + data[at:])
