"""What a process had written when it ended: no mask is left of an image that failed, no file of others is lost."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests.support.archive import masks_below, seg_batch
from tests.support.artefact import blobs
from tests.support.faults import counts, ended, faulty, png, reasons, run_words, write_images

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc"),
]

SOON = ("--timeout", "1")
"""For runs in which no good image is new: on a busy machine one may take longer."""
FOREIGN = png(np.zeros((5, 5), np.uint8))


def changed(path: Path, fault: str, seed: int) -> None:
    """Put another image in the place of one."""
    path.write_bytes(png(blobs(np.random.default_rng(seed), 48, 52)[0], fault))


@pytest.mark.parametrize("suffix", ["", ".zip"])
@pytest.mark.parametrize("fault", ["again-crash", "again-hang", "again-all"])
def test_a_mask_was_written_when_its_process_ended(model_file: Path, tmp_path: Path, suffix: str, fault: str) -> None:
    """It fails while its overlay is drawn: mask and map are removed, and made when the image is good."""
    source = write_images(tmp_path / "in", faulty(fault, count=6))
    out, overlays, probs = tmp_path / f"out{suffix}", tmp_path / "overlays", tmp_path / "probs"
    seconds = "2" if "hang" in fault else "20"
    words = run_words(source, out, model_file, "--timeout", seconds, "--overlays", overlays, "--probs", probs)
    code = ended(tmp_path, *words)[0]
    while code < 0:
        code = ended(tmp_path, *words)[0]
    assert code == 3
    assert set(reasons(out)) == {f"000-{fault}.png"}
    verified = seg_batch("verify", out)
    assert verified.returncode == 0, verified.stdout
    for folder in (overlays, probs):
        assert not list(folder.glob(f"*{fault}*"))
    changed(source / f"000-{fault}.png", "", 5)
    code, said = ended(tmp_path, *words)
    assert code == 0, said
    assert seg_batch("verify", out).returncode == 0


@pytest.mark.parametrize("fault", ["crash", "hang"])
def test_a_mask_that_a_killed_run_wrote_and_did_not_record(model_file: Path, tmp_path: Path, fault: str) -> None:
    """The next run cannot read its image: the mask goes, so that a later run does not take it for somebody else's."""
    source = write_images(tmp_path / "in", faulty(count=3))
    out = tmp_path / "out"
    words = run_words(source, out, model_file)
    assert ended(tmp_path, *words)[0] == 0
    name = sorted(masks_below(out))[0]
    with contextlib.closing(sqlite3.connect(out / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE items SET status = 'pending', sha256 = NULL WHERE mask = ?", (name,))
        ledger.execute("UPDATE runs SET finished_at = NULL")
    changed(source / name, fault, 4)
    assert ended(tmp_path, *words, *SOON)[0] == 3
    assert not (out / name).exists()
    changed(source / name, "", 4)
    code, said = ended(tmp_path, *words)
    assert code == 0, said
    assert seg_batch("verify", out).returncode == 0


@pytest.mark.parametrize("fault", ["crash", "crash:1", "hang"])
def test_a_foreign_file_lies_where_the_mask_would_go(model_file: Path, tmp_path: Path, fault: str) -> None:
    source = write_images(tmp_path / "in", {"a.png": png(blobs(np.random.default_rng(1), 50, 60)[0])})
    out = tmp_path / "out"
    words = run_words(source, out, model_file)
    assert ended(tmp_path, *words)[0] == 0
    (out / "bad.png").write_bytes(FOREIGN)
    changed(source / "bad.png", fault, 2)
    for _ in range(2):
        code, said = ended(tmp_path, *words, *SOON)
        assert code == 3, said
        assert set(reasons(out)) == {"bad.png"}
        assert (out / "bad.png").read_bytes() == FOREIGN
    (out / "bad.png").unlink()
    changed(source / "bad.png", "", 2)
    code, said = ended(tmp_path, *words)
    assert code == 0, said


@pytest.mark.parametrize("fault", ["crash", "crash:1", "hang"])
def test_a_mask_that_was_edited_by_hand(model_file: Path, tmp_path: Path, fault: str) -> None:
    source = write_images(tmp_path / "in", faulty(count=3))
    out = tmp_path / "out"
    words = run_words(source, out, model_file)
    assert ended(tmp_path, *words)[0] == 0
    (out / "001.png").write_bytes(FOREIGN)
    changed(source / "001.png", fault, 3)
    for _ in range(2):
        code, said = ended(tmp_path, *words, *SOON)
        assert code == 3, said
        assert (out / "001.png").read_bytes() == FOREIGN
    assert counts(out) == {"done": 2, "failed": 1, "pending": 0}


def test_an_earlier_mask_of_an_image_that_now_ends_its_process(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", faulty(count=3))
    out, overlays = tmp_path / "out", tmp_path / "overlays"
    words = run_words(source, out, model_file, "--overlays", overlays)
    assert ended(tmp_path, *words)[0] == 0
    whole = masks_below(out)
    changed(source / "001.png", "again-crash", 3)
    for seed in (3, 4):  # the second time with other content
        code, said = ended(tmp_path, *words)
        assert code == 3, said
        there = masks_below(out)
        assert {name: there.get(name) for name in ("000.png", "002.png")} == {
            name: whole[name] for name in ("000.png", "002.png")
        }
        changed(source / "001.png", "again-crash", seed)
    changed(source / "001.png", "", 5)
    code, said = ended(tmp_path, *words)
    assert code == 0, said
    assert seg_batch("verify", out).returncode == 0
