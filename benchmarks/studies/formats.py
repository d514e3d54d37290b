"""Check that every kind of file is read correctly or refused with a message.

``python -m benchmarks.studies.formats`` reads thousands of files whose pixels are known, of every kind that TIFF, PNG,
JPEG, DICOM and others have, each in a process of its own, and prints how many are right, refused (by a sentence) and
wrong, beside what other decoders make of them. ``--files DIR`` reads a folder of foreign files and compares each with
those decoders; ``--fuzz N`` reads spoiled ones. The exit code is 1 if anything is wrong.
"""

from __future__ import annotations

import importlib
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import cv2

from benchmarks.support.formats.collection import as_json, compared, contact_sheet, outcomes_table, read_folder
from benchmarks.support.formats.decoders import OTHERS, Decode
from benchmarks.support.formats.fuzz import fuzzed
from benchmarks.support.formats.judging import OURS, Judged, figures, judge_all, table
from benchmarks.support.formats.matrices import MATRICES, QUICK, all_cells
from benchmarks.support.places import RESULTS
from seglab.files import write_bytes, write_text

FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
BAD = ("differs", "size", "error", "crash", "hang", "memory")


@click.command()
@click.option("--matrix", "names", multiple=True, type=click.Choice(list(MATRICES)), help="Only these.  [default: all]")
@click.option("--quick", is_flag=True, help=f"At most {QUICK} cells of each group.")
@click.option("--others", type=click.Choice(["all", "here", "none"]), default="all", show_default=True,
              help="Other decoders: all, those in this environment, none.")  # fmt: skip
@click.option("--files", "folder", type=FOLDER, help="Read a folder of foreign files instead.")
@click.option("--any-dicom", is_flag=True, help="With --files: read DICOM objects that are no photographs, too.")
@click.option("--fuzz", "count", type=click.IntRange(1), help="Read this many damaged files instead.")
@click.option("--seed", default=0, show_default=True, help="Seed of the damaged files.")
@click.option("--processes", type=click.IntRange(1), help="Processes that read.  [default: one per core]")
@click.option(
    "--reader", default="seglab.images.reader:read_photo", show_default=True, help="Function that is studied."
)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, help="Folder of the figures.")
def main(
    names: Sequence[str], quick: bool, others: str, folder: Path | None, any_dicom: bool, count: int | None, seed: int,
    processes: int | None, reader: str, out: Path,
) -> None:  # fmt: skip
    """Read, compare, print tables, write the figures."""
    read = _imported(reader)
    begin = time.perf_counter()
    if folder:
        is_good = _foreign(folder, read, any_dicom, processes, out)
    elif count:
        is_good = _spoiled(names or list(MATRICES), count, seed, read, processes, out)
    else:
        is_good = _known(names or list(MATRICES), QUICK if quick else None, others, read, processes, out)
    click.echo(f"{time.perf_counter() - begin:.0f} s", err=True)
    raise SystemExit(0 if is_good else 1)


def _imported(name: str) -> Decode:
    module, _, function = name.partition(":")
    found: Decode = getattr(importlib.import_module(module), function)
    return found


def _known(names: Sequence[str], most: int | None, others: str, read: Decode, processes: int | None, out: Path) -> bool:
    cells = all_cells(names, most)
    results = list(judge_all(cells, read, others=others, processes=processes))
    click.echo(table(results))
    wrong = [result for result in results if result.decoder == OURS and result.verdict == "wrong"]
    for result in wrong:
        click.echo(f"wrong: {_where(result)}: {result.why}", err=True)
    absent = [name for name, other in OTHERS.items() if not other.is_installed]
    if absent and others == "all":
        click.echo(f"not installed, left out: {', '.join(absent)}", err=True)
    _write(out / "formats.json", {"cells": len(cells), "left_out": absent, **figures(results)})
    return not wrong


def _where(result: Judged) -> str:
    return f"{result.cell.matrix}, {result.cell.group}: {result.cell.name}"


def _foreign(folder: Path, read: Decode, any_dicom: bool, processes: int | None, out: Path) -> bool:
    attempts = read_folder(folder, read, (("any_dicom", True),) if any_dicom else (), processes)
    results = [compared(name, found) for name, found in attempts.items()]
    click.echo(outcomes_table(results))
    bad = sorted((result for result in results if result.outcome in BAD), key=lambda result: result.outcome)
    for result in bad:
        click.echo(f"{result.outcome} {result.distance or ''} {result.name} {result.message}", err=True)
    _write(out / "formats-files.json", {"files": as_json(results)})
    sheet = contact_sheet(results, attempts)
    if sheet is not None:
        write_bytes(out / "formats-files.png", cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    return not bad


def _spoiled(names: Sequence[str], count: int, seed: int, read: Decode, processes: int | None, out: Path) -> bool:
    cells = [cell for cell in all_cells(names) if cell.at_least is None]
    found = fuzzed(cells, count, seed, read, out / "spoiled", processes)
    click.echo("\n".join(f"{number} {state}" for state, number in found.counts.most_common()))
    for what, number in found.findings.most_common():
        click.echo(f"{number} times {what}", err=True)
    _write(out / "formats-fuzz.json", {"counts": found.counts, "findings": found.findings, "files": found.files})
    return not found.findings


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"machine": platform.platform(), **content}, indent=1) + "\n")
    click.echo(str(path), err=True)


if __name__ == "__main__":
    main()
