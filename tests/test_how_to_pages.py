"""The commands of how-to pages, run as they stand there, over a few photographs of which one is broken."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from export.runtime.devices.cpu_features import computes_int8_exactly
from seglab.synth import write_set

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "export" / "models"
ELSEWHERE = ("pip ", "s3://", "https://", "docker ", "kubectl ", "aws ", "ray ")
PAGES = ("cluster", "sources", "outputs", "resume", "failures", "score", "forget", "hand_on")


def commands(page: str) -> list[str]:
    text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.replace("\\\n", "").splitlines()]
    return [line for line in lines if not any(words in line for words in ELSEWHERE)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with all that the pages name."""
    write_set(tmp_path / "isic2018", 3, [(60, 80)], seed=3)
    images = sorted((tmp_path / "isic2018" / "images").iterdir())
    for name in ("photos", "more"):
        shutil.copytree(images[0].parent, tmp_path / name)
    (tmp_path / "photos" / "broken.jpg").write_text("not an image")
    (tmp_path / "photos" / "a").mkdir()
    for name in ("b.jpg", "c.jpg"):
        shutil.copy(images[0], tmp_path / "photos" / "a" / name)
    shutil.copy(images[0], tmp_path / "one.png")
    (tmp_path / "clinic").mkdir()
    for name in ("older.zip", "clinic/a.zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.write(images[0], images[0].name)
    with tarfile.open(tmp_path / "newer.tar.gz", "w:gz") as tar:
        tar.add(images[1], images[1].name)
    (tmp_path / "list.txt").write_text("photos/a/b.jpg\n")
    other = "lesion-int8" if computes_int8_exactly() else "lesion"
    for name, file in {"a": "lesion", "b": other, "new": other, "lesion": "lesion"}.items():
        shutil.copy(MODELS / f"{file}.onnx", tmp_path / f"{name}.onnx")
    shutil.copy(MODELS / "lesion-int8.onnx", tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the pages show pipes as bash has them")
@pytest.mark.parametrize("page", PAGES)
def test_its_commands_work(place: Path, page: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}

    def ended(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(line, shell=True, cwd=place, env=environment, capture_output=True, text=True, check=False)

    if page in ("failures", "forget", "hand_on"):  # these pages need an output
        assert ended("seg-batch run photos --out masks").returncode == 3
    found = commands(page)
    assert found
    for line in found:
        done = ended(line)
        assert done.returncode in (0, 3), (line, done.stderr)
