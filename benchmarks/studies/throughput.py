"""Images a second over an archive of any length, by the command, on any device: for a GPU, and for a CPU.

``python -m benchmarks.studies.throughput --name h200 --count 50000 --model lesion-fp16.onnx --device cuda`` makes a tar
of 600x450 photographs (some hundreds of different ones, over and over), runs ``seg-batch`` into a tar with each number
of processes that is asked for, and looks at the GPU meanwhile. Figures go to ``benchmarks/results/NAME-batch.json``:
images a second from end to end, the stage table of each run, how busy the GPU was, and the model alone.
"""

from __future__ import annotations

import io
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from PIL import Image

from batch.ledger.reader import LedgerReader
from batch.output_mark import LEDGER_SUFFIX
from batch.outputs.framing import TarFraming
from benchmarks.support.places import RESULTS, machine
from export.contract import read_contract
from export.runtime.bundled import bundled_model
from export.runtime.opening import open_model
from export.runtime.probes.verify import probe_images
from seglab.files import write_text
from seglab.synth import synthesise

QUALITY = 90
GPU_POLL = 0.5
ALONE_RUNS = 20


@click.command()
@click.option("--name", required=True, help="Of the machine, in the name of the result.")
@click.option("--count", default=50_000, show_default=True, help="Images in the archive.")
@click.option("--kinds", default=512, show_default=True, help="Different ones among them.")
@click.option("--model", type=click.Path(path_type=Path), help="Model file.  [default: the bundled one]")
@click.option("--device", default="cuda", show_default=True)
@click.option("--batch", default=64, show_default=True, help="Images a model call.")
@click.option("--processes", multiple=True, type=int, default=(1, 4, 8), show_default=True, help="Processes to try.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the archive is made.  [default: temporary]")
def main(
    name: str,
    count: int,
    kinds: int,
    model: Path | None,
    device: str,
    batch: int,
    processes: Sequence[int],
    folder: Path | None,
) -> None:
    """Measure, print, write the figures."""
    path = model or bundled_model()
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        root = Path(temporary)
        source = write_archive(root / "photos.tar", count, kinds)
        runs = [_run(source, root, path, device, batch, number) for number in processes]
    figures = {
        "machine": machine(),
        "model": path.name,
        "precision": read_contract(path).precision,
        "images": count,
        "model_alone_images_per_second": _alone(path, device, batch),
        "runs": runs,
    }
    write_text(RESULTS / f"{name}-batch.json", json.dumps(figures, indent=2) + "\n")
    click.echo(json.dumps(figures, indent=2))


def write_archive(path: Path, count: int, kinds: int) -> Path:
    """Write a tar of ``count`` JPEGs of 600x450."""
    photographs = []
    for kind in range(min(count, kinds)):
        buffer = io.BytesIO()
        Image.fromarray(synthesise(450, 600, seed=kind).image).save(buffer, "JPEG", quality=QUALITY)
        photographs.append(buffer.getvalue())
    framing, end = TarFraming(), 0
    with path.open("wb") as file:
        for number in range(count):
            data = photographs[number % len(photographs)]
            head, tail = framing.around(f"{number // 1000:04}/{number:07}.jpg", len(data), 0, 1_700_000_000)
            end += file.write(head + data + tail)
        file.writelines(framing.ending((), end))
    return path


def _run(source: Path, root: Path, model: Path, device: str, batch: int, processes: int) -> dict[str, Any]:
    out = root / "masks.tar"
    code = "from batch.cli import main; main()"
    options = ["--model", str(model), "--device", device, "--batch", str(batch), "--processes", str(processes)]
    command = [sys.executable, "-c", code, "run", str(source), "--out", str(out), *options]
    start = time.perf_counter()
    with _GpuWatch() as watch:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if ended.returncode:
        raise click.ClickException(ended.stderr)
    state = out.with_name(out.name + LEDGER_SUFFIX)
    with LedgerReader(state) as ledger:
        record, counts = ledger.last_run(), ledger.counts()
    shutil.rmtree(state)
    out.unlink()
    summary = record.summary if record else {}
    return {
        "processes": processes,
        "counts": counts,
        "images_per_second_with_start": round(counts["done"] / seconds, 1),
        "images_per_second": summary.get("images_per_second"),
        "stages": summary.get("stages"),
        "gpu_busy_percent": watch.busy,
        "said": ended.stderr.splitlines(),
    }


def _alone(model: Path, device: str, batch: int) -> float:
    """Return what the model reaches on a full batch again and again."""
    opened = open_model(model, device, batch=batch)
    images = probe_images(opened.contract.size, opened.contract.size, batch)
    seconds = []
    for _ in range(ALONE_RUNS):
        start = time.perf_counter()
        opened.prob(images)
        seconds.append(time.perf_counter() - start)
    return round(batch / statistics.median(seconds), 1)


class _GpuWatch:
    """Asks ``nvidia-smi`` how busy the GPU is; ``busy``: the median in percent, None where there is none."""

    def __init__(self) -> None:
        self._found: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _GpuWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def busy(self) -> float | None:
        """Return the median."""
        return statistics.median(self._found) if self._found else None

    def _watch(self) -> None:
        tool = shutil.which("nvidia-smi")
        while tool and not self._ended.wait(GPU_POLL):
            command = [tool, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            self._found += [float(line) for line in ended.stdout.split() if line.strip().isdigit()]


if __name__ == "__main__":
    main()
