"""The commands of the two pages on training, run as they stand there, with a tiny network on a small data set."""

from __future__ import annotations

import glob
import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from batch.cli import main as batch_main
from export.cli import main as export_main
from seglab.cli import main
from seglab.synth import write_set

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = (DOCS / "tutorials" / "train.md", DOCS / "how-to" / "train.md")
PROGRAMS = {"seglab": main, "seg-export": export_main, "seg-batch": batch_main}
TINY = [
    word
    for change in (
        "arch=unet-scratch", "widths=[4,8]", "decoder_channels=[]", "size=32", "batch=2", "workers=0", "lr=0.02",
    )
    for word in ("--set", change)
]  # fmt: skip


def commands() -> list[list[str]]:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [shlex.split(line.removeprefix("$ ")) for block in blocks for line in block.splitlines()]


def test_the_pages_have_commands_of_every_step() -> None:
    assert {tuple(words[:2]) for words in commands()} == {
        ("seg-batch", "run"),
        ("seglab", "inspect"), ("seglab", "train"), ("seglab", "validate"), ("seglab", "card"), ("seglab", "compare"),
        ("seg-export", "onnx"),
    }  # fmt: skip


@pytest.mark.slow
def test_its_commands_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_set(tmp_path / "isic2018", 20, [(60, 80), (80, 60)], seed=3)
    shutil.copytree(tmp_path / "isic2018" / "images", tmp_path / "photos")
    for program, *words in commands():
        if words[0] == "train" and "--resume" not in words:
            words += [*TINY, "--set", "epochs=3"]
        found = [name for word in words for name in (sorted(glob.glob(word)) if "*" in word else [word])]
        done = CliRunner().invoke(PROGRAMS[program], found)
        assert done.exit_code == 0, (words, done.output)
    for file in ("runs/quick/MODEL_CARD.md", "quick.onnx", "folds.onnx", "runs/folds/out-of-fold/scores.json"):
        assert (tmp_path / file).exists(), file
