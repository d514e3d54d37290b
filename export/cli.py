"""``seg-export``: make a model file of a checkpoint, prove it, describe it."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seglab.cli_support import CONTEXT, command_errors, progress
from seglab.errors import MissingDependencyError, SeglabError

if TYPE_CHECKING:
    from export.parity import ParityReport
    from export.samples import Sample

FILE = click.Path(path_type=Path)
TRAINING_PACKAGES = ("torch", "onnx", "onnxscript", "segmentation_models_pytorch")
DEFAULT_IMAGES = 48  # export.samples.DEFAULT_LIMIT, which is not imported for --help
DEFAULT_CALIBRATION_IMAGES = 64  # export.calibration.DEFAULT_IMAGES, likewise
json_option = click.option(
    "--json", "json_file", type=FILE, help="Write all figures, image by image, to this file ('-': stdout)."
)
limit_option = click.option(
    "--parity-images",
    "limit",
    type=click.IntRange(min=1),
    default=DEFAULT_IMAGES,
    help="At most so many images of the folder, evenly spaced; six edge cases come on top.",
)


@click.group(context_settings=CONTEXT)
@click.version_option(package_name="seglab")
def main() -> None:
    """Make one self-contained ONNX model of a trained network, and prove that it computes the same masks."""


@main.command()
@click.argument("checkpoint", type=FILE)
@click.option("--out", type=FILE, help="Model file to write.  [default: CHECKPOINT with .onnx]")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "int8"]),
    default="fp32",
    help="Of weights and activations. int8: for processors with VNNI or AMX; layers that lose too much stay in float.",
)
@click.option(
    "--calibrate",
    "calibration_folder",
    type=FILE,
    help="For int8: images like those it will see, whose masks are not needed.  [default: synthetic images]",
)
@click.option(
    "--calibration-images",
    "calibration_limit",
    type=click.IntRange(min=1),
    default=DEFAULT_CALIBRATION_IMAGES,
    help="At most so many of them, evenly spaced.",
)
@click.option(
    "--parity",
    "folder",
    type=FILE,
    help="Images to prove the model on: a data set with truth, or any folder.  [default: synthetic images]",
)
@limit_option
@click.option("--licence", default="not stated", help="Licence of the weights, for the contract.")
@json_option
@command_errors
def onnx(
    checkpoint: Path,
    out: Path | None,
    precision: str,
    calibration_folder: Path | None,
    calibration_limit: int,
    folder: Path | None,
    limit: int,
    licence: str,
    json_file: Path | None,
) -> None:
    """Export CHECKPOINT to a model file, if it passes the parity gate.

    The file appears only after its masks were compared with the PyTorch original's; the figures go into its contract
    and into M.parity.json beside it (or to --json).

    \b
    Example:
      seg-export onnx runs/q/best.pt --out lesion.onnx --parity data/isic2018
      seg-export onnx runs/q/best.pt --precision int8 --calibrate data/isic2018
    """
    if calibration_folder and precision != "int8":
        raise click.UsageError(f"--calibrate is for --precision int8; the precision is {precision}.")
    _require_training_packages()
    from export.calibration import calibration_set
    from export.convert import convert
    from export.errors import ParityError
    from export.samples import sample_set
    from export.sheet import parity_text
    from seglab.checkpoints import load_checkpoint

    target = out or checkpoint.with_suffix(".onnx")
    samples = sample_set(folder, limit)
    loaded = load_checkpoint(checkpoint)
    calibration = calibration_set(calibration_folder, calibration_limit, loaded.size) if precision == "int8" else None
    click.echo(f"Exporting {checkpoint} ({precision}), then comparing on {samples.source} ...", err=True)
    try:
        with _writing(target):
            report = convert(
                loaded, target, samples, licence=licence, calibration=calibration, track=_bar(len(samples))
            )
    except ParityError as error:
        if error.report and json_file:
            _write_json(json_file, error.report)
        raise
    _write_json(json_file or target.with_suffix(".parity.json"), report)
    click.echo(parity_text(report), err=True)
    click.echo(str(target))


@main.command()
@click.argument("model", type=FILE)
@click.argument("checkpoint", type=FILE)
@click.option("--images", "folder", type=FILE, required=True, help="A data set with truth, or any folder of images.")
@limit_option
@click.option("--device", default="auto", help="auto, cpu, openvino, cuda, cuda:K or tensorrt.")
@json_option
@command_errors
def check(model: Path, checkpoint: Path, folder: Path, limit: int, device: str, json_file: Path | None) -> None:
    """Compare MODEL on a device with the PyTorch original in CHECKPOINT; exit code 1 where they differ too much.

    \b
    Example:
      seg-export check lesion.onnx runs/q/best.pt --images data/isic2018 --device openvino
    """
    _require_training_packages()
    from export.parity import CHUNK
    from export.parity import check as compare
    from export.runtime import open_model
    from export.samples import sample_set
    from export.sheet import parity_text
    from seglab.checkpoints import load_checkpoint
    from seglab.predict import Predictor

    samples = sample_set(folder, limit)
    opened = open_model(model, device, batch=CHUNK)
    loaded = load_checkpoint(checkpoint)
    if opened.contract.checkpoint_sha256 != loaded.sha256:
        click.echo(f"Note: {model} was exported from another file than {checkpoint}.", err=True)
    for name, reason in opened.device.rejected.items():
        click.echo(f"Not on {name}: {reason}", err=True)
    click.echo(f"Comparing on {opened.device.name} ({opened.device.detail}), {samples.source} ...", err=True)
    report = compare(opened, Predictor(loaded), samples, source=samples.source, track=_bar(len(samples)))
    if json_file:
        _write_json(json_file, report)
    if str(json_file) != "-":
        click.echo(parity_text(report))
    report.require_passed()


@main.command()
@click.argument("model", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the contract as JSON.")
@command_errors
def info(model: Path, as_json: bool) -> None:
    """Print MODEL's data sheet: network, how to feed it, training, parity, licence.

    \b
    Example:
      seg-export info lesion.onnx
    """
    from export.contract import read_contract
    from export.sheet import data_sheet

    contract = read_contract(model)
    click.echo(contract.to_json() if as_json else data_sheet(model, contract))


def _require_training_packages() -> None:
    missing = [name for name in TRAINING_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"This command runs the PyTorch original; missing: {', '.join(missing)}. "
            "Install them: pip install 'seglab[train]'."
        )


def _bar(total: int) -> Callable[[Iterable[Sample]], Iterable[Sample]]:
    def track(samples: Iterable[Sample]) -> Iterable[Sample]:
        with progress(total, "parity", "image") as bar:
            for sample in samples:
                yield sample
                bar.update()

    return track


def _write_json(path: Path, report: ParityReport) -> None:
    from seglab.files import write_text

    if str(path) == "-":
        click.echo(report.to_json())
    else:
        with _writing(path):
            write_text(path, report.to_json() + "\n")


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SeglabError(
            f"{path} cannot be written ({error.strerror or error}); expected a folder with room and leave to write. "
            "Name another place."
        ) from error


if __name__ == "__main__":
    main()
