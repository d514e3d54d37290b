"""Options and output that the subcommands share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seglab.cli_support import NamedPath, progress
from seglab.errors import SeglabError

if TYPE_CHECKING:
    from export.proof.gate import ParityReport
    from export.samples import Sample

TRAINING_PACKAGES = ("torch", "onnx", "onnxscript", "segmentation_models_pytorch")
FILE = NamedPath()
WRITING_PACKAGES = ("onnx",)
DEFAULT_IMAGES = 48  # export.samples.DEFAULT_LIMIT, which is not imported for --help
json_option = click.option(
    "--json", "json_file", type=FILE, help="Write all figures, image by image, to this file ('-': stdout)."
)
limit_option = click.option(
    "--parity-images",
    "limit",
    type=click.IntRange(min=1),
    default=DEFAULT_IMAGES,
    help="Use at most this many images of the folder, evenly spaced; six edge cases are added.",
)
parity_option = click.option(
    "--parity",
    "folder",
    type=FILE,
    help="Images to prove the model on: a data set with truth, or any folder of images.  [default: synthetic images]",
)
licence_option = click.option("--licence", default="not stated", help="Licence of the weights, for the contract.")


def hair_option(default: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option for hair removal; ``default``: the meaning of its absence, for the help."""
    return click.option(
        "--hair",
        type=click.Choice(["none", "dullrazor"]),
        help=f"dullrazor: the graph removes hairs, for networks trained without hairs.  [default: {default}]",
    )


def parity_bar(total: int) -> Callable[[Iterable[Sample]], Iterable[Sample]]:
    """Return a wrapper that shows the progress of a parity check over ``total`` samples."""

    def track(samples: Iterable[Sample]) -> Iterable[Sample]:
        with progress(total, "parity", "image") as bar:
            for sample in samples:
                yield sample
                bar.update()

    return track


def say_failed(model: Path, report: ParityReport, json_file: Path | None) -> None:
    """Print the figures of a model that did not pass its gate and was not written; write the report if asked."""
    from export.proof.text import parity_text

    if json_file:
        write_report(json_file, report)
    click.echo(parity_text(str(model), report, ("not written", str(model))), err=True)


def say_made(model: Path, report: ParityReport, report_file: Path, *, only_json: bool) -> None:
    """Print the verdict of a model that passed its gate, its figures, where the report is, and how to use it.

    ``only_json``: stdout holds the report, so the model's path is not printed there.
    """
    from export.proof.sheet import usage
    from export.proof.text import parity_text

    told = [("report", str(report_file))] if str(report_file) != "-" else []
    click.echo(parity_text(str(model), report, *told, ("use it", usage(model))), err=True)
    if not only_json:
        click.echo(str(model))


def write_report(path: Path, report: ParityReport) -> None:
    """Write a report as JSON, to stdout for ``-``."""
    write_json_text(path, report.to_json())


def write_json_text(path: Path, text: str) -> None:
    """Write JSON to a file, to stdout for ``-``."""
    from seglab.files import write_text

    if str(path) == "-":
        click.echo(text)
    else:
        with writing(path):
            write_text(path, text + "\n")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise :class:`SeglabError` if ``path`` cannot be written; first remove temporary files of killed processes."""
    from seglab.files import remove_abandoned

    remove_abandoned(path)
    try:
        yield
    except OSError as error:
        raise SeglabError(
            f"{path} cannot be written ({error.strerror or error}); expected a folder with free space and write "
            "permission. Name another place."
        ) from error
