"""``seg-batch export``: masks in the formats of hospitals and annotation tools."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch.errors import OutputError, encodable, printable
from batch.formats import NAMES
from seglab.cli_support import SOME_FAILED, NamedPath, command_errors, echo, echo_lines, progress
from seglab.words import counted

if TYPE_CHECKING:
    from batch.formats.target import Target
    from batch.ledger.reader import LedgerReader
    from batch.outputs.spec import Output

FORMAT_VERSION = 1
SHOWN = 20
FEW = 3
"""More masks that are left out for one reason are shown as one line."""
FILE = NamedPath()


@dataclass(frozen=True)
class ExportReport:
    """How many masks were ``written``, and the reasons why others were left out, by name."""

    format: str
    to: Path
    written: int
    left_out: dict[str, str]
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with a format version."""
        return {
            "format_version": FORMAT_VERSION,
            "format": self.format,
            "to": encodable(str(self.to)),
            "written": self.written,
            "left_out": {encodable(mask): printable(reason) for mask, reason in self.left_out.items()},
        }

    def lines(self) -> Iterator[str]:
        """Yield the report for a person."""
        yield f"{counted(self.written, 'mask')}: {printable(str(self.to))}"
        by_reason: dict[str, list[str]] = {}
        for mask, reason in self.left_out.items():
            by_reason.setdefault(reason, []).append(mask)
        for number, (reason, masks) in enumerate(by_reason.items()):
            if number == SHOWN:
                rest = sum(map(len, list(by_reason.values())[SHOWN:]))
                yield f"and {rest:,} more left out; --json names all"
                return
            more = f" and {len(masks) - FEW:,} more" if len(masks) > FEW else ""
            yield f"left out: {', '.join(map(printable, masks[:FEW]))}{more}: {printable(reason)}"
        if any(reason.startswith(("Changed since", "The mask")) for reason in by_reason):
            yield "run `seg-batch verify OUT --redo`, and the next run makes missing and changed masks again"


def write_export(
    out: Path | str,
    name: str,
    target: Target,
    *,
    verdict: str | None = None,
    pseudonymise: bool = False,
    names_to: Path | None = None,
    advance: Callable[[int], object] = lambda total: None,
) -> ExportReport:
    """Write the masks of an output in a format of :mod:`batch.formats.table`.

    ``verdict``: only those that reviewers ``accepted`` or ``rejected``. ``pseudonymise``: under names that tell
    nothing; ``names_to``: a table of these names. ``advance`` is called after each mask with the number of all masks.
    Raises :class:`ConfigError` and :class:`OutputError`.
    """
    from batch.formats.material import Material
    from batch.formats.names_table import require_names_table, write_names_table
    from batch.formats.naming import Pseudonyms, names_of
    from batch.formats.table import FORMATS
    from batch.outputs.reading import output_of, reading
    from batch.reporting.makers import Makers

    output = output_of(out)
    _require_beside(output, target.to)
    with reading(output) as (store, ledger), ledger.snapshot():
        pseudonymise = pseudonymise or ledger.is_pseudonymous
        FORMATS[name].require(target, is_pseudonymous=pseudonymise)
        if names_to is not None:
            _require_pseudonyms(pseudonymise)
            require_names_table(names_to, target.to)
        makers = Makers.of(ledger)
        names = names_of(ledger, output.state, pseudonymise=pseudonymise)
        rows = _rows(output, ledger, verdict)
        material = Material(store, ledger, makers, names, _photographs(ledger), advance=advance, rows=rows)
        if isinstance(names, Pseudonyms) and names_to is not None:
            write_names_table(names, names_to)
        written = FORMATS[name].write(material, replace(target, are_pseudonyms=pseudonymise))
        return ExportReport(name, target.to, written, material.left_out, tuple(makers.warnings()))


def _require_pseudonyms(are_asked: bool) -> None:
    if not are_asked:
        raise click.UsageError("--names was given without --pseudonymise. Add --pseudonymise, or leave out --names.")


def _rows(output: Output, ledger: LedgerReader, verdict: str | None) -> frozenset[int] | None:
    if verdict is None:
        return None
    from batch.review.decisions import Verdict
    from batch.review.reviewed import rows_with

    return rows_with(Verdict[verdict.upper()], output, ledger)


def _photographs(ledger: LedgerReader) -> Any:
    from batch.sources.by_path import Photographs

    last = ledger.last_run()
    return Photographs(None if last is None else last.settings.get("zip_encoding"))


def _require_beside(output: Output, to: Path) -> None:
    """Raise :class:`OutputError` if the target lies in the output, whose masks its files would be taken for."""
    for folder in filter(None, (output.folder, output.state)):
        if to.resolve().is_relative_to(folder.resolve()):
            raise OutputError(
                f"{printable(str(to))} lies in the output {printable(str(folder))}; expected a place beside it. Choose "
                "another one with --to."
            )


@click.command()
@click.argument("out", type=FILE)
@click.option("--format", "name", type=click.Choice(NAMES), required=True, help="What to write.")
@click.option("--to", type=FILE, required=True, metavar="PATH", help="Folder to write to; for coco a .json file.")
@click.option("--verdict", type=click.Choice(["accepted", "rejected"]), help="Only masks that reviewers decided on so.")
@click.option("--with-images", is_flag=True, help="Also write the photographs: png, labelme (inside the JSON).")
@click.option("--polygons", is_flag=True, help="For coco: write outlines instead of run lengths; holes are lost.")
@click.option("--pseudonymise", is_flag=True, help="Replace all names by random-looking ones; not for dicom.")
@click.option("--names", type=FILE, metavar="FILE", help="Write which pseudonym is which image (.csv).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command_errors
def export(
    out: Path,
    name: str,
    to: Path,
    verdict: str | None,
    pseudonymise: bool,
    names: Path | None,
    as_json: bool,
    **options: bool,
) -> None:
    """Hand masks on: COCO, labelme, PNG for CVAT, DICOM SEG.

    coco: one file for CVAT and FiftyOne. labelme: a JSON file per photograph. png: CVAT's "Segmentation mask
    1.1". dicom: a Segmentation object for each photograph that is a DICOM file.

    Photographs are written upright and without metadata. Exit code 3: some masks were left out, each with a reason.

    Example: seg-batch export masks --format png --to for-cvat --with-images
    """
    from batch.formats.target import Target

    target = Target(to, **options)
    with progress(None, "export", " masks") as bar:

        def advance(total: int) -> None:
            bar.total = total
            bar.update()

        report = write_export(
            out, name, target, verdict=verdict, pseudonymise=pseudonymise, names_to=names, advance=advance
        )
    for warning in report.warnings:
        echo(f"warning: {warning}", err=True)
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    else:
        echo_lines(report.lines())
    if report.left_out:
        sys.exit(SOME_FAILED)
