"""``docs/lesions.ipynb`` runs from data to archive, and what it shows came from such a run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "docs" / "lesions.ipynb"
COMMANDS = (
    "seglab synth", "seglab inspect", "seglab train", "seglab validate", "seglab card", "seg-export onnx",
    "seg-batch run", "seg-batch score",
)  # fmt: skip


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == kind]


def printed(path: Path) -> str:
    outputs = [output for cell in cells(path, "code") for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    return "".join("".join(output.get("text", "")) for output in outputs)


def test_the_notebook_shows_a_whole_run() -> None:
    code = "".join("".join(cell["source"]) for cell in cells(NOTEBOOK, "code"))
    assert all(command in code for command in COMMANDS)
    counts = [cell["execution_count"] for cell in cells(NOTEBOOK, "code")]
    assert counts == list(range(1, len(counts) + 1)), "run it as a whole: python -m docs.tools.notebook"
    assert "12 masks, 0 failed" in printed(NOTEBOOK)


def test_its_links_lead_somewhere() -> None:
    text = "".join("".join(cell["source"]) for cell in cells(NOTEBOOK, "markdown"))
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    assert links
    assert [link for link in links if not (NOTEBOOK.parent / link).exists()] == []


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="the dev extra brings what executes notebooks")
    executed = tmp_path / "executed.ipynb"
    done = subprocess.run(
        [sys.executable, "-m", "docs.tools.notebook", "--out", str(executed)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    text = printed(executed)
    assert "12 masks, 0 failed" in text
    assert float(re.findall(r"^Dice +([\d.]+)$", text, re.MULTILINE)[-1]) > 0.5
