"""Archives of very many images: rate, memory, size of the ledger, and how soon a killed run goes on.

``python -m benchmarks.studies.scale --name cpu`` makes a tar of tiny photographs and segments it by the command, with a
network that computes next to nothing, in processes of their own. Figures go to ``benchmarks/results/NAME-scale.json``,
and as a table to standard output.
"""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from PIL import Image

from batch.ledger.schema import TABLES, ledger_path
from batch.output_mark import LEDGER_SUFFIX
from benchmarks.support.archives import write_tar
from benchmarks.support.command import run_arguments, start, wait_until, watched
from benchmarks.support.null_network import null_model
from benchmarks.support.places import RESULTS, machine
from seglab.files import write_text


@click.command()
@click.option("--images", default=200_000, show_default=True, help="Images in the archive.")
@click.option("--rows", default=1_000_000, show_default=True, help="Rows of the ledger that a run starts on.")
@click.option("--large", default=20_000, show_default=True, help="Side of the one large image.")
@click.option("--name", required=True, help="Of the machine, in the name of the result.")
def main(images: int, rows: int, large: int, name: str) -> None:
    """Measure, print the table, write the figures."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model = null_model(root / "null.onnx")
        few, many = write_tar(root / "few.tar", max(1, images // 100)), write_tar(root / "many.tar", images)
        figures = {
            "machine": machine(),
            "images": images,
            **_flat_memory(few, many, root, model, images),
            **_resumed(many, root, model, images),
            **_long_ledger(root, model, rows),
            **_large_image(root, model, large),
        }
    write_text(RESULTS / f"{name}-scale.json", json.dumps(figures, indent=2) + "\n")
    for key, value in figures.items():
        click.echo(f"{key:<44} {value}")


def _flat_memory(few: Path, many: Path, root: Path, model: Path, images: int) -> dict[str, Any]:
    small = watched(run_arguments(few, root / "few-masks.tar", model, "cpu"))
    large = watched(run_arguments(many, root / "masks.tar", model, "cpu"))
    ledger = ledger_path(root / f"masks.tar{LEDGER_SUFFIX}")
    again = watched(run_arguments(many, root / "masks.tar", model, "cpu"))
    return {
        "images_per_second": round(images / large.seconds, 1),
        "peak_megabytes_of_few": round(small.megabytes, 1),
        "peak_megabytes_of_many": round(large.megabytes, 1),
        "ledger_megabytes": round(ledger.stat().st_size / 1e6, 1),
        "ledger_bytes_per_image": round(ledger.stat().st_size / images),
        "seconds_of_a_run_with_nothing_to_do": round(again.seconds, 2),
        "microseconds_an_image_that_is_done": round(1e6 * again.seconds / images, 1),
        "said": large.said.splitlines(),
    }


def _resumed(source: Path, root: Path, model: Path, images: int) -> dict[str, Any]:
    """Kill a run when half is done, and time the next one to its first new mask."""
    out = root / "killed.tar"
    part = root / "killed.tar.part"
    whole = (root / "masks.tar").stat().st_size
    process = start(run_arguments(source, out, model, "cpu"))
    wait_until(lambda: process.poll() is not None or _bytes(part) > whole / 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    size = _bytes(part)
    if not size:
        raise RuntimeError(f"The run of {images} images ended before it was killed. Take more --images.")
    before = _done(out)
    begin = time.perf_counter()
    process = start(run_arguments(source, out, model, "cpu"))
    wait_until(lambda: process.poll() is not None or _bytes(part) > size or not part.exists())
    first = time.perf_counter() - begin
    if process.wait() or _done(out) != images:
        raise RuntimeError(f"{_done(out)} of {images} images done, exit {process.returncode}")
    return {"killed_after_images": before, "seconds_to_first_new_mask_after_kill": round(first, 2)}


def _bytes(file: Path) -> int:
    """Return the size of a file, 0 if it is not there: an archive that is complete has another name."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _long_ledger(root: Path, model: Path, rows: int) -> dict[str, Any]:
    """Time a run with one new image, on a fresh output and on one whose ledger is long."""
    source = write_tar(root / "one.tar", 1)
    fresh = root / "fresh"
    empty = _first_mask(source, fresh, model)
    out = root / "long"
    out.mkdir()
    _write_ledger(fresh, out, rows)
    full = _first_mask(source, out, model)
    return {
        "ledger_rows": rows,
        "seconds_to_first_mask_with_no_rows": round(empty, 2),
        "seconds_to_first_mask_with_these_rows": round(full, 2),
    }


def _large_image(root: Path, model: Path, side: int) -> dict[str, Any]:
    """One image of as many pixels as are allowed, of a kind that cannot be decoded scaled."""
    (root / "large").mkdir()
    Image.new("RGB", (side, side), (200, 160, 140)).save(root / "large" / "large.png", compress_level=1)
    ended = watched(run_arguments(root / "large", root / "large-masks", model, "cpu"))
    return {
        "megapixels_of_large_image": side * side // 10**6,
        "seconds_of_large_image": round(ended.seconds, 1),
        "megabytes_of_large_image": round(ended.megabytes),
    }


def _first_mask(source: Path, out: Path, model: Path) -> float:
    begin = time.perf_counter()
    process = start(run_arguments(source, out, model, "cpu"))
    mask = out / "0000" / "0000000.png"
    wait_until(mask.exists)
    first = time.perf_counter() - begin
    if process.wait():
        raise RuntimeError(f"exit {process.returncode}")
    return first


def _write_ledger(like: Path, out: Path, rows: int) -> None:
    """Write the ledger of a run that did ``rows`` images of some other source."""
    with closing(sqlite3.connect(ledger_path(like))) as source, closing(sqlite3.connect(ledger_path(out))) as target:
        source.backup(target)
        names = [line.split()[0] for line in TABLES.partition("CREATE TABLE items (")[2].splitlines() if line.strip()]
        columns = names[: names.index(");")]
        row = dict(zip(columns, target.execute(f"SELECT {', '.join(columns)} FROM items").fetchone(), strict=True))
        target.execute("DELETE FROM items")
        marks = ", ".join("?" * len(columns))

        def numbered(number: int) -> list[Any]:
            name = f"archive/{number // 1000:04}/{number:07}"
            own = {"id": number + 1, "path": f"/{name}.jpg", "mask": f"{name}.png", "mask_key": f"{name}.png"}
            return list({**row, **own}.values())

        target.executemany(f"INSERT INTO items VALUES ({marks})", map(numbered, range(rows)))
        target.commit()


def _done(out: Path) -> int:
    with closing(sqlite3.connect(ledger_path(out.with_name(out.name + LEDGER_SUFFIX)))) as connection:
        return int(connection.execute("SELECT count(*) FROM items WHERE status = 'done'").fetchone()[0])


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
