"""Speed on whole archives: ``seg-batch run`` as a multiple of the PyTorch loop that a user would write.

``python -m benchmarks.studies.speed CKPT --data DIR --name cpu`` exports the checkpoint in each precision through the
gate, and times the loop and every device in rounds that alternate, on synthetic photographs of 600x450 and on camera
originals. In the same rounds it measures the parts alone, which say what rate is possible, and judges the masks.
Figures go to ``benchmarks/results/NAME-speed-NETWORK.json``; ``python -m docs.tools.archive_tables`` makes a page of
them.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import torch

from batch.executors.batches import CPU_BATCH
from batch.settings import RunSettings
from benchmarks.support.archives import Archive, originals, photos
from benchmarks.support.original import OriginalLoop
from benchmarks.support.parts import host_seconds, infer_seconds, possible_rate, run_rate, timed
from benchmarks.support.places import RESULTS, machine
from export.conversion.checkpoint import convert
from export.errors import DeviceError, ParityError
from export.precision.calibration import calibration_set
from export.runtime.model import Model
from export.runtime.opening import open_model
from export.samples import sample_set
from export.tolerances import PRECISIONS
from seglab.evaluation.original import Predictor
from seglab.files import write_text
from seglab.networks.checkpoints import Checkpoint, load_checkpoint

GATE_IMAGES, CALIBRATION_IMAGES = 30, 64
FILE = click.Path(path_type=Path)


@dataclass
class Way:
    """A model on a device, and what was measured of it, a value a round. ``seconds``: of the model alone."""

    model: Model
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


@click.command()
@click.argument("path", type=FILE)
@click.option("--data", type=FILE, required=True, help="Folder with originals/ and isic2018/ (to calibrate int8 on).")
@click.option("--name", required=True, help="Of the machine, in the name of the result.")
@click.option("--device", "devices", multiple=True, default=("cpu", "openvino"), show_default=True)
@click.option("--precision", "precisions", type=click.Choice(PRECISIONS), multiple=True, default=("fp32", "int8"))
@click.option("--images", default=192, show_default=True, help="Photographs of 600x450.")
@click.option("--originals", "large", default=36, show_default=True, help="Camera originals.")
@click.option("--rounds", default=3, show_default=True, help="Medians count.")
def main(
    path: Path,
    data: Path,
    name: str,
    devices: Sequence[str],
    precisions: Sequence[str],
    images: int,
    large: int,
    rounds: int,
) -> None:
    """Measure, print, write the figures."""
    checkpoint = load_checkpoint(path)
    network = f"{checkpoint.network.arch}-{checkpoint.network.encoder or 'scratch'}-{checkpoint.size}"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        models = [_exported(checkpoint, precision, data, root) for precision in precisions]
        predictor = Predictor(checkpoint)
        archives = [photos(root / "photos", images, predictor), originals(data, root / "originals", large, predictor)]
        ways = [way for model in models if model is not None for way in _opened(model, devices)]
        rows = [row for archive in archives for row in _measured(checkpoint, archive, ways, root, rounds)]
    figures = {"machine": machine(), "network": network, "rounds": rounds, "rows": rows}
    write_text(RESULTS / f"{name}-speed-{network}.json", json.dumps(figures, indent=2) + "\n")
    click.echo(json.dumps(figures, indent=2))


def _exported(checkpoint: Checkpoint, precision: str, data: Path, root: Path) -> Path | None:
    """Return the model file, or None where the gate refuses it."""
    calibration = None
    if precision == "int8":
        calibration = calibration_set(data / "isic2018", CALIBRATION_IMAGES, checkpoint.size)
    target = root / f"{precision}.onnx"
    samples = sample_set(data / "originals", GATE_IMAGES)
    try:
        convert([checkpoint], target, samples, precision=precision, calibration=calibration)
    except ParityError as error:
        click.echo(f"{precision} is not measured: {error}", err=True)
        return None
    return target


def _opened(model: Path, devices: Sequence[str]) -> Iterator[Way]:
    for device in devices:
        try:
            yield Way(open_model(model, device, batch=CPU_BATCH, shared=True))
        except DeviceError as error:
            click.echo(f"{model.stem} on {device} is not measured: {error}", err=True)


def _measured(
    checkpoint: Checkpoint,
    archive: Archive,
    ways: Sequence[Way],
    root: Path,
    rounds: int,
) -> Iterator[dict[str, Any]]:
    """Yield a row for the loop, and one for each way, of one archive."""
    torch_device = "cuda" if torch.cuda.is_available() else "cpu"
    loop = OriginalLoop(checkpoint, torch_device)
    ways = [Way(way.model) for way in ways]
    folders = [root / f"{archive.name}-{index}" for index in range(len(ways) + 1)]
    rival: list[float] = []
    host: list[float] = []
    for _ in range(rounds):
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        rival.append(len(archive.pairs) / timed(lambda: loop.run(archive.images, folders[-1])))
        host += [host_seconds(way.model, archive.images, root / "host") for way in ways[:1]]  # the same for all
        for way, folder in zip(ways, folders, strict=False):
            way.seconds.append(infer_seconds(way.model, CPU_BATCH))
            way.rates.append(run_rate(_settings(way.model, archive, folder)))
            click.echo(f"{archive.name}: {way.model.path.stem} {way.model.device.name} {way.rates[-1]:.1f}", err=True)
    truth = archive.judge(archive.reference).dice
    shared = {"archive": archive.name, "images": len(archive.pairs)}
    yield {
        **shared,
        "label": f"PyTorch eager, DataLoader ({torch_device})",
        "precision": "fp32",
        "images_per_second": round(statistics.median(rival), 2),
        "ratio": 1.0,
        **_quality(archive, folders[-1], truth),
    }
    for way, folder in zip(ways, folders, strict=False):
        possible = possible_rate(way.seconds, host)
        ratios = [ours / theirs for ours, theirs in zip(way.rates, rival, strict=True)]
        yield {
            **shared,
            "label": f"seg-batch {way.model.device.name}",
            "precision": way.model.device.precision,
            "images_per_second": round(statistics.median(way.rates), 2),
            "ratio": round(statistics.median(ratios), 2),
            "infer_ms": round(1000 * statistics.median(way.seconds), 2),
            "host_ms": round(1000 * statistics.median(host), 2),
            "share_of_possible": round(statistics.median(way.rates) / possible, 3),
            **_quality(archive, folder, truth),
        }


def _settings(model: Model, archive: Archive, out: Path) -> RunSettings:
    return RunSettings(tuple(map(str, archive.images)), out, model.path, model.device.name)


def _quality(archive: Archive, masks: Path, truth: float) -> dict[str, float]:
    """Return how right masks are; ``dice_gained``: beyond what the original's have against the truth."""
    quality = archive.judge(masks)
    rounded = {name: round(value, 5) for name, value in dataclasses.asdict(quality).items()}
    return {**rounded, "dice_gained": round(quality.dice - truth, 5)}


if __name__ == "__main__":
    main()
