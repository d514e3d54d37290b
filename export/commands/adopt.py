"""``seg-export adopt``: wrap a network that somebody else exported."""

from __future__ import annotations

from pathlib import Path

import click

from export.commands.common import (
    FILE,
    WRITING_PACKAGES,
    hair_option,
    json_option,
    licence_option,
    limit_option,
    parity_bar,
    parity_option,
    write_report,
    writing,
)
from export.commands.places import require_model_places
from seglab.cli_support import command_errors, require_packages

IMAGENET = "imagenet"


@click.command()
@click.argument("source", metavar="NET.onnx", type=FILE)
@click.option("--out", type=FILE, required=True, help="Model file to write.")
@click.option("--size", type=click.IntRange(min=8), required=True, help="Height and width of the network's input.")
@click.option("--mean", default=IMAGENET, help="Subtracted from pixels on 0-1: 'R,G,B', one number, or imagenet.")
@click.option("--std", default=IMAGENET, help="What they are divided by after that, likewise.")
@click.option("--threshold", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.5,
              help="Probability from which a pixel is lesion.")  # fmt: skip
@click.option("--classes", default="lesion", help="Names, by commas: one for lesion or not, else the background first.")
@hair_option("none")
@parity_option
@limit_option
@licence_option
@json_option
@command_errors
def adopt(
    source: Path,
    out: Path,
    size: int,
    mean: str,
    std: str,
    threshold: float,
    classes: str,
    hair: str | None,
    folder: Path | None,
    limit: int,
    licence: str,
    json_file: Path | None,
) -> None:
    """Make a model of NET.onnx, a plain export of a network: float (N, 3, S, S) in, logits or probabilities out.

    The stages around the network are added to its graph; torch is not needed. The file appears only after its masks
    were compared with those of NET.onnx itself, fed by Pillow and enlarged by OpenCV.

    \b
    Example:
      seg-export adopt net.onnx --size 256 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --out lesion.onnx
    """
    require_model_places(out, json_file, None, (source,), (folder,), draws=False)
    require_packages(WRITING_PACKAGES, "This command changes ONNX graphs")
    from export.conversion.adopt import Wrapping
    from export.conversion.adopt import adopt as wrap
    from export.errors import ParityError
    from export.proof.text import parity_text
    from export.samples import sample_set

    names = tuple(name.strip() for name in classes.split(","))
    wrapping = Wrapping(size, _triple("--mean", mean), _triple("--std", std), threshold, names, hair or "none")
    samples = sample_set(folder, limit)
    click.echo(f"Wrapping {source}, then comparing on {samples.source} ...", err=True)
    try:
        with writing(out):
            report = wrap(source, out, wrapping, samples, licence=licence, track=parity_bar(len(samples)))
    except ParityError as error:
        if error.report and json_file:
            write_report(json_file, error.report)
        raise
    write_report(json_file or out.with_suffix(".parity.json"), report)
    click.echo(parity_text(report), err=True)
    click.echo(str(out))


def _triple(option: str, text: str) -> tuple[float, float, float]:
    from seglab.networks.normalisation import IMAGENET_MEAN, IMAGENET_STD

    if text == IMAGENET:
        return IMAGENET_MEAN if option == "--mean" else IMAGENET_STD
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not numbers; expected 'R,G,B', one number, or imagenet.",
                                 param_hint=option) from error  # fmt: skip
    if len(values) == 1:
        values *= 3
    if len(values) != 3:
        raise click.BadParameter(f"{text!r} has {len(values)} numbers; expected one or three.", param_hint=option)
    return values[0], values[1], values[2]
