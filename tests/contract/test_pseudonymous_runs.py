"""``seg-batch run --pseudonymise``: no name of a photograph is in what a run writes, but in its ledger."""

from __future__ import annotations

import csv
import json
import os
import re
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from batch.cli import main
from tests.support.archive import masks_below, read_grey, save, spot
from tests.support.exports import export

NAMES = (
    "Dorothea, Janette/summer.jpg",
    "Dorothea, Janette/winter.jpg",
    "Rosalind, Richarda/Mole77.jpg",
    "Smithson/Mole77.jpg",
    "Smithson/Mole77.png",
)
WORDS = (b"Dorothea", b"Janette", b"Rosalind", b"Richarda", b"Smithson", b"summer", b"Mole77", b"Zephyrine")
"""Long enough not to be in a picture or a digest by chance."""
PSEUDONYM = re.compile(r"[0-9a-f]{16}")


def invoke(*arguments: str | Path, code: int = 0) -> Result:
    ended = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert ended.exit_code == code, ended.output
    return ended


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        save(tmp_path / "clinic" / name, spot(40 + number, 60))
    (tmp_path / "clinic" / "Zephyrine" / "a.jpg").parent.mkdir()
    (tmp_path / "clinic" / "Zephyrine" / "a.jpg").write_bytes(b"no image")
    (tmp_path / "clinic" / "Zephyrine" / "empty.jpg").touch()
    return tmp_path / "clinic"


@pytest.fixture
def run(photos: Path, tmp_path: Path, model_file: Path) -> Callable[..., Result]:
    """Runs over the photographs; the ledger lies apart."""

    def call(*options: str | Path, code: int = 3, out: str = "masks") -> Result:
        places = ("--out", tmp_path / out, "--ledger", tmp_path / f"{out}-ledger")
        return invoke("run", photos, *places, "--model", model_file, "--device", "cpu", *options, code=code)

    return call


def everything(*places: Path) -> bytes:
    """Return the names and contents of files, and of all below folders."""
    files = [path for place in places for path in ([place] if place.is_file() else place.rglob("*"))]
    return b"\n".join(
        [os.fsencode(path.name) for path in files] + [path.read_bytes() for path in files if path.is_file()]
    )


