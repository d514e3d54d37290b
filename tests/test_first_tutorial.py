"""The commands of the first tutorial, run as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from batch.cli import main as batch_main
from seglab.cli import main

PROGRAMS = {"seglab": main, "seg-batch": batch_main}


@pytest.mark.slow
def test_its_commands_give_what_it_says(repo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (repo_root / "docs" / "tutorials" / "first_masks.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\$ (.*)$", page, re.MULTILINE)
    assert lines.pop(0) == "pip install ."
    for line in lines:
        program, *words = shlex.split(line)
        done = CliRunner().invoke(PROGRAMS[program], words)
        assert done.exit_code == 0, (line, done.output)
    photographs = {path.stem for path in (tmp_path / "demo" / "images").iterdir()}
    assert len(photographs) == 8
    assert {path.stem for path in (tmp_path / "masks").glob("*.png")} == photographs
    assert {path.stem for path in (tmp_path / "overlays").glob("*.*g")} == photographs
    assert (tmp_path / "masks.csv").read_text().count("\n") == 9
