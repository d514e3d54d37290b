"""Execute ``docs/lesions.ipynb`` in an empty folder, and keep its outputs: ``python -m docs.tools.notebook``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import click
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOK = Path(__file__).resolve().parent.parent / "lesions.ipynb"
SECONDS = 900
"""For one cell."""


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=NOTEBOOK, help="Where to write it.")
def main(out: Path) -> None:
    """Execute the notebook; an error in a cell is printed, and nothing is written."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no types here
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    os.environ["PYTHONPATH"] = os.pathsep.join([str(NOTEBOOK.parent.parent), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": folder}}
        )
        try:
            client.execute()
        except CellExecutionError as error:
            raise click.ClickException(str(error)) from error
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times, which differ from run to run
    nbformat.write(notebook, out)  # type: ignore[no-untyped-call]  # as above


if __name__ == "__main__":
    main()
