"""Pages with runs, scores and comparisons: what they show in a browser, and whose files they replace."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from batch.cli import main
from tests.support.archive import read_grey, save, save_many, seg_batch
from tests.support.artefact import colour_model
from tests.support.browser import SCHEMES, SIZES, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MARK = b'<meta name="generator" content="seg-batch run report'
PAGE = "report.html"
NOT_WRITTEN = "warning: the report was not written: "

ROOT = Path(__file__).resolve().parents[2]


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def run(tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs over ``photos`` into ``masks``; the working folder is the test's own."""
    save_many(tmp_path / "photos", 5)
    monkeypatch.chdir(tmp_path)

    def call(*options: str | Path, sources: tuple[str | Path, ...] = ("photos",), out: str = "masks") -> Result:
        return invoke("run", *sources, "--out", out, "--model", model_file, "--device", "cpu", *options)

    return call


def test_a_run_writes_its_page(run: Callable[..., Result]) -> None:
    Path("photos/broken.jpg").write_bytes(b"no image")
    done = run()
    assert done.exit_code == 3
    assert re.search(r"^Report +masks/report.html   open it in a browser$", done.stderr, re.MULTILINE)
    text = Path("masks", PAGE).read_text(encoding="utf-8")
    for expected in (
        MARK.decode(), "Masks in masks", "<b>6</b> images", "<b>1</b> failed", "broken.jpg", "Not a medical device",
        "tiny.onnx", "No parity figures are recorded", "versions", "onnxruntime", "All masks", "data:image/jpeg;base64",
    ):  # fmt: skip
        assert expected in text
    assert "<script" not in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_the_page_says_what_the_contract_said_when_the_model_is_gone(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    mine = Path(shutil.copy(ROOT / "export" / "models" / "lesion.onnx", tmp_path / "mine.onnx"))
    assert run("--model", mine, "--no-report").exit_code == 0
    mine.unlink()
    assert invoke("report", "masks").exit_code == 0
    text = Path("masks", PAGE).read_text(encoding="utf-8")
    for expected in ("mine.onnx", "<dt>threshold</dt><dd>0.5</dd>", "parity with the original", "whole images"):
        assert expected in text


def test_a_run_without_work_keeps_the_page(run: Callable[..., Result]) -> None:
    run("--no-pictures")
    before = Path("masks", PAGE).read_bytes()
    assert b"data:image" not in before
    assert b"Pictures were left out" in before
    assert "Nothing to do" in run().stderr
    assert Path("masks", PAGE).read_bytes() == before
    Path("masks", PAGE).unlink()
    run()
    assert b"data:image" in Path("masks", PAGE).read_bytes()
    save(Path("photos/new.png"))
    run()
    assert b"<b>6</b> images" in Path("masks", PAGE).read_bytes()


@pytest.mark.parametrize("options", [["--no-report"], ["--dry-run"], ["--max-failures", "1"]])
def test_no_page(run: Callable[..., Result], options: list[str]) -> None:
    for name in "ab":
        Path(f"photos/{name}.jpg").write_bytes(b"no image")
    done = run(*options)
    assert done.exit_code == {"--no-report": 3, "--dry-run": 0, "--max-failures": 1}[options[0]]
    assert not Path("masks", PAGE).exists()
    assert "report" not in done.stderr


@pytest.mark.slow
def test_json_lines_stay_valid(tmp_path: Path, model_file: Path) -> None:
    save_many(tmp_path / "photos", 3)
    command = ("run", tmp_path / "photos", "--out", tmp_path / "m", "--model", model_file, "--device", "cpu", "--json")
    done = seg_batch(*command)
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()][-1] == "end"
    assert MARK in (tmp_path / "m" / PAGE).read_bytes()
    (tmp_path / "m" / PAGE).write_text("mine")
    save(tmp_path / "photos" / "new.png")
    done = seg_batch(*command)
    assert (done.returncode, done.stderr.startswith(NOT_WRITTEN)) == (0, True)
    assert [json.loads(line)["event"] for line in done.stdout.splitlines()][-1] == "end"


@pytest.mark.parametrize("what", ["a file", "a folder"])
def test_a_file_of_somebody_else_is_kept(run: Callable[..., Result], what: str) -> None:
    page = Path("masks", PAGE)
    if what == "a file":
        page.parent.mkdir()
        page.write_text("<html>my own notes</html>")
    else:
        page.mkdir(parents=True)
    done = run()
    assert done.exit_code == 0
    assert [line for line in done.stderr.splitlines() if NOT_WRITTEN in line] == [
        f"{NOT_WRITTEN}masks/report.html exists and is not a run report of seg-batch; expected a new file, or one that "
        "may be replaced. Choose another name, or move the file away."
    ]
    assert page.is_dir() or page.read_text() == "<html>my own notes</html>"
    done = invoke("report", "masks")
    assert (done.exit_code, "is not a run report" in done.stderr) == (1, True)
    assert invoke("report", "masks", "--to", "other.html").exit_code == 0
    assert invoke("verify", "masks").exit_code == 0
    assert invoke("forget", "masks", "photos/000.png").exit_code == 0
    assert page.exists()


