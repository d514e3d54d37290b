"""Whole runs with a stand-in model: masks, figures, going on, and what is done again."""

from __future__ import annotations

import io
import os
import sqlite3
import zipfile
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import batch
from batch.errors import OutputError, SourceError
from batch.ledger.records import Status
from batch.ledger.schema import ledger_path
from batch.running.runner import Runner
from batch.settings import RunSettings
from seglab.images.reader import read_image
from tests.support.archive import (
    SIZE,
    StandIn,
    as_model,
    masks_below,
    read_grey,
    run_all,
    run_with_report,
    save,
    save_many,
    spot,
)


def statuses(results: list[batch.Result]) -> list[str]:
    return [result.status.value for result in results]


def test_masks_have_the_images_sizes_and_show_the_spots(tmp_path: Path) -> None:
    paths = save_many(tmp_path / "in", 23)  # five full batches and a part of one
    results = run_all(tmp_path / "in", tmp_path / "out")
    assert [result.path for result in results] == [str(path) for path in paths]
    for path, result in zip(paths, results, strict=True):
        mask, expected = read_grey(Path(result.mask)) > 0, read_image(path).mean(axis=2) < 128
        assert mask.shape == expected.shape
        assert 2 * (mask & expected).sum() / (mask.sum() + expected.sum()) > 0.9


def test_figures_of_the_result_and_the_ledger_agree_with_the_mask(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 6)
    results = run_all(tmp_path / "in", tmp_path / "out")
    names = "path, height, width, lesion_area, lesion_fraction, bbox_x0, bbox_y0, bbox_x1, bbox_y1, confidence, status"
    with closing(sqlite3.connect(ledger_path(tmp_path / "out"))) as connection:
        rows = list(connection.execute(f"SELECT {names} FROM items ORDER BY path"))
    for result, row in zip(results, rows, strict=True):
        mask = read_grey(Path(result.mask)) > 0
        found = result.figures
        assert found is not None
        (where,) = ndimage.find_objects(mask.astype(int))
        box = (where[1].start, where[0].start, where[1].stop, where[0].stop)
        assert (found.height, found.width, found.lesion_area, found.bbox) == (*mask.shape, mask.sum(), box)
        assert row == (
            result.path, *mask.shape, mask.sum(), pytest.approx(mask.mean()), *box, found.confidence, "done",
        )  # fmt: skip
        assert 0 < found.confidence <= 1
        assert result.seconds > 0


def test_exact_and_fast_masks_are_nearly_the_same(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / "in" / f"{number}.jpg", spot(400 + 50 * number, 600), quality=90)
    fast = run_all(tmp_path / "in", tmp_path / "fast", StandIn(size=192))
    exact = run_all(tmp_path / "in", tmp_path / "exact", StandIn(size=192), exact=True)
    for one, other in zip(fast, exact, strict=True):
        a, b = read_grey(Path(one.mask)) > 0, read_grey(Path(other.mask)) > 0
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.99


def test_the_contracts_threshold_decides(tmp_path: Path) -> None:
    image = np.full((SIZE, SIZE, 3), 200, np.uint8)  # p = 1 - 200/255 = 0.2157
    save(tmp_path / "in" / "a.png", image)
    (low,) = run_all(tmp_path / "in", tmp_path / "low", StandIn(threshold=0.215))
    (high,) = run_all(tmp_path / "in", tmp_path / "high", StandIn(threshold=0.217))
    assert low.figures is not None
    assert low.figures.lesion_area == SIZE * SIZE
    assert high.figures is not None
    assert high.figures.lesion_area == 0
    assert high.figures.bbox is None


