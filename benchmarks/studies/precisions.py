"""Every precision on every provider.

``python -m benchmarks.studies.precisions CKPT... --images DIR --calibrate DIR --name NAME`` exports each checkpoint in
each precision through the gate, repeats the gate on every device that is there, and measures throughput beside PyTorch
eager in fp32, in one process, alternating. Figures go to ``benchmarks/results/NAME-precisions.json`` (``--name h200``
on such a machine); without checkpoints the tables of all such files are put into ``docs/explanation/precision.md``.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from batch.outputs.png import encode_mask
from benchmarks.support.places import RESULTS, machine
from docs.tools.sections import PRECISION_PAGE, put
from export.conversion.checkpoint import convert
from export.errors import DeviceError, ParityError
from export.precision.calibration import calibration_set
from export.proof.gate import ParityReport, check
from export.runtime.model import Model
from export.runtime.opening import open_model
from export.runtime.probes.verify import probe_images
from export.samples import SampleSet, sample_set
from export.tolerances import PRECISIONS
from seglab.evaluation.original import Predictor
from seglab.files import write_text
from seglab.images.masks import read_mask
from seglab.networks.checkpoints import Checkpoint, load_checkpoint

DEVICES = (("cpu", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"), ("cuda", "fp32"), ("tensorrt", "fp32"))
"""Devices, and the precision of float layers there."""
ROUNDS = 7
BATCH = 16
SUFFIX = "-precisions.json"

Batch = NDArray[np.uint8]


@click.command()
@click.argument("checkpoints", type=click.Path(path_type=Path), nargs=-1)
@click.option("--images", type=click.Path(path_type=Path), help="Images with truth, for the gate.")
@click.option("--calibrate", type=click.Path(path_type=Path), help="Images for int8.")
@click.option("--name", default="", help="Name of the machine, for the name of the result.")
@click.option("--only", default="", help="Only these devices, comma-separated.")
@click.option(
    "--precision", "precisions", type=click.Choice(PRECISIONS), multiple=True, default=PRECISIONS, help="Only these."
)
@click.option("--limit", default=84, show_default=True, help="Most images to use.")
def main(
    checkpoints: tuple[Path, ...],
    images: Path | None,
    calibrate: Path | None,
    name: str,
    only: str,
    precisions: tuple[str, ...],
    limit: int,
) -> None:
    """Measure and write the figures; or, without checkpoints, the tables.

    Rows of other networks and precisions that the file has already stay.
    """
    if checkpoints:
        if images is None or calibrate is None or not name:
            raise click.UsageError("Checkpoints need --images, --calibrate and --name.")
        devices = [device for device in DEVICES if not only or device[0] in only.split(",")]
        samples, chosen = sample_set(images, limit), [entry for entry in PRECISIONS if entry in precisions]
        rows = [row for path in checkpoints for row in _measured(path, samples, calibrate, devices, chosen)]
        file = RESULTS / f"{name}{SUFFIX}"
        rows = _merged(json.loads(file.read_text())["rows"] if file.exists() else [], rows)
        report = {"format_version": 1, "machine": machine(), "batch": BATCH, "rounds": ROUNDS, "rows": rows}
        write_text(file, json.dumps(report, indent=1) + "\n")
    put(PRECISION_PAGE, "precisions", "\n\n".join(map(table, sorted(RESULTS.glob(f"*{SUFFIX}")))))


def _measured(
    path: Path, samples: SampleSet, calibrate: Path, devices: list[tuple[str, str]], precisions: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield a row per precision and device of one checkpoint."""
    checkpoint = load_checkpoint(path)
    calibration = calibration_set(calibrate, 64, checkpoint.size)
    torch_device = "cuda" if torch.cuda.is_available() else "cpu"
    original, eager = Remembered(Predictor(checkpoint)), Eager(checkpoint, torch_device)
    opened: list[tuple[dict[str, Any], Model]] = []
    with tempfile.TemporaryDirectory() as folder:
        for precision in precisions:
            target = Path(folder) / f"{precision}.onnx"
            shared = {"network": f"{checkpoint.network.arch}, {checkpoint.network.encoder}", "precision": precision}
            try:
                on_cpu = convert(
                    [checkpoint], target, samples, precision=precision,
                    calibration=calibration if precision == "int8" else None,
                )  # fmt: skip
            except ParityError as error:
                click.echo(f"{shared}: {error}", err=True)
                yield {**shared, "device": "cpu", "passed": False, "failures": str(error)}
                continue
            for device, compute in devices:
                try:
                    model = open_model(target, device, batch=BATCH, compute=compute)
                except DeviceError as error:
                    click.echo(f"{shared} on {device}: {error.reason}", err=True)
                    if error.available:
                        yield {
                            **shared,
                            "device": device,
                            "compute": compute,
                            "passed": False,
                            "failures": error.reason,
                        }
                    continue
                report = on_cpu if device == "cpu" else check(model, original, samples, source=samples.source)
                row = {**shared, "device": device, "compute": model.device.precision, **_figures(report)}
                row["mebibytes"] = target.stat().st_size / 2**20
                row["float_layers"] = len(model.contract.quantisation.get("float_layers", []))
                click.echo(f"{row}", err=True)
                opened.append((row, model))
        pixels = probe_images(checkpoint.size, checkpoint.size, BATCH)
        seconds = alternate({"eager": lambda: eager(pixels)} | {
            str(index): (lambda model=model: model.prob(pixels)) for index, (_, model) in enumerate(opened)
        })  # fmt: skip
        for index, (row, _) in enumerate(opened):
            ratios = [slow / fast for slow, fast in zip(seconds["eager"], seconds[str(index)], strict=True)]
            yield {**row, "eager_on": torch_device, "times_eager": statistics.median(ratios),
                   "images_per_second": BATCH / statistics.median(seconds[str(index)])}  # fmt: skip


