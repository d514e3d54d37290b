"""``docs/reference/python.md``: its code runs and gives what it shows, but for the digits of figures."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from seglab.cli import main
from tests.support.doctests import run_examples

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "python.md"
PYTHON = re.compile(r"^```pycon\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHELL = re.compile(r"^\$ seglab (.*)$", re.MULTILINE)
NEEDS_TORCH = "## Train and validate"
TINY = 'arch = "unet-scratch"\nwidths = [4, 8]\nsize = 32\nbatch = 4\nworkers = 0\nsplit = "fifth"\n'


def sections() -> dict[str, str]:
    """Return the code of each section by its title."""
    parts = re.split(r"^(?=## )", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {part.partition("\n")[0]: "\n".join(PYTHON.findall(part)) for part in parts}


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The folder that the page's first command makes, and the names that its code knows."""
    monkeypatch.chdir(tmp_path)
    (line,) = SHELL.findall(PAGE.read_text(encoding="utf-8"))
    assert CliRunner().invoke(main, shlex.split(line)).exit_code == 0
    return {}


@pytest.mark.slow
def test_the_page_runs(demo: dict[str, Any]) -> None:
    parts = sections()
    assert len("".join(parts.values()).splitlines()) > 40
    for title, text in parts.items():
        if title != NEEDS_TORCH:
            run_examples(text, demo, PAGE.name)


@pytest.mark.slow
def test_what_it_trains(demo: dict[str, Any]) -> None:
    Path("tiny.toml").write_text(TINY)
    text = sections()[NEEDS_TORCH].replace('recipe="quick"', 'recipe="tiny.toml"')
    assert "tiny.toml" in text
    run_examples(f">>> import seglab\n{text}", demo, PAGE.name)
