"""``seg-export adopt``: wrap a network that somebody else exported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
    say_failed,
    say_made,
    write_report,
    writing,
)
from export.commands.feeding import THRESHOLD, feeding_options, normalisation
from export.commands.places import require_model_places
from seglab.cli_support import command_errors, echo, require_packages

if TYPE_CHECKING:
    from export.adoption.entry import Entry
    from seglab.networks.normalisation import Normalisation

PRESET_USES = (
    ("imagenet", "torchvision, smp and timm: ImageNet's mean and standard deviation"),
    ("0-1", "pixels divided by 255 (many Keras and U-Net notebooks)"),
    ("0-255", "pixels unchanged, if the network scales them itself"),
    ("-1..1", "TensorFlow's and Inception's"),
    ("caffe-bgr", "Caffe's, and Keras' VGG and ResNet: BGR minus ImageNet's mean"),
)


@click.command()
@click.argument("source", metavar="NET.onnx", type=FILE)
@click.option("--out", type=FILE, required=True, help="Model file to write.")
@feeding_options
@click.option("--output", metavar="NAME|logits|probabilities", multiple=True,
              help="The output that holds the mask, if there are several, or a tensor inside the network. Also the "
              "kind of its values.  [default: decided by the values on the images]")  # fmt: skip
@click.option("--threshold", type=THRESHOLD, default=0.5,
              help="Lowest probability that counts as lesion.")  # fmt: skip
@click.option("--classes", default="lesion",
              help="Names, comma-separated: one for a single class, else the background first.")  # fmt: skip
@hair_option("none")
@parity_option
@limit_option
@licence_option
@json_option
@command_errors
def adopt(
    source: Path,
    out: Path,
    size: int | None,
    mean: str | None,
    std: str | None,
    input_range: str | None,
    channels: str | None,
    lesion_class: int | None,
    output: tuple[str, ...],
    threshold: float,
    classes: str,
    hair: str | None,
    folder: Path | None,
    limit: int,
    licence: str,
    json_file: Path | None,
) -> None:
    """Make a model of an ONNX file from elsewhere.

    NET.onnx is any network that takes an image and gives a mask's logits or probabilities. Its types, axis order,
    channels and mask size are found out from the file and by running it. How pixels are normalised is not in the file
    and must be given. Torch is not needed. The model appears only after its masks were compared with those of the
    untouched NET.onnx, fed by Pillow and resized by OpenCV.

    \b
    Example:
      seg-export adopt net.onnx --mean imagenet --out lesion.onnx --parity photos
      seg-export adopt keras.onnx --size 256 --mean 0-1 --out lesion.onnx
      seg-export adopt net.onnx --mean 0.7,0.6,0.5 --std 0.2,0.2,0.2 --out l.onnx
      seg-export adopt two.onnx --mean imagenet --lesion-class 1 --out l.onnx
      seg-export adopt aux.onnx --mean imagenet --output out --out lesion.onnx
    """
    require_model_places(out, json_file, None, (source,), (folder,))
    require_packages(WRITING_PACKAGES, "This command changes ONNX graphs")
    from export.adoption.adopt import adopt as wrap
    from export.adoption.adopt import open_foreign
    from export.adoption.options import require_feeding
    from export.adoption.wrapping import Wrapping
    from export.errors import ParityError
    from export.samples import sample_set

    told = normalisation(mean, std, input_range, channels)
    names = _class_names(classes)
    foreign = open_foreign(source, size, output)
    feeding = _feeding(source, foreign.entry, told, channels)
    wrapping = Wrapping(feeding.mean, feeding.std, feeding.channels, threshold, names, lesion_class, hair or "none")
    require_feeding(source, foreign.entry, wrapping)
    samples = sample_set(folder, limit)
    echo(f"Wrapping {source}, then comparing the masks ...", err=True)
    try:
        with writing(out):
            report = wrap(foreign, out, wrapping, samples, licence=licence, track=parity_bar(len(samples)), say=_say)
    except ParityError as error:
        if error.report:
            say_failed(out, error.report, json_file)
        raise
    report_file = json_file or out.with_suffix(".parity.json")
    write_report(report_file, report)
    say_made(out, report, report_file, only_json=str(json_file) == "-")


def _say(sentence: str) -> None:
    echo(sentence, err=True)


def _feeding(source: Path, entry: Entry, told: Normalisation | None, channels: str | None) -> Normalisation:
    """Return how the network is fed, from the options and its input type.

    Raises :class:`click.UsageError` if the normalisation is missing, or if the input cannot have one.
    """
    from seglab.networks.normalisation import PRESETS, Normalisation

    if entry.takes_pixels and told is None:
        return Normalisation(PRESETS["0-255"].mean, PRESETS["0-255"].std, channels or "rgb")
    if entry.takes_pixels:
        raise click.UsageError(
            f"{source} takes pixels 0-255 (its input {entry.name!r} is uint8), which are not normalised. Leave out "
            "--mean, --std and --input-range."
        )
    if told is None:
        uses = "".join(f"\n  --mean {name:<10} {use}" for name, use in PRESET_USES)
        raise click.UsageError(
            f"{source} does not say how its pixels are normalised; expected --mean and --std, or --mean with a preset, "
            f"as in its training:{uses}"
        )
    return told


def _class_names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise click.BadParameter(
            f"{text!r} has an empty or repeated name; expected different names, comma-separated.",
            param_hint="--classes",
        )
    return names