def test_a_page_that_cannot_be_written_changes_no_run(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("batch.reporting.pages.page_file.write_bytes", full)
    done = run()
    assert done.exit_code == 0
    assert f"{NOT_WRITTEN}masks/report.html cannot be written: No space left on device. " in done.stderr
    assert "5 masks, 0 failed" in done.stderr

    def broken(*_: object, **__: object) -> None:
        raise ValueError("a fault of this tool")

    monkeypatch.setattr("batch.reporting.pages.run_page.run_page", broken)
    done = run()
    assert done.exit_code == 0
    assert f"{NOT_WRITTEN}ValueError: a fault of this tool. Run `seg-batch report` to try again." in done.stderr


def test_a_report_of_an_output_without_its_photographs(run: Callable[..., Result]) -> None:
    run("--no-report")
    shutil.rmtree("photos")
    assert invoke("report", "masks").exit_code == 0
    text = Path("masks", PAGE).read_text(encoding="utf-8")
    assert "None of the 5 can be shown: " in text
    assert "data:image" not in text


def test_forgotten_images_leave_no_page(run: Callable[..., Result]) -> None:
    run()
    done = invoke("forget", "masks", "photos/001.png")
    assert done.exit_code == 0
    assert "report.html may have shown them and is removed" in done.stdout
    assert not Path("masks", PAGE).exists()
    assert invoke("report", "masks").exit_code == 0
    assert "001.png" not in Path("masks", PAGE).read_text(encoding="utf-8")
    assert invoke("forget", "masks", "photos/nothing.png").exit_code == 1
    assert Path("masks", PAGE).exists()
    assert invoke("forget", "masks", "photos/002.png", "--purge").exit_code == 0
    assert not Path("masks", PAGE).exists()


def test_an_output_with_a_page_is_an_output_like_before(run: Callable[..., Result]) -> None:
    run(out="photos/masks")
    assert Path("photos/masks", PAGE).exists()
    before = sorted(path.name for path in Path("photos/masks").iterdir())
    assert invoke("verify", "photos/masks").exit_code == 0
    assert "5 masks unchanged" in run(out="photos/masks").stderr
    done = run(out="elsewhere")
    assert "5 masks, 0 failed" in done.stderr
    assert "other file" not in done.stderr
    assert sorted(path.name for path in Path("photos/masks").iterdir()) == before


@pytest.mark.parametrize("out", ["masks.zip", "masks.tar"])
def test_the_page_of_an_archive(run: Callable[..., Result], out: str) -> None:
    done = run(out=out)
    assert f"{out}.ledger/report.html" in done.stderr
    page = Path(f"{out}.ledger", PAGE)
    assert page.read_bytes().count(b"data:image/jpeg") >= 5
    page.unlink()
    assert invoke("report", out).exit_code == 0
    assert page.read_bytes().count(b"data:image/jpeg") >= 5
    assert "5 masks unchanged" in run(out=out).stderr


def test_masks_and_photographs_at_urls(run: Callable[..., Result], s3: Any) -> None:
    for path in Path("photos").iterdir():
        s3.put(str(path), f"photos/set/{path.name}")
    done = run("--ledger", "state", sources=("s3://photos/set",), out="s3://masks/set")
    assert done.exit_code == 0, done.stderr
    assert Path("state", PAGE).read_bytes().count(b"data:image/jpeg") >= 5
    assert "report.html" not in " ".join(s3.find("masks"))


def test_label_maps_have_a_colour_for_each_class(run: Callable[..., Result], tmp_path: Path) -> None:
    model = colour_model(tmp_path / "colours.onnx", ("skin", "brown", "blue"))
    assert run("--model", model, "--compute", "fp32").exit_code == 0
    text = Path("masks", PAGE).read_text(encoding="utf-8")
    assert "Outlines by class: brown cyan, blue amber." in text
    assert "0 skin, 1 brown, 2 blue" in text
    assert text.count("data:image/jpeg") >= 5


def test_names_are_texts(run: Callable[..., Result], browser: Browser, tmp_path: Path) -> None:
    hostile = [b"<script>alert(1)<", b"a\nb", b"\xff\xfe", b'"><img src=x onerror=alert(1)>', "‮gpj".encode()]
    for number, name in enumerate(hostile):
        source = Path(f"photos/{number:03}.png")
        os.rename(os.fsencode(source), b"photos/" + name + b".png")
    Path("photos/<b>broken.jpg").write_bytes(b"no image")
    assert run().exit_code == 3
    watched = opened(browser, (tmp_path / "masks" / PAGE).as_uri())
    captions = watched.page.locator("figcaption").all_inner_texts()
    for shown in ("<script>alert(1)<.png", "a\\nb.png", "\\xff\\xfe.png", '"><img src=x onerror=alert(1)>.png'):
        assert shown in captions
    assert watched.page.locator("script").count() == 0
    assert watched.page.locator("img[src=x]").count() == 0
    assert watched.page.get_by_text("<b>broken.jpg").count() > 0
    watched.require_clean()
    watched.page.context.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> dict[str, Path]:
    """A page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    save_many(folder / "photos", 14)
    for number in range(3):
        (folder / "photos" / f"broken{number}.jpg").write_bytes(b"no image")
    for out, options in (("a", ()), ("b", ("--postprocess", "largest"))):
        command = ("run", folder / "photos", "--out", folder / out, "--model", model_file, "--device", "cpu", *options)
        assert invoke(*command).exit_code == 3
    truth = folder / "truth"
    truth.mkdir()
    for mask in (folder / "a").glob("*.png"):
        pixels = read_grey(mask)
        cv2.imwrite(str(truth / mask.name), np.roll(pixels, 5, axis=1))
        cv2.imwrite(str(folder / "b" / mask.name), np.roll(pixels, 3, axis=0))
    with closing(sqlite3.connect(folder / "b" / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE items SET sha256 = NULL, lesion_area = 1 WHERE status = 'done'")
    assert invoke("score", folder / "a", truth, "--report", folder / "score.html").exit_code == 3
    invoke("compare", folder / "a", folder / "b", "--report", folder / "compare.html")
    return {"run": folder / "a" / PAGE, "score": folder / "score.html", "compare": folder / "compare.html"}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
@pytest.mark.parametrize("kind", ["run", "score", "compare"])
def test_everybody_can_read_it(
    browser: Browser, pages: dict[str, Path], kind: str, size: tuple[int, int], scheme: str
) -> None:
    watched = opened(browser, pages[kind].as_uri(), size, scheme)
    assert watched.violations() == []
    assert not watched.is_wider_than_the_window()
    watched.require_clean()
    shown = watched.page.locator("img").evaluate_all("images => images.map(image => image.naturalWidth)")
    assert all(shown)
    watched.page.context.close()


def test_the_page_of_scores(pages: dict[str, Path]) -> None:
    text = pages["score"].read_text(encoding="utf-8")
    masks = pages["run"].parent
    report = json.loads(invoke("score", masks, masks.parent / "truth", "--json", "-").stdout)
    assert f"<b>{report['summary']['dice']:.4f}</b> mean Dice" in text
    assert f"<dt>pooled IoU</dt><dd>{report['summary']['pooled_iou']:.4f}</dd>" in text
    assert "images" not in report
    for expected in ("Agreement by size of the lesion", "Lowest Dice", "At random", "Cyan: the mask; amber: the"):
        assert expected in text
    assert text.count("data:image/jpeg") == 24
    assert "images that failed in the run" in text


def test_a_page_of_scores_without_photographs(pages: dict[str, Path], tmp_path: Path) -> None:
    truth, page = pages["run"].parent.parent / "truth", tmp_path / "page.html"
    assert invoke("score", truth, truth, "--report", page).exit_code == 0
    assert page.read_bytes().count(b"data:image/jpeg") == 24


@pytest.mark.parametrize("command", ["score", "compare"])
def test_a_file_of_somebody_else_is_refused_before_the_work(
    pages: dict[str, Path], tmp_path: Path, command: str
) -> None:
    folder, page = pages["run"].parent.parent, tmp_path / "page.html"
    page.write_text("mine")
    done = invoke(command, "nothing", folder / "truth", "--report", page)
    assert (done.exit_code, "exists and is not a" in done.stderr) == (1, True)
    assert page.read_text() == "mine"
    done = invoke(command, "nothing", folder / "truth", "--report", tmp_path / "page.txt")
    assert (done.exit_code, "expected a name that ends in .html, .htm" in done.stderr) == (2, True)


def test_the_page_of_a_comparison(run: Callable[..., Result]) -> None:
    for number in range(3):
        image = np.full((64, 96, 3), 230, np.uint8)
        image[20:44, 20:44] = image[4:10, 60 + 6 * number : 72 + 6 * number] = 40
        save(Path(f"photos/two{number}.png"), image)
    run()
    run("--postprocess", "largest", out="largest")
    done = invoke("compare", "masks", "largest", "--worst", "1", "--report", "page.html", "--json")
    assert done.exit_code == 0
    report = json.loads(done.stdout)
    text = Path("page.html").read_text(encoding="utf-8")
    assert len(report["worst"]) == 1
    assert f"<b>{report['dice']['mean']:.4f}</b> mean Dice" in text
    changed = report["compared"] - report["identical"]
    assert changed >= 1
    assert text.count("data:image/jpeg") == changed
    assert "Cyan: A; amber: B." in text
    assert "<figcaption>two0.png</figcaption>" in text
