"""``seglab.segment``: masks, ledgers and refusals from Python are those of ``seg-batch run``."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import assert_type

import numpy as np
import pytest

import batch
import seglab
from batch.errors import OutputError, TooManyFailuresError
from export.errors import ContractError
from tests.support.archive import archived_masks, masks_below, read_grey, save, save_many, seg_batch
from tests.support.from_python import python, rows, write_photos


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


def runs_of(out: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(out / "ledger.sqlite")) as connection:
        return connection.execute("SELECT settings FROM runs").fetchall()


def test_an_archive_is_done_as_by_the_command(photos: Path, tmp_path: Path, model_file: Path) -> None:
    seg_batch("run", photos, "--out", tmp_path / "a", "--model", model_file, "--device", "cpu")
    run = seglab.segment(photos, out=tmp_path / "b", model=model_file, device="cpu")
    assert_type(run, batch.SegmentRun)
    assert (run.done, run.failed, run.unchanged) == (5, 1, 0)
    assert masks_below(tmp_path / "a") == masks_below(tmp_path / "b") != {}
    assert rows(tmp_path / "a") == rows(tmp_path / "b")
    assert run.out == str(tmp_path / "b")
    assert run.ledger == tmp_path / "b"
    assert not run.is_complete
    kept = [
        json.loads(text) | {"out": "", "ledger": ""} for (text,) in (*runs_of(tmp_path / "a"), *runs_of(tmp_path / "b"))
    ]
    assert kept[0] == kept[1]


def test_a_second_call_goes_on(photos: Path, tmp_path: Path, model_file: Path) -> None:
    seglab.segment(photos, out=tmp_path / "m", model=model_file, device="cpu")
    save(photos / "new.png")
    run = seglab.segment([photos], tmp_path / "m", model=str(model_file), device="cpu")
    assert (run.done, run.failed, run.unchanged) == (1, 1, 5)
    assert "done=1, failed=1, unchanged=5" in repr(run)
    assert "6 done, 1 failed" in seg_batch("status", tmp_path / "m").stdout


def test_the_run_knows_what_to_look_at(
    photos: Path, tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = seglab.segment("photos", out="m", model=model_file, device="cpu")
    monkeypatch.chdir("/")  # as notebooks do
    ((path, reason),) = rows(tmp_path / "m", "path, error", "WHERE status = 'failed'")
    assert run.failures == [batch.Failure(path, reason)]
    found = "WHERE status = 'done' AND lesion_area > 0 ORDER BY confidence"
    assert [(image.path, image.confidence) for image in run.least_certain(3)] == rows(
        tmp_path / "m", "path, confidence", f"{found} LIMIT 3"
    )
    assert [Path(image.path).name for image in run.without_lesion] == ["skin.png"]
    assert run.unlike_dermoscopy == []  # the model does not say
    assert len(run.images) == 5
    for image in run.images:
        mask = read_grey(Path(image.mask))
        assert (image.height, image.width, image.area) == (*mask.shape, np.count_nonzero(mask))
        assert image.box is None or mask[image.box[1] : image.box[3], image.box[0] : image.box[2]].sum() == mask.sum()


def test_images_unlike_dermoscopy_are_named(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "page.png", np.tile(np.array([[[0], [255]], [[255], [0]]], np.uint8), (60, 40, 3)))
    run = seglab.segment(tmp_path / "photos", out=tmp_path / "m", device="cpu", compute="fp32")
    (found,) = run.unlike_dermoscopy
    assert [(found.path, found.suitable)] == rows(tmp_path / "m", "path, suitable", "WHERE suitable < 0.5")


def test_what_was_not_read_is_named_as_by_the_command(photos: Path, tmp_path: Path, model_file: Path) -> None:
    shutil.make_archive(str(photos / "more"), "zip", photos)
    run = seglab.segment(photos, out=tmp_path / "masks", model=model_file)
    assert not run.is_complete
    (line,) = run.not_read
    assert line.startswith("not opened: ")
    assert "more.zip" in line


def test_a_name_that_no_system_takes_costs_itself_only(tmp_path: Path, model_file: Path) -> None:
    model = seglab.load(model_file)
    long = "x" * 300
    (good,) = save_many(tmp_path / "photos", 1)
    results = model([good, long, good])
    assert [bool(result.error) for result in results] == [False, True, False]
    with pytest.raises(ContractError, match=r"cannot be read .File name too long.; expected a model file"):
        seglab.load(long)


def test_masks_go_into_an_archive(photos: Path, tmp_path: Path, model_file: Path) -> None:
    run = seglab.segment(photos, out=tmp_path / "m.zip", model=model_file, device="cpu")
    assert len(archived_masks(tmp_path / "m.zip")) == run.done == 5
    assert run.ledger == tmp_path / "m.zip.ledger"
    assert all(image.mask.startswith(str(tmp_path / "m.zip")) for image in run.images)


def test_options_have_the_names_and_effects_of_the_command(photos: Path, tmp_path: Path, model_file: Path) -> None:
    asked = ("overlays", "probs")
    line = ["--mask-bits", "1", "--postprocess", "largest,fill", "--sample", "3", "--seed", "2"]
    places = [word for name in asked for word in (f"--{name}", tmp_path / f"a-{name}")]
    seg_batch("run", photos, "--out", tmp_path / "a", "--model", model_file, "--device", "cpu", *line, *places)
    seglab.segment(
        photos, tmp_path / "b", model=model_file, device="cpu", mask_bits=1, overlays=tmp_path / "b-overlays",
        probs=str(tmp_path / "b-probs"), postprocess="largest,fill", sample=3, seed=2,
    )  # fmt: skip
    assert masks_below(tmp_path / "a") == masks_below(tmp_path / "b") != {}
    for name in asked:
        made = [{path.name: path.read_bytes() for path in (tmp_path / f"{out}-{name}").rglob("*.*g")} for out in "ab"]
        assert made[0] == made[1] != {}


def test_progress_is_told_of_each_image(photos: Path, tmp_path: Path, model_file: Path) -> None:
    told: list[batch.Result] = []
    run = seglab.segment(photos, tmp_path / "m", model=model_file, device="cpu", progress=told.append)
    assert sorted(result.path for result in told) == sorted(map(str, photos.iterdir()))
    assert sum(result.status is batch.Status.DONE for result in told) == run.done


def test_a_run_that_the_program_ends_goes_on(tmp_path: Path, model_file: Path) -> None:
    save_many(tmp_path / "photos", 40)

    def fail(result: batch.Result) -> None:
        raise ZeroDivisionError(result.path)

    with pytest.raises(ZeroDivisionError):
        seglab.segment(
            tmp_path / "photos", tmp_path / "m", model=model_file, device="cpu", batch=2, processes=1, progress=fail
        )
    done = len(rows(tmp_path / "m", rest="WHERE status = 'done'"))
    assert 1 <= done == len(masks_below(tmp_path / "m")) < 40
    run = seglab.segment(tmp_path / "photos", tmp_path / "m", model=model_file, device="cpu")
    assert (run.done, run.unchanged) == (40 - done, done)


def test_ctrl_c_finishes_what_was_begun(tmp_path: Path, model_file: Path) -> None:
    save_many(tmp_path / "photos", 40)
    script = (
        "import seglab, signal, sys\n"
        "told = []\n"
        "def interrupt(result):\n"
        "    told.append(result.mask)\n"
        "    if len(told) == 1: signal.raise_signal(signal.SIGINT)\n"
        "photos, out, model = sys.argv[1:]\n"
        "try: seglab.segment(photos, out, model=model, device='cpu', batch=2, processes=1, progress=interrupt)\n"
        "except KeyboardInterrupt: print(*told)\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    )
    ended = python(script, tmp_path / "photos", tmp_path / "m", model_file)
    assert ended.stderr == ""
    masks = {str(tmp_path / "m" / name) for name in masks_below(tmp_path / "m")}
    assert set(ended.stdout.split()) == masks
    assert 1 <= len(masks) == len(rows(tmp_path / "m", rest="WHERE status = 'done'")) < 40


def test_nothing_is_printed(photos: Path, tmp_path: Path, model_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seglab.segment(photos, tmp_path / "m", model=model_file, device="cpu")
    assert capfd.readouterr() == ("", "")


def test_a_thread_may_run_it(photos: Path, tmp_path: Path, model_file: Path) -> None:
    runs: list[batch.SegmentRun] = []
    thread = threading.Thread(
        target=lambda: runs.append(seglab.segment(photos, tmp_path / "m", model=model_file, device="cpu"))
    )
    thread.start()
    thread.join()
    assert runs[0].done == 5
    assert len(runs[0].failures) == 1


def test_a_script_needs_no_main_guard(photos: Path, tmp_path: Path, model_file: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import seglab, sys\n"
        "photos, out, model = sys.argv[1:]\n"
        "open(out + '.begun', 'a').write('once ')\n"
        "print(seglab.segment(photos, out=out, model=model, device='cpu', processes=2).done)\n"
    )
    line: list[str | Path] = [sys.executable, tmp_path / "script.py", photos, tmp_path / "m", model_file]
    ended = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("5\n", "")
    assert (tmp_path / "m.begun").read_text() == "once "


def test_too_many_failures_are_an_error_and_on_record(photos: Path, tmp_path: Path, model_file: Path) -> None:
    with pytest.raises(TooManyFailuresError, match=r"1 of \d images failed; expected at most 0"):
        seglab.segment(photos, tmp_path / "m", model=model_file, device="cpu", max_failures=0)
    assert len(rows(tmp_path / "m", rest="WHERE status = 'failed'")) == 1


def test_refusals_are_those_of_the_command(photos: Path, tmp_path: Path) -> None:
    save(tmp_path / "m" / "mine.png")
    with pytest.raises(OutputError) as caught:
        seglab.segment(photos, tmp_path / "m")
    assert seg_batch("run", photos, "--out", tmp_path / "m").stderr.splitlines()[-1] == f"Error: {caught.value}"
