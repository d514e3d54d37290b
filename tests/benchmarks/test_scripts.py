"""Every script that a document names answers ``--help``, and does nothing then."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.support.places import ROOT

SCRIPTS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (
        ROOT / "benchmarks" / "track.py",
        *sorted((ROOT / "benchmarks" / "studies").glob("[!_]*.py")),
        *sorted((ROOT / "docs" / "tools").glob("*.py")),
    )
    if "__main__" in path.read_text()
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_it_helps(script: str) -> None:
    answered = CliRunner().invoke(importlib.import_module(script).main, ["--help"])
    assert answered.exit_code == 0, answered.output
    assert answered.output.startswith("Usage: main [OPTIONS]")


def test_the_studies_are_listed(repo_root: Path) -> None:
    listed = (repo_root / "benchmarks" / "studies" / "README.md").read_text()
    studies = [script for script in SCRIPTS if script.startswith("benchmarks.studies.")]
    assert len(studies) > 5
    assert [script for script in studies if f"python -m {script}`" not in listed] == []
