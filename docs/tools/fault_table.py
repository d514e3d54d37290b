"""Plant every fault in a model of every precision and put what finds it into ``docs/explanation/planted_faults.md``.

``python -m docs.tools.fault_table`` prints a line for each; exit code 1 where one is not found.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import onnx

from docs.tools.sections import FAULTS_PAGE, put
from export.conversion.build import segmenter
from export.tolerances import PRECISIONS
from seglab.evaluation.original import Predictor
from tests.support.artefact import tiny_checkpoint
from tests.support.faults_around import AROUND, OF_VARIANTS
from tests.support.faults_within import OF_INT8, WITHIN
from tests.support.planted_faults import RESTATED, exported, found_by, pictures, restated, three_classes, variant

HEAD = (f"| fault | {' | '.join(PRECISIONS)} |", "|" + " --- |" * (1 + len(PRECISIONS)))
NOT_FOUND = "NOT FOUND"


@click.command()
def main() -> None:
    """Print what finds each fault, and put it into docs/explanation/planted_faults.md."""
    lines = list(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        for name, cells in rows(Path(folder)).items():
            lines.append(f"| {name} | {' | '.join(cells)} |")
            click.echo(lines[-1])
    put(FAULTS_PAGE, "faults", "\n".join(lines))
    missing = [line for line in lines if NOT_FOUND in line]
    if missing:
        raise click.ClickException(f"Not found: {len(missing)}.")


def rows(folder: Path) -> dict[str, list[str]]:
    """Return for each fault what finds it, by precision."""
    checkpoint = tiny_checkpoint(folder / "c.pt")
    original, samples, file = Predictor(checkpoint), pictures(), folder / "faulty.onnx"
    found: dict[str, list[str]] = {}
    for name, fields in RESTATED.items():
        for precision in PRECISIONS:
            other = "fp32" if precision == "int8" else "int8"
            stated = {field: other if value == "other" else value for field, value in fields.items()}
            found.setdefault(name, []).append(_short(restated(_copy(precision), checkpoint, file, **stated)))
    for name, fault in (AROUND | WITHIN).items():
        for precision in PRECISIONS:
            by = found_by(fault, exported(precision), checkpoint, original, samples, file)
            found.setdefault(name, []).append(_short(by))
    for name, fault in OF_INT8.items():
        found[name] = ["", "", "", _short(found_by(fault, exported("int8"), checkpoint, original, samples, file))]
    for name, (kind, fault) in OF_VARIANTS.items():
        chosen = variant(checkpoint, kind, three_classes())
        by = found_by(fault, segmenter([chosen]), chosen, Predictor(chosen), samples, file)
        found[name] = [_short(by), "", "", ""]
    return found


def _copy(precision: str) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(exported(precision))
    return model


def _short(by: str) -> str:
    """Return what found a fault, of the gate's figures the first."""
    return by.split(", ")[0] or NOT_FOUND


if __name__ == "__main__":
    main()
