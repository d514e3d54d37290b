"""``seg-export check``: repeat the parity gate on any machine."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from export.commands.common import (
    FILE,
    TRAINING_PACKAGES,
    WRITING_PACKAGES,
    json_option,
    limit_option,
    parity_bar,
    write_report,
    writing,
)
from export.commands.foreign import reopen
from export.commands.places import require_places
from seglab.cli_support import command_errors, echo, require_packages
from seglab.networks.run_weights import weights_file
from seglab.words import counted

if TYPE_CHECKING:
    from export.contract import Contract
    from export.proof.gate import Original
    from export.samples import SampleSet
    from seglab.networks.checkpoints import Checkpoint


@click.command()
@click.argument("model", type=FILE)
@click.argument("checkpoints", metavar="CHECKPOINT...", type=FILE, nargs=-1, required=True)
@click.option("--images", "folder", type=FILE, required=True, help="A data set with truth, or any folder of images.")
@limit_option
@click.option("--device", default="auto", help="auto, cpu, openvino, cuda, cuda:K or tensorrt.")
@click.option(
    "--compute",
    type=click.Choice(["fp32", "bf16", "int8"]),
    help="Arithmetic; int8 needs an int8 model.  [default: for a float model bf16 if the CPU has it and the model "
    "passes its gate in it, else fp32]",
)
@json_option
@click.option("--verbose", is_flag=True, help="Say why other devices were not used.")
@click.option("--picture", type=FILE, help="Draw the worst images, with both outlines, here (.jpg, .png).")
@command_errors
def check(
    model: Path,
    checkpoints: tuple[Path, ...],
    folder: Path,
    limit: int,
    device: str,
    compute: str | None,
    json_file: Path | None,
    verbose: bool,
    picture: Path | None,
) -> None:
    """Compare a model with its original, on any device.

    MODEL runs on the device, and its original is CHECKPOINT. Exit code 1: they differ too much.

    An ensemble is compared with all its checkpoints, in the order of the export. A model of `seg-export adopt` is
    compared with the ONNX file that it was made from.

    \b
    Example:
      seg-export check lesion.onnx runs/quick --images photos --device cpu
      seg-export check adopted.onnx net.onnx --images photos
    """
    checkpoints = tuple(map(weights_file, checkpoints))
    outputs = {"--json": json_file, "--picture": picture}
    require_places(outputs, (model, *checkpoints), what="a file that is to be compared", folders=(folder,))
    from export.proof.gate import CHUNK
    from export.proof.gate import check as compare
    from export.proof.picture import draw_worst
    from export.proof.text import parity_text
    from export.runtime.opening import open_model
    from export.samples import sample_set

    opened = open_model(model, device, batch=CHUNK, compute=compute)
    original = _original(model, opened.contract, checkpoints, sample_set(folder, limit))
    samples = original.samples
    for name, reason in opened.device.rejected.items() if verbose else ():
        echo(f"Not on {name}: {reason}", err=True)
    echo(f"Comparing {model} with its original on {opened.device.name} ({opened.device.detail}) ...", err=True)
    report = compare(
        opened,
        original.predictor,
        samples,
        source=samples.source,
        track=parity_bar(len(samples)),
        original_name=original.name,
        advice=original.advice,
    )
    report = dataclasses.replace(report, about={**report.about, "not_on": opened.device.rejected})
    if json_file:
        write_report(json_file, report)
    if str(json_file) != "-":
        click.echo(parity_text(str(model), report))
    if picture:
        with writing(picture):
            draw_worst(picture, opened, original.predictor, samples, report)
    report.require_passed()


@dataclass(frozen=True)
class _Original:
    """What a model is compared with: ``predictor``; on which images; its name and advice for messages."""

    predictor: Original
    samples: SampleSet
    name: str
    advice: str


def _original(model: Path, contract: Contract, files: tuple[Path, ...], samples: SampleSet) -> _Original:
    from export.errors import ContractError

    if contract.arch == "adopted":
        return _adopted_original(model, contract, files, samples)
    foreign = next((path for path in files if path.suffix.lower() == ".onnx"), None)
    if foreign:
        raise ContractError(
            f"{model} was exported from a checkpoint, and {foreign} is an ONNX file. Name the checkpoint, or make a "
            "model from the ONNX file with `seg-export adopt`."
        )
    require_packages(TRAINING_PACKAGES, "This command runs the PyTorch original")
    from export.proof.report import ADVICE, ORIGINAL
    from export.proof.training_images import told_apart
    from seglab.evaluation.original import Predictor

    loaded = [reopen(path, contract, index, samples) for index, path in enumerate(files)]
    _require_size(model, contract.size, loaded)
    hair = "dullrazor" if contract.hair_removal else "none"
    loaded = [dataclasses.replace(each, hair=hair) for each in loaded]
    _note_others(model, contract, files, [each.sha256 for each in loaded])
    if len(files) != len(contract.checkpoints):
        raise ContractError(
            f"{model} was made from {counted(len(contract.checkpoints), 'checkpoint')}, and {len(files)} are named; "
            "expected all of them, in the order of the export."
        )
    _require_stages(model, contract, loaded)
    samples = told_apart(samples, loaded[0].training, loaded[0].path)
    return _Original(Predictor(*loaded, tta=contract.tta), samples, ORIGINAL, ADVICE)


def _adopted_original(model: Path, contract: Contract, files: tuple[Path, ...], samples: SampleSet) -> _Original:
    require_packages(WRITING_PACKAGES, "This command reads ONNX graphs")
    from export.adoption.again import original_of
    from export.errors import ContractError
    from seglab.files import sha256

    if len(files) != 1:
        raise ContractError(
            f"{model} was adopted from one ONNX file ({contract.adopted.get('from')}), and {len(files)} are named. "
            "Name only that one."
        )
    advice = f"Adopt {files[0]} again; if it fails again, report it with the output of --json."
    try:
        original = original_of(contract, files[0])
    except ContractError as error:
        raise ContractError(
            f"{model} was adopted from {contract.adopted.get('from', 'an ONNX file')}. {error}"
        ) from error
    _note_others(model, contract, files, [sha256(files[0])])
    return _Original(original, samples, str(files[0]), advice)


def _note_others(model: Path, contract: Contract, files: tuple[Path, ...], sums: list[str]) -> None:
    """Print a note if a model was exported from other files than these, whose SHA-256 are ``sums``."""
    if list(contract.checkpoints) != sums:
        echo(f"Note: {model} was exported from another file than {', '.join(map(str, files))}.", err=True)


def _require_size(model: Path, size: int, checkpoints: list[Checkpoint]) -> None:
    """Raise :class:`ContractError` if checkpoints have another input size than the model."""
    from export.errors import ContractError

    sizes = sorted({checkpoint.size for checkpoint in checkpoints})
    if sizes != [size]:
        theirs = " and ".join(f"{other} x {other}" for other in sizes)
        raise ContractError(
            f"{model} takes {size} x {size} pixels, the checkpoint {theirs}; expected the same size. Name the "
            "checkpoint that the model was exported from."
        )


def _require_stages(model: Path, contract: Contract, checkpoints: list[Checkpoint]) -> None:
    """Raise :class:`ParityError` unless everything around the model's networks is as the checkpoints require."""
    import onnx

    from export.conversion.build import stages_of
    from export.proof.stages import FIRST_FORMAT, require_same_stages

    if contract.format_version < FIRST_FORMAT:
        echo(f"Note: {model} has an older format; the stages around its network are not compared.", err=True)
        return
    alike = [dataclasses.replace(each, tta=contract.tta) for each in checkpoints]
    require_same_stages(onnx.load(model), stages_of(alike), str(model), advice="Export the checkpoint again.")
