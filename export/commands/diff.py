"""``seg-export diff``: the differences between two model files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from export.commands.common import FILE, json_option, limit_option, parity_bar, write_json_text
from export.commands.places import require_places
from seglab.cli_support import command_errors, echo, echo_lines
from seglab.words import counted, noun

if TYPE_CHECKING:
    from export.proof.graph_differences import GraphDifferences
    from export.proof.model_differences import MaskDifferences, ModelDifferences

DIFFERENT = 3
"""Exit code if the masks do not agree."""
LONGEST = 60
"""Characters shown of a value of the contract."""


@click.command()
@click.argument("first", metavar="A.onnx", type=FILE)
@click.argument("second", metavar="B.onnx", type=FILE)
@click.option("--images", "folder", type=FILE, help="Images to compare masks on.  [default: synthetic images]")
@limit_option
@click.option("--device", default="cpu", help="auto, cpu, openvino, cuda, cuda:K or tensorrt.")
@click.option("--worst", type=click.IntRange(min=0), default=5, help="How many of the worst images to list.")
@json_option
@command_errors
def diff(
    first: Path, second: Path, folder: Path | None, limit: int, device: str, worst: int, json_file: Path | None
) -> None:
    """Compare two models: contracts, graphs and masks.

    Exit code 0: the masks agree within the limits of fp32, whatever else differs; 3: they do not, or cannot be
    compared.

    \b
    Example:
      seg-export diff lesion.onnx lesion-int8.onnx --images data/isic2018
    """
    from export.errors import DeviceError
    from export.proof.model_differences import file_differences, model_differences
    from export.runtime.opening import open_model
    from export.samples import sample_set

    require_places({"--json": json_file}, (first, second), what="a file that is to be compared", folders=(folder,))
    samples = sample_set(folder, limit)
    try:
        one, other = (open_model(path, device) for path in (first, second))
    except DeviceError as error:
        if not error.available:
            raise
        found = file_differences(first, second, str(error))
    else:
        echo(f"Comparing on {one.whole_device.name}, {samples.source} ...", err=True)
        found = model_differences(one, other, samples, parity_bar(len(samples)))
    if json_file:
        write_json_text(json_file, found.to_json())
    if str(json_file) != "-":
        echo_lines(_lines(found, worst))
    if not found.masks_agree:
        sys.exit(DIFFERENT)


def _lines(found: ModelDifferences, worst: int) -> Iterator[str]:
    yield from _contract_lines(found.contract)
    yield from _graph_lines(found.graph)
    if found.masks is None:
        yield f"masks: not compared: {found.not_compared}"
    else:
        yield from _mask_lines(found.masks, worst)


def _contract_lines(fields: dict[str, tuple[Any, Any]]) -> Iterator[str]:
    count = f"{counted(len(fields), 'field')} {noun(len(fields), 'differs', 'differ')}"
    yield f"contract: {count if fields else 'the same'}"
    for name, values in fields.items():
        one, other = map(_shortened, values)
        yield f"  {name}: {one} | {other}"


def _shortened(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _graph_lines(graph: GraphDifferences | None) -> Iterator[str]:
    from export.proof.graph_differences import largest

    if graph is None:
        yield "graph: not compared, because the package onnx is missing (pip install onnx)"
        return
    if graph.are_equal:
        yield f"graph: the same operators and {graph.equal} equal weights and constants"
        return
    counts = ", ".join(f"{name} {one} | {other}" for name, (one, other) in graph.nodes.items())
    yield f"graph: {f'operators {counts}' if counts else 'the same operators'}"
    name, gap = largest(graph.changed.items())
    size = f", by at most {gap:.3g} ({name})" if name else ""
    yield (
        f"  weights and constants: {graph.equal} equal, {len(graph.changed)} differ{size}, "
        f"{len(graph.only_first)} | {len(graph.only_second)} are only in one"
    )


def _mask_lines(masks: MaskDifferences, worst: int) -> Iterator[str]:
    gap = "" if masks.max_prob is None else f", prob differs by at most {masks.max_prob:.2g}"
    yield (
        f"masks: {'DIFFER' if masks.beyond else 'agree'} on {counted(len(masks.rows), 'image')}: Dice mean "
        f"{masks.mean_dice:.6f}, worst {masks.worst_dice:.6f}, flipped pixels {masks.flipped:.2g}{gap}"
    )
    yield from (f"  {text}" for text in masks.beyond)
    for row in masks.worst(worst):
        yield f"  {row.image}: Dice {row.dice:.6f}, {row.flipped} of {row.pixels} pixels differ"
