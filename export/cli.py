"""``seg-export``: export checkpoints to model files, prove and describe them."""

from __future__ import annotations

import click

from export.commands.adopt import adopt
from export.commands.bench import bench
from export.commands.check import check
from export.commands.diff import diff
from export.commands.info import info
from export.commands.onnx import onnx
from export.commands.openvino import openvino
from seglab.cli_support import CONTEXT, CommandGroup, begin_command


@click.group(cls=CommandGroup, context_settings=CONTEXT)
@click.version_option(package_name="seglab")
def main() -> None:
    """Export a trained network to one self-contained ONNX model, and prove that it computes the same masks."""
    begin_command(
        "Interrupted; no unproved model was written. Run the same command again: it starts from the beginning."
    )


for command in (onnx, adopt, check, info, diff, bench, openvino):
    main.add_command(command)


if __name__ == "__main__":
    main()
