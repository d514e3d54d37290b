"""``seg-export check``: the parity gate, repeated anywhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from export.commands.common import (
    FILE,
    TRAINING_PACKAGES,
    json_option,
    limit_option,
    parity_bar,
    write_report,
    writing,
)
from seglab.cli_support import command_errors, require_packages

if TYPE_CHECKING:
    from export.contract import Contract
    from seglab.networks.checkpoints import Checkpoint


@click.command()
@click.argument("model", type=FILE)
@click.argument("checkpoints", metavar="CHECKPOINT...", type=FILE, nargs=-1, required=True)
@click.option("--images", "folder", type=FILE, required=True, help="A data set with truth, or any folder of images.")
@limit_option
@click.option("--device", default="auto", help="auto, cpu, openvino, cuda, cuda:K or tensorrt.")
@click.option(
    "--compute",
    type=click.Choice(["fp32", "bf16"]),
    help="Arithmetic of a float model.  [default: bf16 where the CPU has it and it passes its gate, else fp32]",
)
@json_option
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
    picture: Path | None,
) -> None:
    """Compare MODEL on a device with the PyTorch original in CHECKPOINT; exit code 1 where they differ too much.

    An ensemble is compared with all its checkpoints, in the order in which it was exported.

    \b
    Example:
      seg-export check lesion.onnx runs/q/best.pt --images data/isic2018 --device openvino
    """
    require_packages(TRAINING_PACKAGES, "This command runs the PyTorch original")
    from export.proof.gate import CHUNK
    from export.proof.gate import check as compare
    from export.proof.picture import draw_worst
    from export.proof.text import parity_text
    from export.proof.training_images import told_apart
    from export.runtime.opening import open_model
    from export.samples import sample_set
    from seglab.evaluation.original import Predictor
    from seglab.networks.checkpoints import load_checkpoint

    samples = sample_set(folder, limit)
    opened = open_model(model, device, batch=CHUNK, compute=compute)
    loaded = [load_checkpoint(path) for path in checkpoints]
    _require_size(model, opened.contract.size, loaded)
    if opened.contract.checkpoints != tuple(checkpoint.sha256 for checkpoint in loaded):
        click.echo(f"Note: {model} was exported from another file than {', '.join(map(str, checkpoints))}.", err=True)
    for name, reason in opened.device.rejected.items():
        click.echo(f"Not on {name}: {reason}", err=True)
    click.echo(f"Comparing on {opened.device.name} ({opened.device.detail}), {samples.source} ...", err=True)
    samples = told_apart(samples, loaded[0].training, loaded[0].path)
    hair = "dullrazor" if opened.contract.hair_removal else "none"
    loaded = [dataclasses.replace(checkpoint, hair=hair) for checkpoint in loaded]
    _require_stages(model, opened.contract, loaded)
    original = Predictor(*loaded, tta=opened.contract.tta)
    report = compare(opened, original, samples, source=samples.source, track=parity_bar(len(samples)))
    if json_file:
        write_report(json_file, report)
    if str(json_file) != "-":
        click.echo(parity_text(report))
    if picture:
        with writing(picture):
            draw_worst(picture, opened, original, samples, report)
    report.require_passed()


def _require_size(model: Path, size: int, checkpoints: list[Checkpoint]) -> None:
    """Raise :class:`ContractError` for checkpoints of another input size than the model's."""
    from export.errors import ContractError

    sizes = sorted({checkpoint.size for checkpoint in checkpoints})
    if sizes != [size]:
        theirs = " and ".join(f"{other} x {other}" for other in sizes)
        raise ContractError(
            f"{model} takes {size} x {size} pixels, the checkpoint {theirs}; expected the same size. Name the one "
            "that the model was exported from."
        )


def _require_stages(model: Path, contract: Contract, checkpoints: list[Checkpoint]) -> None:
    """Raise :class:`ParityError` unless all that is around MODEL's networks is what the checkpoints ask for."""
    import onnx

    from export.conversion.build import stages_of
    from export.proof.stages import FIRST_FORMAT, require_same_stages

    if contract.format_version < FIRST_FORMAT:
        click.echo(f"Note: {model} is of an older version; what is around its network is judged by masks.", err=True)
        return
    alike = [dataclasses.replace(each, tta=contract.tta) for each in checkpoints]
    require_same_stages(onnx.load(model), stages_of(alike), str(model), advice="Export the checkpoint again.")
