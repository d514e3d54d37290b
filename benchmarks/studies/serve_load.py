"""``seg-batch serve`` under load: ``python -m benchmarks.studies.serve_load --json FILE``.

The same photographs (600x450, JPEG) are sent to the service by 32 clients on this machine, and done by ``seg-batch
run``, by turns; the median of the rounds counts. The clients share the cores with the service; the run has them for
itself. Before, one client sends one photograph at a time. Every twentieth upload is broken, and must be answered with
422. ``--quick`` takes little of everything: does it work?
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from benchmarks.support.places import machine
from seglab.cli_support import begin_command
from seglab.files import write_text
from seglab.synth import write_set

CLIENTS = 32
EVERY = 20
"""Of so many uploads one is broken."""
BROKEN = b"\xff\xd8\xff\xe0 not a photograph"
GOAL = 0.8
"""Least ratio of the service's throughput to that of the command."""
START_SECONDS = 120.0


@dataclass(frozen=True)
class Times:
    """Of one round: images per second, and the seconds of a request, median and 99th percentile."""

    images_per_second: float
    p50: float
    p99: float


@click.command()
@click.option("--images", type=int, default=400, show_default=True, help="Photographs per round.")
@click.option("--rounds", type=int, default=3, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures as JSON.")
@click.option("--quick", is_flag=True, help="Measure little.")
def main(images: int, rounds: int, json_file: Path | None, quick: bool) -> None:
    """Measure, print, write the figures."""
    begin_command()
    if quick:
        images, rounds = 40, 1
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_set(place / "set", images, [(450, 600)], seed=1)
        photographs = [path.read_bytes() for path in sorted((place / "set" / "images").iterdir())]
        with served() as port:
            alone = load(port, photographs[: max(20, images // 8)], clients=1)
            rates, served_times = [], []
            for _ in range(rounds):
                served_times.append(load(port, photographs, clients=CLIENTS))
                rates.append(run_rate(place / "set" / "images", place / "masks"))
    under_load = median(served_times)
    ratio = statistics.median(mine.images_per_second / rate for mine, rate in zip(served_times, rates, strict=True))
    found = {
        "machine": machine(),
        "alone": asdict(alone),
        "under_load": asdict(under_load),
        "run_images_per_second": statistics.median(rates),
        "ratio": ratio,
        "goal": GOAL,
    }
    if json_file:
        write_text(json_file, json.dumps(found, indent=1) + "\n")
    click.echo(machine())
    click.echo(f"alone         {shown(alone)}")
    click.echo(f"{CLIENTS} clients    {shown(under_load)}")
    click.echo(f"seg-batch run {statistics.median(rates):.1f} images/s; ratio {ratio:.2f} (goal {GOAL})")


def shown(times: Times) -> str:
    """Return times for a person."""
    return (
        f"{times.images_per_second:.1f} images/s, p50 {1000 * times.p50:.0f} ms, p99 {1000 * times.p99:.0f} ms of a "
        "request"
    )


def median(rounds: Sequence[Times]) -> Times:
    """Return the medians over rounds."""
    return Times(
        *(statistics.median(values) for values in zip(*(asdict(each).values() for each in rounds), strict=True))
    )


def load(port: int, photographs: Sequence[bytes], *, clients: int) -> Times:
    """Let clients send all photographs, each one after its last answer, and a broken one now and then."""
    numbers = itertools.count()
    seconds: list[float] = []
    faults: list[str] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        while (number := next(numbers)) < len(photographs):
            if number % EVERY == EVERY - 1 and (status := post(connection, BROKEN)) != 422:
                faults.append(f"a broken upload was answered with {status}")
            begin = time.perf_counter()
            status = post(connection, photographs[number])
            seconds.append(time.perf_counter() - begin)
            if status != 200:
                faults.append(f"photograph {number} was answered with {status}")
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = time.perf_counter() - begin
    if faults or len(seconds) != len(photographs):
        raise click.ClickException(f"{len(seconds)} of {len(photographs)} answers; {'; '.join(faults[:5])}")
    return Times(len(photographs) / whole, statistics.median(seconds), statistics.quantiles(seconds, n=100)[98])


def post(connection: http.client.HTTPConnection, data: bytes) -> int:
    """Send a photograph; return the status."""
    connection.request("POST", "/v1/masks", data, {"Content-Type": "image/jpeg", "Accept": "image/png"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


@contextmanager
def served() -> Iterator[int]:
    """Run the service on a free port, and yield it."""
    words = [sys.executable, "-c", "from batch.cli import main; main()", "serve", "--port", "0"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        said = process.stderr.readline() if process.stderr else ""
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", said)
        if found is None:
            raise click.ClickException(f"The service did not start: {said}")
        yield int(found[1])
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def run_rate(images: Path, out: Path) -> float:
    """Return the images per second of ``seg-batch run``, without its start."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-c", "from batch.cli import main; main()"]
    subprocess.run([*command, "run", images, "--out", out], check=True, capture_output=True)
    said = subprocess.run([*command, "status", out, "--json"], check=True, capture_output=True, text=True).stdout
    return float(json.loads(said)["last_run"]["summary"]["images_per_second"])


if __name__ == "__main__":
    main()
