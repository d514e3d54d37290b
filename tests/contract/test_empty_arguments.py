"""An empty string, as an unset shell variable gives it, is never taken for the working folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

import batch.cli
import export.cli
import seglab.cli
from tests.support.archive import save_many

COMMANDS = {"seg-batch": batch.cli.main, "seg-export": export.cli.main, "seglab": seglab.cli.main}


@pytest.mark.parametrize(
    "line",
    [
        "seg-batch run photos --out EMPTY",
        "seg-batch run photos --out masks --overlays EMPTY",
        "seg-batch run photos --out masks --ledger EMPTY",
        "seg-batch status EMPTY",
        "seg-export info EMPTY",
        "seg-export onnx EMPTY --out m.onnx",
        "seglab inspect EMPTY",
        "seglab train EMPTY --out run",
        "seglab synth --out EMPTY",
    ],
)
def test_it_is_refused(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_many(tmp_path / "photos", 1)
    command, *words = ["" if word == "EMPTY" else word for word in line.split()]
    result = CliRunner().invoke(COMMANDS[command], words)
    assert result.exit_code == 2
    assert "expected a path, got an empty string. Is a shell variable unset?" in result.output
    assert os.listdir() == ["photos"]
