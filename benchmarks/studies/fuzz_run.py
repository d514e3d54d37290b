"""A whole run over many broken files: it must finish, and each file must get its mask or a reason.

``python -m benchmarks.studies.fuzz_run --images 100000`` spoils small files of all kinds (bits, numbers, cuts, splices)
and packs them into a tar, which the command segments with a network that computes next to nothing. It prints the rate
and how many images failed for which kind of reason, and keeps (``--keep DIR``) the files that ended or hung a process
or failed for a reason that is no sentence of the reader's. The exit code is 1 if an image has neither mask nor reason.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.support.command import run_arguments, start
from benchmarks.support.formats.cells import Cell
from benchmarks.support.formats.fuzz import MOST_BYTES, spoiled
from benchmarks.support.formats.matrices import QUICK, all_cells
from benchmarks.support.null_network import null_model
from benchmarks.support.places import machine
from seglab.files import write_text
from seglab.images.formats import IMAGE_SUFFIXES

KINDS = ("tiff", "png", "jpeg", "others")
IN_A_FOLDER = 1000
TIMES = 1_700_000_000
SEVERE = re.compile(r"The process that read it|It took longer|[A-Za-z.]*(Error|Exception|Panic)\b")
"""Reasons that show a severe failure: a decoder ended or hung its process, or raised an unexpected error."""
SHOWN = 30
FINISHED = (0, 3)


@dataclass(frozen=True)
class Ended:
    """A run over spoiled files. ``failures``: reasons by the path in the tar. ``said``: at its end."""

    seconds: float
    code: int
    counts: dict[str, int]
    failures: dict[str, str]
    said: str

    def faults(self, images: int) -> list[str]:
        """Return what is wrong with it."""
        expected = {"done": images - len(self.failures), "failed": len(self.failures), "pending": 0}
        wrong = [f"{path} failed without a reason" for path, reason in self.failures.items() if not reason.strip()]
        if self.counts != expected:
            wrong.append(f"{self.counts} came, {expected} were expected")
        if self.code not in FINISHED:
            wrong.append(f"exit code {self.code}: {self.said[-2000:]}")
        return wrong


@click.command()
@click.option("--images", default=100_000, show_default=True, help="Spoiled files.")
@click.option("--seed", default=0, show_default=True, help="Seed of the damage.")
@click.option("--timeout", default=20.0, show_default=True, help="Seconds that a file may take.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for files that caused a severe failure.")
@click.option("--json", "json_to", type=click.Path(path_type=Path), help="File for the figures.")
def main(images: int, seed: int, timeout: float, keep: Path | None, json_to: Path | None) -> None:
    """Spoil, run, count."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = write_spoiled(root / "spoiled.tar", images, seed)
        ended = run(source, root / "masks.tar", null_model(root / "null.onnx"), timeout)
        kept = keep_severe(source, ended.failures, keep) if keep is not None else 0
    wrong = ended.faults(images)
    figures = {**_figures(ended, images), "machine": machine(), "images": images, "seed": seed, "wrong": wrong}
    if json_to is not None:
        write_text(json_to, json.dumps(figures, indent=2) + "\n")
    for line in _lines(figures):
        click.echo(line)
    if kept:
        click.echo(f"{kept} files kept: {keep}")
    sys.exit(1 if wrong else 0)


def write_spoiled(path: Path, count: int, seed: int) -> Path:
    """Write a tar of ``count`` spoiled files, and return its path."""
    cells = [cell for cell in all_cells(KINDS, QUICK) if len(cell.data) <= MOST_BYTES and cell.suffix in IMAGE_SUFFIXES]
    with tarfile.open(path, "w") as tar:
        for number, (cell, data) in enumerate(_spoiled(cells, count, seed)):
            info = tarfile.TarInfo(f"{number // IN_A_FOLDER:03}/{number:06}{cell.suffix}")
            info.size, info.mtime = len(data), TIMES
            tar.addfile(info, io.BytesIO(data))
    return path


def _spoiled(cells: list[Cell], count: int, seed: int) -> Iterator[tuple[Cell, bytes]]:
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        cell, other = (cells[int(index)] for index in rng.integers(len(cells), size=2))
        yield cell, mutated(cell.data, other.data, rng)


def mutated(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Return a file's bytes with some faults, cut off, or with a piece of another file."""
    at = int(rng.integers(len(data)))
    match int(rng.integers(5)):
        case 0:
            return data[:at]
        case 1:
            begin, end = sorted(int(place) for place in rng.integers(len(other), size=2))
            return data[:at] + other[begin:end] + data[at:][int(rng.integers(2)) * (end - begin) :]
    return spoiled(data, rng)


def run(source: Path, out: Path, model: Path, timeout: float) -> Ended:
    """Segment the tar by the command, and ask the ledger."""
    begin = time.perf_counter()
    words = run_arguments(source, out, model, "cpu", "--timeout", str(timeout))
    with tempfile.TemporaryFile() as said:
        code = start(words, stderr=said.fileno()).wait()
        seconds = time.perf_counter() - begin
        said.seek(0)
        text = said.read().decode(errors="replace")
    found = _status(out)
    inside = {row["path"].removeprefix(f"{source}/"): row["error"] for row in found["failures"]}
    return Ended(seconds, code, found["counts"], inside, text)


def _status(out: Path) -> dict[str, Any]:
    words = [sys.executable, "-P", "-c", "from batch.cli import main; main()", "status", str(out), "--json", "--all"]
    return dict(json.loads(subprocess.run(words, capture_output=True, check=True).stdout))


def keep_severe(source: Path, failures: dict[str, str], folder: Path) -> int:
    """Copy the files that caused severe failures, with their reasons; return their number."""
    severe = {path: reason for path, reason in failures.items() if SEVERE.match(reason)}
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(source) as tar:
        for path in severe:
            member = tar.extractfile(path)
            if member is not None:
                (folder / Path(path).name).write_bytes(member.read())
    write_text(folder / "reasons.json", json.dumps(severe, indent=2) + "\n")
    return len(severe)


def _figures(ended: Ended, images: int) -> dict[str, Any]:
    reasons = Counter(_kind(reason) for reason in ended.failures.values())
    severe = Counter(_kind(reason) for reason in ended.failures.values() if SEVERE.match(reason))
    return {
        "seconds": round(ended.seconds, 1),
        "images_per_second": round(images / ended.seconds, 1),
        **ended.counts,
        "reasons": dict(reasons.most_common()),
        "severe": dict(severe.most_common()),
    }


def _kind(reason: str) -> str:
    """Return what reasons of one kind have in common."""
    return re.sub(r"\d+", "#", reason.partition("; expected")[0])[:90]


def _lines(figures: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{figures['images']} images: {figures['done']} done, {figures['failed']} failed; {figures['seconds']} s, "
        f"{figures['images_per_second']} images/s"
    )
    for reason, count in list(figures["reasons"].items())[:SHOWN]:
        yield f"{count:>7}  {reason}"
    for reason, count in figures["severe"].items():
        yield f"severe: {count} {reason}"
    for line in figures["wrong"]:
        yield f"wrong: {line}"


if __name__ == "__main__":
    main()