def _merged(before: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return all rows by network, precision and device; new ones replace all of their network and precision."""
    new = {(row["network"], row["precision"]) for row in rows}
    kept = [row for row in before if (row["network"], row["precision"]) not in new]
    return sorted([*kept, *rows], key=lambda row: (row["network"], PRECISIONS.index(row["precision"]), row["device"]))


class Remembered:
    """A PyTorch original that computes every image once, however many devices are compared with it."""

    def __init__(self, original: Predictor) -> None:
        self._original = original
        self._known: dict[bytes, tuple[NDArray[np.float32], bytes]] = {}

    def prob(self, image: Batch) -> NDArray[np.float32]:
        """Return probabilities ``(S, S)``."""
        return self.prob_and_mask(image)[0]

    def prob_and_mask(self, image: Batch) -> tuple[NDArray[np.float32], Batch]:
        """Return them and the mask ``(H, W)``."""
        key = hashlib.sha256(image.tobytes() + str(image.shape).encode()).digest()
        if key not in self._known:
            prob, mask = self._original.prob_and_mask(image)
            self._known[key] = prob, encode_mask(mask)
        prob, png = self._known[key]
        return prob, read_mask(png)


class Eager:
    """The network in PyTorch eager, fp32, from uint8 ``(N, S, S, 3)`` to probabilities on the host."""

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        self._predictor = Predictor(checkpoint, device=device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> NDArray[np.float32]:
        """Return probabilities ``(N, S, S)``."""
        pixels = torch.from_numpy(batch).to(self._device).permute(0, 3, 1, 2).float()
        prob: NDArray[np.float32] = self._predictor.networks[0](pixels)[:, 0].cpu().numpy()
        return prob


def alternate(calls: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Run every call once to warm up, then each in turn, :data:`ROUNDS` times; return seconds."""
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def _figures(report: ParityReport) -> dict[str, Any]:
    return {
        "passed": report.passed,
        "images": len(report.rows),
        "figures": report.figures,
        "failures": [asdict(failure) for failure in report.failures],
    }


def table(path: Path) -> str:
    """Return the rows of a result as a Markdown table, under a line about the machine."""
    result = json.loads(path.read_text())
    lines = [
        f"{result['machine']}; batches of {result['batch']}, medians of {result['rounds']} rounds.",
        "",
        "| network | precision | device | gate | whole images: flipped | mean Dice | worst | batches: flipped "
        "| mean Dice | worst | Dice to truth | MiB | x eager fp32 |",
        "|" + " --- |" * 13,
    ]
    for row in result["rows"]:
        if "figures" not in row:
            device = f"{row['device']} ({row['compute']})" if "compute" in row else row["device"]
            lines.append(f"| {row['network']} | {row['precision']} | {device} | {row['failures']} |" + " |" * 9)
            continue
        figures = row["figures"]
        feeds = " | ".join(
            f"{feed['flipped']:.1e} | {feed['mean_dice']:.5f} | {feed['worst_dice']:.4f}"
            for feed in (figures["whole"], figures["batch"])
        )
        moved = f"{figures['truth']['dice_difference']:+.5f}" if "truth" in figures else ""
        kept = f" ({row['float_layers']} in fp32)" if row["float_layers"] else ""
        computed = "" if row["compute"] == row["precision"] else f" ({row['compute']})"
        beyond = ", ".join(f"{entry['figure']} ({entry['image']})" for entry in row["failures"])
        gate = f"passed, {row['images']} images" if row["passed"] else f"FAILED: {beyond}"
        what = " | ".join((row["network"], row["precision"] + kept, row["device"] + computed, gate))
        lines.append(f"| {what} | {feeds} | {moved} | {row['mebibytes']:.1f} | {row['times_eager']:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
