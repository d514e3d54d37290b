"""Agreement of devices: masks of ``seg-batch run`` on each, compared with those of ``cpu`` in fp32.

``python -m benchmarks.studies.agreement IMAGES [--model M.onnx]`` prints a Markdown table: pixels that differ, mask
Dice.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click

from export.runtime.bundled import bundled_model
from export.runtime.inspection import inspect_devices
from export.runtime.masks import agreement
from seglab.images.masks import read_mask

FILE = click.Path(path_type=Path)
RUN = [sys.executable, "-c", "from batch.cli import main; main()", "run"]


@click.command()
@click.argument("images", type=FILE)
@click.option("--model", type=FILE, help="Model file.  [default: the one that comes with the package]")
def main(images: Path, model: Path | None) -> None:
    """Run and compare."""
    path = model or bundled_model()
    ways = [(report.name, report.precision, report.reason) for report in inspect_devices(path) if report.available]
    with tempfile.TemporaryDirectory() as folder:
        click.echo("| device | precision | pixels that differ | of | share | mean Dice | worst |\n|" + " --- |" * 7)
        expected = _masks(images, path, "cpu", "fp32", Path(folder) / "expected")
        for index, (device, precision, reason) in enumerate(ways):
            compute = precision if precision in ("fp32", "bf16") else None
            try:
                found = _masks(images, path, device, compute, Path(folder) / str(index))
            except subprocess.CalledProcessError:
                click.echo(f"| {device} | {precision} | not run: {reason} |" + " |" * 4)
                continue
            pairs = [agreement(read_mask(found / mask.name), read_mask(mask)) for mask in expected.glob("*.png")]
            pixels = sum(read_mask(mask).size for mask in expected.glob("*.png"))
            wrong, dice = sum(flipped for flipped, _ in pairs), [value for _, value in pairs]
            click.echo(
                f"| {device} | {precision} | {wrong} | {pixels} | {wrong / pixels:.1e} | {sum(dice) / len(dice):.6f} | "
                f"{min(dice):.6f} |"
            )


def _masks(images: Path, model: Path, device: str, compute: str | None, out: Path) -> Path:
    """Run the command and return the folder of masks."""
    options = ["--out", str(out), "--model", str(model), "--device", device]
    options += ["--compute", compute] if compute else []
    subprocess.run([*RUN, str(images), *options], check=True, capture_output=True)
    return out


if __name__ == "__main__":
    main()
