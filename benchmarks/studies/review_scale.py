"""The review page over a very long ledger: how long pages take at any depth, and thumbnails.

``python -m benchmarks.studies.review_scale`` makes a ledger of ``--rows`` images with random figures, some of them with
real photographs and masks, serves its review page from a process of its own, and asks for pages and thumbnails over
HTTP. It prints the median and the fastest time, and, on Linux, the CPU time of the server per request, which holds on a
busy machine, too.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click

from batch.ledger.schema import ledger_path, open_for_writing
from batch.review.queue import Order
from seglab.synth import write_set

PAGE = 60
WITH_FILES = 200
"""Images that exist, at the beginning of the ledger."""
INSERT = (
    "INSERT INTO items (path, source, mask, mask_key, status, bytes, mtime_ns, height, width, lesion_area, "
    "lesion_fraction, bbox_x0, bbox_y0, bbox_x1, bbox_y1, confidence, error, key, run, sha256, suitable) "
    "VALUES (?, 'photos', ?, ?, ?, ?, ?, 450, 600, ?, ?, ?, ?, ?, ?, ?, ?, 'k', 1, NULL, ?)"
)


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Rows of the ledger.")
@click.option("--repeats", default=30, show_default=True, help="Requests per figure.")
def main(rows: int, repeats: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        _make(out, rows)
        begun = time.perf_counter()
        with _served(out) as site:
            click.echo(f"{'first answer after the start, s':<44} {time.perf_counter() - begun:.1f}")
            for order in Order:
                for where, row in site.depths(order).items():
                    click.echo(f"{f'page, {order}, {where}, ms':<44} {site.page(order, row, repeats)}")
            for name, query in {"reason": "&reason=cut", "verdict and reason": "&verdict=none&reason=cut"}.items():
                click.echo(f"{f'page, doubt, filtered by {name}, ms':<44} {site.filtered(query, repeats)}")
            new, again = site.thumbnails()
            click.echo(f"{'thumbnail of 600x450, new, ms':<44} {new}")
            click.echo(f"{'thumbnail of 600x450, again, ms':<44} {again}")


class Site:
    """A review page that is served, and what it takes to answer."""

    def __init__(self, address: str, process: int) -> None:
        self._usage = Path(f"/proc/{process}/stat")
        parts = urlsplit(address)
        self._base = parts.path
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port)

    def get(self, path: str) -> tuple[float, bytes]:
        """Return the milliseconds until the answer is complete, and the answer."""
        begun = time.perf_counter()
        self._connection.request("GET", self._base + path)
        response = self._connection.getresponse()
        content = response.read()
        took = 1000 * (time.perf_counter() - begun)
        if response.status != 200:
            raise click.ClickException(f"{path}: {response.status} {content[:200]!r}")
        return took, content

    def depths(self, order: Order) -> dict[str, int | None]:
        """Return the rows at which pages at the beginning, in the middle and at the end of an order begin."""
        whole = json.loads(self.get(f"api/images?order={order}&limit=1")[1])["total"]
        places: dict[str, int | None] = {"beginning": None}
        for where, wanted in (("middle", whole // 2), ("end", whole - PAGE)):
            places[where] = self._row_at(order, wanted)
        return places

    def _row_at(self, order: Order, wanted: int) -> int:
        """Return the row at a place of an order: the nearest one of those that are tried."""
        rng, best, row = random.Random(0), (10**9, 0), 0
        for _ in range(2000):
            row = rng.randrange(1, wanted * 2)
            first = json.loads(self.get(f"api/images?order={order}&row={row}&limit=1")[1])["first"]
            if first <= wanted:
                best = min(best, (wanted - first, row))
            if best[0] < 500:
                break
        return best[1]

    def page(self, order: Order, row: int | None, repeats: int) -> str:
        """Return the times of a page that begins at a row."""
        start = "" if row is None else f"&row={row}"
        return self._times([f"api/images?order={order}{start}&limit={PAGE}"] * repeats)

    def filtered(self, query: str, repeats: int) -> str:
        """Return the times of a page with filters."""
        return self._times([f"api/images?order=doubt{query}&limit={PAGE}"] * repeats)

    def thumbnails(self) -> tuple[str, str]:
        """Return the times of thumbnails that are drawn, and of the same ones again."""
        paths = [f"api/images/{row}/thumbnail" for row in range(1, WITH_FILES + 1)]
        return self._times(paths), self._times(paths)

    def _times(self, paths: list[str]) -> str:
        before = self._cpu_seconds()
        times = [self.get(path)[0] for path in paths]
        cpu = 1000 * (self._cpu_seconds() - before) / len(paths)
        return f"{statistics.median(times):5.1f}  fastest {min(times):5.1f}  CPU {cpu:5.1f}"

    def _cpu_seconds(self) -> float:
        """Return the CPU time of the server so far, user and system; 0 if the system does not tell."""
        if not self._usage.exists():
            return 0.0
        user, system = self._usage.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _served(out: Path) -> Iterator[Site]:
    command = [sys.executable, "-c", "from batch.cli import main; main()", "review", str(out), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield Site(process.stdout.readline().strip(), process.pid)
        finally:
            process.terminate()


def _make(out: Path, rows: int) -> None:
    """Make a ledger, and files of its first images."""
    paths = write_set(out.parent / "set", WITH_FILES, [(450, 600)], seed=1)
    (out / "m").mkdir(parents=True)
    for path in paths:
        truth = path.parents[1] / "masks" / f"{path.stem}.png"
        (out / "m" / truth.name).write_bytes(truth.read_bytes())
    with closing(open_for_writing(ledger_path(out))) as connection, connection:
        connection.executemany(INSERT, _rows(paths, rows))


def _rows(paths: list[Path], rows: int) -> Iterator[tuple[object, ...]]:
    rng = random.Random(0)
    for number in range(rows):
        name = f"{rng.randrange(1000):03}/image_{number:07}"
        path = str(paths[number]) if number < len(paths) else f"/archive/photos/{name}.jpg"
        mask = f"m/{paths[number].stem}.png" if number < len(paths) else f"{name}.png"
        is_failed = number >= len(paths) and rng.random() < 0.01
        share = rng.betavariate(1, 4)
        x0, y0, x1, y1 = (rng.choice((0, 20)), rng.choice((0, 20)), rng.choice((580, 600)), rng.choice((430, 450)))
        figures = (int(share * 270_000), share, x0, y0, x1, y1, rng.betavariate(9, 1))
        made = (None,) * 7 if is_failed else figures
        error = "Damaged image. Expected a whole file; copy it again." if is_failed else None
        state = paths[number].stat() if number < len(paths) else None
        file = (1, 1) if state is None else (state.st_size, state.st_mtime_ns)
        yield (path, mask, mask, "failed" if is_failed else "done", *file, *made, error, rng.random())


if __name__ == "__main__":
    main()
