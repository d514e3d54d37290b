"""``seg-export onnx``: export a checkpoint to a model, and prove it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from export.commands.common import (
    FILE,
    TRAINING_PACKAGES,
    hair_option,
    json_option,
    licence_option,
    limit_option,
    parity_bar,
    parity_option,
    say_failed,
    say_made,
    write_report,
    writing,
)
from export.commands.foreign import Description, foreign_options, open_checkpoint
from export.commands.places import default_place, require_model_places
from export.tolerances import PRECISIONS
from seglab.cli_support import command_errors, echo, require_packages
from seglab.networks.run_weights import weights_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from export.proof.gate import ParityReport
    from export.runtime.model import Model
    from export.samples import SampleSet
    from seglab.evaluation.original import Predictor
    from seglab.networks.checkpoints import Checkpoint

DEFAULT_CALIBRATION_IMAGES = 64  # precision.calibration.DEFAULT_IMAGES, not imported for --help


@click.command()
@click.argument("checkpoints", metavar="CHECKPOINT...", type=FILE, nargs=-1, required=True)
@click.option("--out", type=FILE, help="Model file to write.  [default: the first CHECKPOINT with .onnx]")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    help="fp16: computed in fp16, for GPUs. fp16-weights: half the file size, computed in fp32. int8: for CPUs with "
    "VNNI or AMX; layers that lose too much stay in float. (bf16 is chosen when the model runs, see check --compute.)",
)
@click.option(
    "--calibrate",
    "calibration_folder",
    type=FILE,
    help="For int8: images like those it will see; no masks needed.  [default: synthetic images]",
)
@click.option(
    "--calibration-images",
    "calibration_limit",
    type=click.IntRange(min=1),
    default=DEFAULT_CALIBRATION_IMAGES,
    help="Use at most this many calibration images, evenly spaced.",
)
@click.option("--ensemble", is_flag=True, help="Make one model that averages all CHECKPOINTs.")
@click.option(
    "--tta",
    type=click.Choice(["none", "flips", "symmetries"]),
    help="flips: the graph averages over the image and its three mirror images; symmetries: also over those of the "
    "transposed image.  [default: what the checkpoint says]",
)
@hair_option("what the checkpoint says")
@foreign_options
@parity_option
@limit_option
@licence_option
@json_option
@click.option("--picture", type=FILE, help="Draw the images that agree least into this file (.jpg, .png).")
@command_errors
def onnx(
    checkpoints: tuple[Path, ...],
    out: Path | None,
    precision: str,
    calibration_folder: Path | None,
    calibration_limit: int,
    ensemble: bool,
    tta: str | None,
    hair: str | None,
    folder: Path | None,
    limit: int,
    licence: str,
    json_file: Path | None,
    picture: Path | None,
    **described: Any,
) -> None:
    """Export a checkpoint to ONNX, if it passes the parity gate.

    CHECKPOINT is one of seglab (or the folder of its run, for best.pt), or of a foreign network: a state dictionary, a
    Lightning checkpoint, a safetensors file, a folder of smp's save_pretrained, a TorchScript or torch.export file.
    Foreign ones do not say how they are fed: --size and --mean must be given; the architecture is guessed.

    The file appears only after its masks were compared with the PyTorch original's. The figures go into its contract
    and into M.parity.json beside it (or to --json). --picture draws the images that agree least.

    \b
    Example:
      seg-export onnx runs/q/best.pt --out lesion.onnx --parity data/isic2018
      seg-export onnx weights.pth --size 256 --mean imagenet --out lesion.onnx
      seg-export onnx runs/q/best.pt --precision int8 --calibrate data/isic2018
      seg-export onnx --ensemble runs/a/best.pt runs/b/best.pt --out both.onnx
    """
    if calibration_folder and precision != "int8":
        raise click.UsageError(f"--calibrate is for --precision int8; the precision is {precision}.")
    if len(checkpoints) > 1 and not ensemble:
        raise click.UsageError(
            f"{len(checkpoints)} checkpoints were given; expected one. Add --ensemble to make one model from them."
        )
    if out is None and checkpoints[0].suffix == ".onnx":
        raise click.UsageError(
            f"{checkpoints[0]} has the name of an ONNX file; expected a checkpoint. Use `seg-export adopt` for a "
            "network that is already ONNX; a checkpoint of such a name needs --out."
        )
    checkpoints = tuple(map(weights_file, checkpoints))
    target = out or default_place(checkpoints[0], ".onnx")
    require_model_places(target, json_file, picture, checkpoints, (folder, calibration_folder))
    require_packages(TRAINING_PACKAGES, "This command runs the PyTorch original")
    from export.conversion.checkpoint import convert, has_learned_ranges
    from export.errors import ParityError
    from export.precision.calibration import calibration_set
    from export.samples import sample_set

    samples = sample_set(folder, limit)
    said = Description(**described)
    loaded = [_loaded(path, said, samples, tta, hair) for path in checkpoints]
    size = loaded[0].size
    calibration = None
    if precision == "int8" and not has_learned_ranges(loaded):
        calibration = calibration_set(calibration_folder, calibration_limit, size)
    elif calibration_folder:
        echo("--calibrate is not used: the network learned its ranges in training with int8 rounding.", err=True)

    names = ", ".join(map(str, checkpoints))
    echo(f"Exporting {names} ({precision}), then comparing the masks ...", err=True)
    try:
        with writing(target):
            report = convert(
                loaded,
                target,
                samples,
                precision=precision,
                calibration=calibration,
                licence=licence,
                track=parity_bar(len(samples)),
                on_measured=_drawing(samples, picture),
            )
    except ParityError as error:
        if error.report:
            say_failed(target, error.report, json_file)
        raise
    report_file = json_file or target.with_suffix(".parity.json")
    write_report(report_file, report)
    say_made(target, report, report_file, only_json=str(json_file) == "-")


def _loaded(path: Path, said: Description, samples: SampleSet, tta: str | None, hair: str | None) -> Checkpoint:
    """Return a checkpoint with the test-time augmentation and hair removal that the command asks for."""
    checkpoint = open_checkpoint(path, said, samples)
    return dataclasses.replace(checkpoint, tta=tta or checkpoint.tta, hair=hair or checkpoint.hair)


def _drawing(samples: SampleSet, path: Path | None) -> Callable[[Model, Predictor, ParityReport], None]:
    """Return a function that draws the images that agree least, passed or not; only if ``path`` is given."""
    from export.proof.picture import draw_worst

    def draw(model: Model, original: Predictor, report: ParityReport) -> None:
        if path:
            with writing(path):
                draw_worst(path, model, original, samples, report)

    return draw
