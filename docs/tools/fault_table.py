"""Plant every fault in the package's model and put what the gate says into ``docs/export.md``.

``python -m docs.tools.fault_table --images DATA/originals`` prints a line for each; exit code 1 where one passes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import onnx

from benchmarks.support.places import CHECKPOINT
from docs.tools.sections import EXPORT_PAGE, put
from export.proof.gate import CHUNK, ParityReport, check
from export.runtime.bundled import bundled_model
from export.runtime.opening import open_model
from export.samples import sample_set
from seglab.evaluation.original import Predictor
from seglab.networks.checkpoints import load_checkpoint
from tests.support.planted_faults import FAULTS, Fault, planted

HEAD = (
    "| fault | largest difference of probabilities | flipped | mean Dice | worst | beyond its limit |",
    "|" + " --- |" * 6,
)


@click.command()
@click.option("--images", type=click.Path(path_type=Path), required=True, help="Images with truth, for the gate.")
@click.option("--limit", default=12, show_default=True, help="Most images to compare.")
def main(images: Path, limit: int) -> None:
    """Print what the gate says of each fault, and put it into docs/export.md."""
    original, samples = Predictor(load_checkpoint(CHECKPOINT)), sample_set(images, limit)
    lines, not_found = [*HEAD], []
    with tempfile.TemporaryDirectory() as folder:
        for fault in (unchanged, *FAULTS):
            path = planted(fault, bundled_model(), Path(folder) / "faulty.onnx")
            report = check(open_model(path, "cpu", batch=CHUNK), original, samples, source=samples.source)
            lines.append(line(fault, report))
            click.echo(lines[-1])
            if report.passed and fault is not unchanged:
                not_found.append(fault.__name__)
    put(EXPORT_PAGE, "faults", "\n".join(lines))
    if not_found:
        raise click.ClickException(f"Not found: {', '.join(not_found)}.")


def line(fault: Fault, report: ParityReport) -> str:
    """Return what the gate says, as a line of the table."""
    whole = report.figures["whole"]
    figures = " | ".join(
        (
            f"{whole['max_prob']:.1e}", f"{whole['flipped']:.1e}", f"{whole['mean_dice']:.5f}",
            f"{whole['worst_dice']:.4f}",
        )
    )  # fmt: skip
    failures = ", ".join(dict.fromkeys(failure.figure for failure in report.failures))
    return f"| {(fault.__doc__ or '').splitlines()[0]} | {figures} | {failures or 'passed'} |"


def unchanged(model: onnx.ModelProto) -> None:
    """The model as it is."""


if __name__ == "__main__":
    main()