def test_running_again_does_nothing(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 9)
    run_all(tmp_path / "in", tmp_path / "out")
    before = masks_below(tmp_path / "out")
    times = [path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")]
    results, runner = run_with_report(tmp_path / "in", tmp_path / "out")
    assert statuses(results) == ["skipped"] * 9
    assert (runner.report.done, runner.report.skipped) == (0, 9)
    assert masks_below(tmp_path / "out") == before
    assert [path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")] == times


def test_what_is_new_changed_or_missing_is_done(tmp_path: Path) -> None:
    paths = save_many(tmp_path / "in", 5)
    run_all(tmp_path / "in", tmp_path / "out")
    save(paths[1], spot(99, 77))  # other content
    state = paths[2].stat()
    os.utime(paths[2], ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    (tmp_path / "out" / "003.png").unlink()
    save(tmp_path / "in" / "new.png")
    results = run_all(tmp_path / "in", tmp_path / "out")
    assert statuses(results) == ["skipped", "done", "done", "done", "skipped", "done"]
    assert read_grey(tmp_path / "out" / "001.png").shape == (99, 77)


def test_another_model_or_other_settings_do_all_again(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 3)
    run_all(tmp_path / "in", tmp_path / "out")
    assert statuses(run_all(tmp_path / "in", tmp_path / "out", StandIn("b" * 64))) == ["done"] * 3
    assert statuses(run_all(tmp_path / "in", tmp_path / "out", StandIn("b" * 64), mask_bits=1)) == ["done"] * 3
    assert statuses(run_all(tmp_path / "in", tmp_path / "out", StandIn("b" * 64), mask_bits=1)) == ["skipped"] * 3


def test_another_device_of_the_same_precision_does_not(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 2)
    run_all(tmp_path / "in", tmp_path / "out")
    other = StandIn()
    other.device = replace(other.device, name="openvino", provider="OpenVINO")
    assert statuses(run_all(tmp_path / "in", tmp_path / "out", other)) == ["skipped"] * 2


@pytest.mark.parametrize(("bits", "mode"), [(1, "1"), (8, "L")])
def test_mask_bits(tmp_path: Path, bits: int, mode: str) -> None:
    save(tmp_path / "in" / "a.png")
    (result,) = run_all(tmp_path / "in", tmp_path / "out", mask_bits=bits)
    with Image.open(result.mask) as image:
        assert image.mode == mode
    assert set(np.unique(read_grey(Path(result.mask)))) == {0, 255}


def modes(out: Path) -> list[str]:
    """Pillow's modes of the masks in a folder or a zip, by name."""
    if out.suffix == ".zip":
        with zipfile.ZipFile(out) as archive:
            files = [archive.read(name) for name in sorted(archive.namelist()) if name.endswith(".png")]
    else:
        files = [path.read_bytes() for path in sorted(out.glob("*.png"))]
    found = []
    for data in files:
        with Image.open(io.BytesIO(data)) as image:
            found.append(image.mode)
    return found


@pytest.mark.parametrize("out", ["out", "out.zip"])
def test_masks_of_one_bit_are_not_redone_and_new_ones_are_like_them(tmp_path: Path, out: str) -> None:
    save_many(tmp_path / "in", 3)
    run_all(tmp_path / "in", tmp_path / out, mask_bits=1)
    new = save(tmp_path / "in" / "new.png")
    results, runner = run_with_report(tmp_path / "in", tmp_path / out)
    assert statuses(results) == ["skipped"] * 3 + ["done"]
    note = (
        "masks have 1 bit per pixel, like those of the last run into this output; --mask-bits 8 makes all of them again"
    )
    assert note in runner.report.notes
    assert modes(tmp_path / out) == ["1"] * 4
    new.unlink()
    results, runner = run_with_report(tmp_path / "in", tmp_path / out, mask_bits=8)
    assert statuses(results) == ["done"] * 3
    assert note not in runner.report.notes
    assert statuses(run_all(tmp_path / "in", tmp_path / out)) == ["skipped"] * 3
    assert modes(tmp_path / out) == ["L"] * 3 + ["1"]  # the mask of an image that is gone stays


def test_masks_have_eight_bits_if_nothing_is_said(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 2)
    _, runner = run_with_report(tmp_path / "in", tmp_path / "out")
    assert modes(tmp_path / "out") == ["L", "L"]
    assert not runner.report.notes


def test_a_template_names_the_masks(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a" / "ISIC_1.jpg")
    run_all(tmp_path / "in", tmp_path / "out", name="{stem}_segmentation.png")
    assert list(masks_below(tmp_path / "out")) == ["a/ISIC_1_segmentation.png"]


def test_a_broken_image_is_a_row_and_its_old_mask_goes(tmp_path: Path) -> None:
    paths = save_many(tmp_path / "in", 3)
    run_all(tmp_path / "in", tmp_path / "out")
    paths[1].write_bytes(b"no image any more")
    results, runner = run_with_report(tmp_path / "in", tmp_path / "out")
    assert statuses(results) == ["skipped", "failed", "skipped"]
    assert "Not an image" in (results[1].error or "")
    assert not Path(results[1].mask).exists()
    assert not runner.report.is_complete
    save(paths[1])
    assert statuses(run_all(tmp_path / "in", tmp_path / "out")) == ["skipped", "done", "skipped"]


def test_a_file_that_vanishes_is_a_row(tmp_path: Path) -> None:
    paths = save_many(tmp_path / "in", 2)
    runner = Runner(RunSettings((str(tmp_path / "in"),), tmp_path / "out"), as_model(StandIn()))
    paths[1].unlink()
    os.mkfifo(paths[1])
    results = sorted(runner, key=lambda result: result.path)
    assert statuses(results) == ["done", "failed"]
    assert "Not a regular file" in (results[1].error or "")


def test_one_file_named_by_several_sources_is_done_once(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 3)
    sources = [str(tmp_path / "in"), str(tmp_path / "in" / "001.png"), f"{tmp_path}/in/*.png"]
    results, runner = run_with_report(sources, tmp_path / "out")
    assert statuses(results) == ["done"] * 3
    assert runner.report.repeated == 4


def test_the_output_folder_inside_the_source_is_no_source(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 3)
    for _ in range(2):
        results = run_all(tmp_path / "in", tmp_path / "in" / "masks", overlays=tmp_path / "in" / "pictures")
        assert len(results) == 3


def test_masks_among_their_images_are_refused(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 1)
    with pytest.raises(SourceError, match="lies in the output folder"):
        run_all(tmp_path / "in", tmp_path / "in")


def test_pictures_that_no_ledger_knows_are_not_overwritten(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 1)
    truth = save(tmp_path / "truth" / "000.png")
    before = truth.read_bytes()
    with pytest.raises(OutputError, match=r"holds 000\.png"):
        run_all(tmp_path / "in", tmp_path / "truth")
    assert truth.read_bytes() == before


def test_overlays_are_drawn_also_for_what_is_done_already(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a" / "big.jpg", spot(600, 1500))
    save(tmp_path / "in" / "small.png")
    plain = run_all(tmp_path / "in", tmp_path / "out")
    masks = masks_below(tmp_path / "out")
    again = run_all(tmp_path / "in", tmp_path / "out", overlays=tmp_path / "pictures")
    assert statuses(plain) == ["done"] * 2
    assert statuses(again) == ["skipped"] * 2
    sizes = {}
    for path in (tmp_path / "pictures").rglob("*.jpg"):
        with Image.open(path) as image:
            sizes[path.relative_to(tmp_path / "pictures").as_posix()] = image.size
    assert sizes == {"a/big.jpg": (1024, 410), "small.jpg": (64, 48)}
    assert masks_below(tmp_path / "out") == masks
    run_all(tmp_path / "in", tmp_path / "other", overlays=tmp_path / "pictures2")
    assert masks_below(tmp_path / "other") == masks  # overlays do not change masks


def test_a_limit_is_kept_and_the_next_run_goes_on(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 7)
    assert statuses(run_all(tmp_path / "in", tmp_path / "out", limit=3)) == ["done"] * 3
    second = run_all(tmp_path / "in", tmp_path / "out", limit=3)
    assert statuses(second) == ["skipped"] * 3 + ["done"] * 3
    assert statuses(run_all(tmp_path / "in", tmp_path / "out")) == ["skipped"] * 6 + ["done"]


def test_leaving_the_loop_early_loses_nothing(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 60)
    results = iter(Runner(RunSettings((str(tmp_path / "in"),), tmp_path / "out"), as_model(StandIn())))
    taken = list(islice(results, 5))
    results.close()
    assert len(taken) == 5
    with closing(sqlite3.connect(ledger_path(tmp_path / "out"))) as connection:
        done = {mask for (mask,) in connection.execute("SELECT mask FROM items WHERE status = 'done'")}
        (summary,) = connection.execute("SELECT summary FROM runs").fetchone()
    assert done == set(masks_below(tmp_path / "out"))
    assert '"interrupted": true' in summary
    again = run_all(tmp_path / "in", tmp_path / "out")
    assert statuses(again).count("skipped") == len(done)
    assert len(again) == 60


@pytest.mark.parametrize("what", ["drawn by hand", "edited"])
def test_a_file_of_the_user_outlives_a_run_that_did_not_come_to_its_image(tmp_path: Path, what: str) -> None:
    paths = save_many(tmp_path / "in", 30)
    last = tmp_path / "out" / "029.png"
    if what == "drawn by hand":
        paths[-1].write_bytes(b"no image")
    run_all(tmp_path / "in", tmp_path / "out")
    Image.fromarray(np.full((5, 5), 255, np.uint8)).save(last)
    drawn = last.read_bytes()
    os.utime(last, (10**9, 10**9))
    save_many(tmp_path / "in", 30)
    settings = RunSettings((str(tmp_path / "in"),), tmp_path / "out")
    stopped = iter(Runner(settings, as_model(StandIn("b" * 64))))
    assert next(stopped).status is Status.DONE
    stopped.close()
    runner = Runner(settings, as_model(StandIn("b" * 64)))
    found = {Path(result.path).name: result for result in runner}
    assert found["028.png"].status is Status.DONE
    assert found["029.png"].status is Status.FAILED
    assert last.read_bytes() == drawn


def test_a_run_can_be_asked_to_stop(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 80)
    runner = Runner(RunSettings((str(tmp_path / "in"),), tmp_path / "out"), as_model(StandIn()))
    assert not runner.stop()  # nothing to stop yet
    results = []
    for result in runner:
        results.append(result)
        if len(results) == 3:
            assert runner.stop()
    assert runner.report.interrupted
    assert 3 <= len(results) < 80
    assert {Path(result.mask).name for result in results} == set(masks_below(tmp_path / "out"))
    assert statuses(run_all(tmp_path / "in", tmp_path / "out")).count("skipped") == len(results)


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    save_many(tmp_path / "in" / "sub", 2)
    out = tmp_path / "out"
    run_all(tmp_path / "in", out)
    with closing(sqlite3.connect(ledger_path(out))) as connection:
        connection.execute("UPDATE items SET status = 'pending' WHERE mask = 'sub/001.png'")
        connection.commit()
    leftovers = [out / "sub" / ".001.123-456.tmp.png", out / ".x.1-2.tmp.png"]
    for path in [*leftovers, out / ".mine.png"]:
        path.write_bytes(b"half a PNG")
    assert statuses(run_all(tmp_path / "in", out)) == ["skipped", "done"]
    assert not any(path.exists() for path in leftovers)
    assert (out / ".mine.png").exists()


def test_an_empty_folder_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    results, runner = run_with_report(tmp_path / "in", tmp_path / "out")
    assert results == []
    assert runner.report.sources.without_images == [str(tmp_path / "in")]
    assert not runner.report.is_complete


def test_the_package_offers_the_run(tmp_path: Path) -> None:
    assert {"RunSettings", "Runner", "run", "Result", "Status"} <= set(batch.__all__)
    with pytest.raises(SourceError):
        batch.run(RunSettings((str(tmp_path / "none"),), tmp_path / "out"))
    assert Status("done") is Status.DONE
