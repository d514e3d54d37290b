"""What commands say on a terminal of 80 columns fits it; in a file or a pipe each message is one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from wcwidth import wcswidth

from tests.support.archive import save, save_many, seg_batch
from tests.support.terminal import ESCAPE, of_package, on_terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")

COLUMNS = 80
CHINESE = "皮肤镜照片/二零二四年_患者_零八一五_左前臂_近景_偏振光.png"
COMMANDS = (
    ("batch", "status", "masks"),
    ("batch", "status", "nowhere"),
    ("batch", "verify", "masks"),
    ("batch", "score", "masks", "photos"),
    ("batch", "compare", "masks", "masks"),
    ("batch", "run", "photos", "--out", "more", "--dry-run", "--device", "cpu"),
    ("batch", "run", "photos", "--out", "more", "--model", "none.onnx"),
    ("batch", "run", "photos", "--out", "more", "--device", "cuda:77"),
    ("batch", "run", "photos", "--out", "more", "--sample", "many"),
    ("batch", "run", "photos", "--out", "more", "--seed", "1"),
    ("seglab", "inspect", "photos"),
    ("seglab", "inspect", "nowhere"),
    ("seglab", "recipes"),
    ("export", "info", "none.onnx"),
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs with names that are wide, broken files, and the masks of a run."""
    folder = tmp_path_factory.mktemp("work")
    save_many(folder / "photos", 2)
    save(folder / "photos" / CHINESE)
    for name in ("한국어/사진.png", "e\u0301te\u0301.png"):
        save(folder / "photos" / name).write_text("Please log in.")
    done = seg_batch("run", folder / "photos", "--out", folder / "masks", "--device", "cpu")
    assert done.returncode == 3, done.stderr
    return folder


def too_wide(line: str) -> bool:
    """Could a line be broken, and is too wide? A path or a URL may be."""
    text = ESCAPE.sub("", line)
    return wcswidth(text) > COLUMNS and " " in text.strip()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_nothing_is_wider_than_the_terminal(work: Path, words: tuple[str, ...]) -> None:
    _, lines = on_terminal(of_package(*words), work, COLUMNS)
    assert any(lines)
    assert not [line for line in lines if too_wide(line)]
    assert not (work / "more").exists()


def test_what_scripts_look_for_is_one_line_in_a_pipe(work: Path) -> None:
    said = seg_batch("status", work / "masks").stdout
    assert f"failed: {work}/photos/한국어/사진.png: Not an image (text); expected JPEG, PNG, TIFF, BMP, WebP, " in said
    words = of_package("batch", "run", "photos", "--out", "more", "--model", "none.onnx")
    ended = subprocess.run(words, cwd=work, capture_output=True, text=True, check=False)
    assert ended.stderr.endswith("(.onnx). Check the path. Make one with `seg-export onnx CKPT --out M.onnx`.\n")
    assert len(ended.stderr.splitlines()) == 1


def test_status_says_what_the_end_of_the_run_says(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "masks"
    ended = seg_batch("run", work / "photos", "--out", out, "--device", "cpu").stderr
    told = seg_batch("status", out).stdout
    section = ended[ended.index("Look at\n") : ended.index("\n\nMasks ")]
    assert section in told
    looks = json.loads(seg_batch("status", out, "--json").stdout)["look_at"]
    assert [look["why"] in section for look in looks] == [True] * len(looks)
    assert looks[0]["path"].startswith(str(work / "photos"))