def test_nothing_that_a_run_writes_names_a_photograph(run: Callable[..., Result], tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    table, contours = made / "t.csv", made / "c.json"
    pictures = ("--overlays", made / "overlays", "--probs", made / "probs")
    run("--pseudonymise", "--table", table, "--contours", contours, *pictures)
    out, ledger = tmp_path / "masks", tmp_path / "masks-ledger"
    masks = masks_below(out)
    assert len(masks) == 5
    assert all(PSEUDONYM.fullmatch(name.removesuffix(".png")) for name in masks)
    found = everything(out, made, ledger / "report.html")
    for word in (*WORDS, b"clinic", os.fsencode(tmp_path)):
        assert word not in found, word
    assert {path.stem for path in (made / "overlays").glob("*.jpg")} == {Path(name).stem for name in masks}
    assert {path.stem for path in (made / "probs").glob("*.png")} == {Path(name).stem for name in masks}


def test_table_and_contours_are_sorted_by_pseudonyms_and_hold_no_time(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    table, contours = tmp_path / "t.csv", tmp_path / "c.json"
    run("--pseudonymise", "--table", table, "--contours", contours)
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [row["path"] for row in rows]
    assert names == sorted(names)
    assert len(set(names)) == 7
    assert all(PSEUDONYM.fullmatch(name) for name in names)
    assert {row["mask"] for row in rows} - {""} == set(masks_below(tmp_path / "masks"))
    assert {row["error"] for row in rows} == {"", "not an image: text", "empty file"}
    assert not any(row[column] for row in rows for column in ("source", "bytes", "changed_at", "finished_at"))
    images = json.loads(contours.read_text())["images"]
    assert [image["file_name"] for image in images] == sorted(f"{row['path']}.jpg" for row in rows if row["mask"])
    assert [image["id"] for image in images] == [1, 2, 3, 4, 5]


def test_only_the_ledger_tells_which_is_which(run: Callable[..., Result], photos: Path, tmp_path: Path) -> None:
    run("--pseudonymise")
    key = tmp_path / "masks-ledger" / "pseudonyms.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    invoke("table", tmp_path / "masks-ledger", tmp_path / "t.csv", "--with-names")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert set(rows) == {str(path) for path in photos.rglob("*") if path.is_file()}
    for number, name in enumerate(NAMES):
        mask = read_grey(tmp_path / "masks" / rows[str(photos / name)]["mask"])
        assert mask.shape == (40 + number, 60)
    assert str(photos / "Zephyrine" / "a.jpg") in invoke("status", tmp_path / "masks-ledger").output


@pytest.mark.slow
def test_a_second_run_keeps_the_pseudonyms_and_cannot_mix_names(
    run: Callable[..., Result], photos: Path, tmp_path: Path
) -> None:
    run("--pseudonymise")
    before = masks_below(tmp_path / "masks")
    save(photos / "new.jpg", spot(50, 60))
    run("--pseudonymise")
    after = masks_below(tmp_path / "masks")
    assert len(after) == 6
    assert {name: after[name] for name in before} == before
    refused = " ".join(run(code=1).stderr.split())
    assert "are named by pseudonyms, and this run asks for '{stem}.png'" in refused
    assert "Use --pseudonymise again" in refused
    run(out="plain")
    refused = " ".join(run("--pseudonymise", out="plain", code=1).stderr.split())
    assert "are named by '{stem}.png', and this run asks for pseudonyms" in refused
    assert not (tmp_path / "plain-ledger" / "report.html").read_text(encoding="utf-8").count("Masks under pseudonyms")


def test_a_template_and_pseudonyms_exclude_each_other(run: Callable[..., Result]) -> None:
    ended = run("--pseudonymise", "--name", "{stem}_mask.png", code=2)
    assert "expected one of them, since pseudonyms are whole names" in " ".join(ended.stderr.split())


def test_another_output_has_other_names(run: Callable[..., Result], tmp_path: Path) -> None:
    run("--pseudonymise")
    run("--pseudonymise", out="other")
    assert not set(masks_below(tmp_path / "masks")) & set(masks_below(tmp_path / "other"))


def test_into_an_archive(run: Callable[..., Result], tmp_path: Path) -> None:
    run("--pseudonymise", out="masks.zip")
    with zipfile.ZipFile(tmp_path / "masks.zip") as archive:
        names = archive.namelist()
    assert len(names) == 5
    assert all(PSEUDONYM.fullmatch(name.removesuffix(".png")) for name in names)
    assert not any(word in (tmp_path / "masks.zip").read_bytes() for word in WORDS)


def test_an_export_keeps_the_pseudonyms(run: Callable[..., Result], tmp_path: Path) -> None:
    run("--pseudonymise")
    state, to = tmp_path / "masks-ledger", tmp_path / "to"
    export(state, "--format", "png", "--with-images", "--to", to, "--names", tmp_path / "n.csv")
    ours = masks_below(tmp_path / "masks")
    assert set(masks_below(to / "SegmentationClass")) == set(ours)
    for name in ours:
        np.testing.assert_array_equal(read_grey(to / "SegmentationClass" / name), read_grey(tmp_path / "masks" / name))
    found = everything(to)
    assert not any(word in found for word in WORDS)
    assert len({path.stat().st_mtime_ns for path in (to / "SegmentationClass").glob("*.png")}) == 1
    with (tmp_path / "n.csv").open(newline="", encoding="utf-8") as file:
        assert {row["mask"] for row in csv.DictReader(file)} == set(ours)
    refused = export(state, "--format", "dicom", "--to", tmp_path / "seg", code=2)
    assert "would undo the pseudonyms" in refused.stderr


def test_a_photograph_that_is_gone_is_not_named_by_the_page(
    run: Callable[..., Result], photos: Path, tmp_path: Path
) -> None:
    run("--pseudonymise")
    (photos / NAMES[0]).unlink()
    invoke("report", tmp_path / "masks-ledger", "--to", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "The photograph or the mask cannot be shown." in text
    assert not any(word.decode() in text for word in WORDS)


def test_a_comparison_names_nothing(run: Callable[..., Result], photos: Path, tmp_path: Path) -> None:
    run("--pseudonymise")
    run("--postprocess", "largest", out="plain")
    (photos / NAMES[0]).unlink()
    for one, other in (("masks", "plain"), ("plain", "masks")):
        page = tmp_path / f"{one}.html"
        places = [tmp_path / f"{name}-ledger" for name in (one, other)]
        ended = CliRunner().invoke(main, ["compare", *map(str, places), "--report", str(page)])
        assert ended.exit_code in (0, 3), ended.output
        text = page.read_text(encoding="utf-8")
        assert not any(word in text.encode() for word in (*WORDS, b"clinic", os.fsencode(tmp_path))), one


def test_a_lost_key_is_said(run: Callable[..., Result], tmp_path: Path) -> None:
    run("--pseudonymise")
    before = masks_below(tmp_path / "masks")
    (tmp_path / "masks-ledger" / "pseudonyms.key").unlink()
    assert "pseudonyms.key is gone" in " ".join(run("--pseudonymise").stderr.split())
    assert masks_below(tmp_path / "masks") == before


def test_a_mask_that_was_corrected_under_its_pseudonym_comes_back(
    run: Callable[..., Result], photos: Path, tmp_path: Path
) -> None:
    run("--pseudonymise")
    name, corrected = sorted(masks_below(tmp_path / "masks"))[0], tmp_path / "corrected"
    corrected.mkdir()
    mask = read_grey(tmp_path / "masks" / name)
    save(corrected / name, np.where(mask > 0, np.uint8(0), np.uint8(255)))
    ended = invoke("review", tmp_path / "masks-ledger", "--import", corrected, "--to", tmp_path / "set")
    assert "1 corrected mask and 0 accepted masks taken" in ended.output
