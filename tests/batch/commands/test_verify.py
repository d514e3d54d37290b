"""Masks that were edited, torn, removed or put there by hand are found, and made again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from batch.commands.verify import verify
from batch.errors import OutputError
from batch.ledger.lock import locked
from tests.support.archive import SIZE, StandIn, masks_below, read_grey, run_all, save, save_many, seg_batch, spot


@pytest.fixture
def out(tmp_path: Path) -> Path:
    save_many(tmp_path / "in", 8)
    save(tmp_path / "in" / "empty.png", np.full((SIZE, SIZE, 3), 230, np.uint8))
    run_all(tmp_path / "in", tmp_path / "out")
    return tmp_path / "out"


def test_what_a_run_wrote_verifies(out: Path) -> None:
    report = verify(out)
    assert report.is_whole
    assert report.matching == 9
    done = seg_batch("verify", out)
    assert (done.returncode, done.stdout) == (
        0, "9 masks match the ledger, 0 do not; 0 images failed, 0 pending; 0 stray files\n",
    )  # fmt: skip


def test_every_change_is_found_and_made_again(out: Path, tmp_path: Path) -> None:
    before = masks_below(out)
    (out / "000.png").unlink()
    (out / "001.png").write_bytes(before["001.png"][:40])
    (out / "002.png").write_bytes(b"")
    (out / "003.png").write_bytes(before["004.png"])
    edited = read_grey(out / "005.png").copy()
    edited[0, 0] = 255 - edited[0, 0]
    Image.fromarray(edited).save(out / "005.png")
    moved = np.roll(read_grey(out / "006.png"), 1, axis=1)
    Image.fromarray(moved).save(out / "006.png")
    Image.fromarray(spot(SIZE, SIZE)[..., 0]).save(out / "empty.png")
    (out / "extra").mkdir()
    Image.fromarray(edited).save(out / "extra" / "mine.png")
    report = verify(out)
    changed = {"000.png", "001.png", "002.png", "003.png", "005.png", "006.png", "empty.png"}
    assert set(report.wrong) == changed
    assert report.strays == ["extra/mine.png"]
    assert report.matching == 2
    assert "pixels; the ledger says" in report.wrong["003.png"]
    assert "lesion pixels; the ledger says" in report.wrong["005.png"]
    assert "box" in report.wrong["006.png"]

    done = seg_batch("verify", out, "--redo", "--json")
    assert done.returncode == 3
    assert set(json.loads(done.stdout)["wrong"]) == changed
    assert json.loads(done.stdout)["reopened"]
    run_all(tmp_path / "in", out, StandIn())
    after = masks_below(out)
    after.pop("extra/mine.png")
    assert after == before
    assert verify(out).strays == ["extra/mine.png"]


def test_failed_images_are_counted_and_are_no_wrong_masks(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 2)
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    run_all(tmp_path / "in", tmp_path / "out")
    report = verify(tmp_path / "out")
    assert (report.matching, report.failed, report.wrong, report.is_whole) == (2, 1, {}, True)


def test_a_folder_in_use_is_not_reopened(out: Path) -> None:
    (out / "000.png").unlink()
    with locked(out), pytest.raises(OutputError, match="Another run is writing"):
        verify(out, redo=True)


def test_a_folder_without_a_ledger_says_so(tmp_path: Path) -> None:
    done = seg_batch("verify", tmp_path)
    assert done.returncode == 1
    assert "There is no ledger in" in done.stderr
