"""``seg-export openvino``: convert a model to OpenVINO's own format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from export.commands.common import FILE, json_option, limit_option, parity_bar, parity_option, write_json_text, writing
from export.commands.places import IR_OWN, IR_WEIGHTS, default_place, require_places
from seglab.cli_support import command_errors, echo
from seglab.words import counted

if TYPE_CHECKING:
    from export.proof.probabilities import ProbReport

FORMAT_VERSION = 1


@click.command()
@click.argument("model", metavar="M.onnx", type=FILE)
@click.option("--out", type=FILE, help="File to write (.xml); the weights go beside it (.bin).  [default: M.xml]")
@click.option("--weights", type=click.Choice(["fp32", "fp16"]), default="fp32", help="fp16: half the file size.")
@parity_option
@limit_option
@json_option
@command_errors
def openvino(
    model: Path, out: Path | None, weights: str, folder: Path | None, limit: int, json_file: Path | None
) -> None:
    """Convert a model to OpenVINO IR, if it passes a gate.

    M.xml and M.bin are written. The IR takes images at S x S, uint8 (N, S, S, 3), and gives prob; the contract is in
    the .xml (rt_info, seglab/...). The files appear only after their probabilities were compared with those of M.onnx
    on the CPU provider.

    \b
    Example:
      seg-export openvino lesion.onnx --out lesion.xml --parity photos
    """
    from export.conversion.openvino_ir import to_ir
    from export.errors import ParityError
    from export.samples import sample_set

    target = out or default_place(model, ".xml")
    outputs = {"--out": target, IR_WEIGHTS: default_place(target, ".bin"), "--json": json_file}
    require_places(outputs, (model,), folders=(folder,), own=IR_OWN)
    if target.suffix != ".xml":
        raise click.UsageError(f"--out {target} ends in {target.suffix or 'nothing'}; expected .xml. Rename it.")
    samples = sample_set(folder, limit)
    echo(f"Converting {model} (weights in {weights}), then comparing on {samples.source} ...", err=True)
    try:
        with writing(target):
            report = to_ir(model, target, samples, weights=weights, track=parity_bar(len(samples)))
    except ParityError as error:
        if error.report and json_file:
            write_json_text(json_file, _as_json(error.report))
        raise
    if json_file:
        write_json_text(json_file, _as_json(report))
    figures = ", ".join(f"{name} {value:.3g}" for name, value in report.figures.items())
    echo(
        f"parity: passed by the limits of {report.limits.name}, {counted(len(report.rows), 'image')}: {figures}",
        err=True,
    )
    if str(json_file) != "-":
        click.echo(str(target))


def _as_json(report: ProbReport) -> str:
    return json.dumps({"kind": "seglab openvino", "format_version": FORMAT_VERSION, **report.to_json()}, indent=2)
