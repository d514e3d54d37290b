"""README tells no stories: its commands are run, and what it shows is what they print, but for figures and names."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.doctests import run_examples

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL))
COMMANDS = {"seglab": "seglab", "seg-export": "export", "seg-batch": "batch"}
WIDTH = 80
MOST_WORDS = 450
PAIRS = 40


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)


def shown(section: str) -> list[tuple[list[str], str]]:
    """Return the commands of a section, with what README shows below each."""
    parts = re.split(r"^\$ ", "".join(blocks(section, "console")), flags=re.MULTILINE)[1:]
    found = [part.partition("\n") for part in parts]
    return [(shlex.split(command), output) for command, _, output in found if not command.startswith("pip ")]


def said(words: list[str], folder: Path) -> str:
    """Run a command of ours as in a terminal of 80 columns; return what it says."""
    code = f"from {COMMANDS[words[0]]}.cli import main; main()"
    environment = {**os.environ, "COLUMNS": str(WIDTH), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *words[1:]], cwd=folder, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


def plain(text: str) -> list[str]:
    """Return the lines without figures, spaces, the device and the progress of long runs: what no machine changes."""
    text = re.sub(r"(?m)^(Device|segment: ).*\n", "", text)
    return [line for line in re.sub(r"[-\d.,%()]+", "#", re.sub(r"[ \t]+", " ", text)).splitlines() if line.strip()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `photos`: six photographs, one of them damaged, and a page of paper."""
    folder = tmp_path
    said(shlex.split("seglab synth --out made --count 7 --size 600x450 --seed 3"), folder)
    photos = folder / "photos"
    photos.mkdir()
    for number, photo in enumerate(sorted((folder / "made" / "images").iterdir()), start=1):
        photo.rename(photos / f"IMG_{number:04}.jpg")
    damaged = photos / "IMG_0007.jpg"
    damaged.write_bytes(damaged.read_bytes()[:9000])
    page = np.full((600, 450, 3), 255, np.uint8)
    for row in range(60, 560, 24):
        cv2.putText(page, "Consent to photographs", (40, row), cv2.FONT_HERSHEY_PLAIN, 1.4, (20, 20, 20))
    cv2.imwrite(str(photos / "consent.png"), page)
    return folder


def test_it_is_one_screen() -> None:
    words = re.sub(r"```.*?```", "", README, flags=re.DOTALL).split()
    assert len(words) <= MOST_WORDS
    shown = "".join(re.findall(r"```(?:console|pycon)\n(.*?)```", README, re.DOTALL))
    assert max(map(len, shown.splitlines())) <= WIDTH


@pytest.mark.slow
def test_masks_for_a_folder(folder: Path) -> None:
    ((command, expected),) = shown("Masks for a folder")
    assert plain(said(command, folder)) == plain(expected)


@pytest.mark.slow
def test_from_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (block,) = blocks("From Python", "pycon")
    assert run_examples(block, {}, "README.md") > 3


@pytest.mark.slow
@pytest.mark.real
def test_train_export_run(folder: Path, data_dir: Path) -> None:
    for part in (data_dir / "isic2018").iterdir():
        (folder / "isic2018" / part.name).mkdir(parents=True)
        for file in sorted(part.iterdir())[:PAIRS]:
            (folder / "isic2018" / part.name / file.name).symlink_to(file)
    commands = shown("Train, export, run")
    assert len(commands) == 3
    for command, expected in commands:
        assert set(plain(expected)) <= set(plain(said(command, folder)))
    assert len(list((folder / "masks").glob("*.png"))) == 7
