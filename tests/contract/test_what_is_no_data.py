"""What lies in a data set's folder and is none of its images: own outputs, masks; and tables with odd beginnings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from seglab.cli import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    words = ["synth", "--out", str(tmp_path / "data"), "--count", "12", "--size", "96x72", "--seed", "11"]
    assert CliRunner().invoke(main, words).exit_code == 0
    return tmp_path / "data"


def inspected(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["inspect", *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("mark", [".seg-batch", "ledger.sqlite", "folds.json"])
def test_masks_that_a_run_wrote_are_neither_images_nor_truths(data: Path, mark: str) -> None:
    made = data / "out" / "deeper"
    made.mkdir(parents=True)
    for mask in sorted((data / "masks").iterdir()):
        Image.new("L", (96, 72), 0).save(made / mask.name)
    (data / "out" / mark).write_text("{}")
    code, output = inspected(str(data))
    assert code == 0, output
    assert "data: used 12 of 12 images" in output
    assert "1 left out: written by seglab or seg-batch" in output


def test_masks_that_a_run_wrote_can_be_named(data: Path) -> None:
    (data / "masks" / ".seg-batch").write_text("x")
    code, output = inspected(str(data))
    assert code == 1
    assert "written by seglab or seg-batch, so not used as data unless named by --images or --masks: masks" in output
    code, output = inspected("--images", str(data / "images"), "--masks", str(data / "masks"))
    assert code == 0, output
    assert "used 12 of 12 images" in output


def test_masks_among_the_photographs_are_errors(data: Path) -> None:
    for image in sorted((data / "images").iterdir())[:2]:
        mask = Image.open(data / "masks" / f"{image.stem}.png").convert("RGB")
        mask.save(image, quality=90)
    code, output = inspected(str(data))
    assert code == 1
    assert output.count("the image is black and white, like a mask; expected a photograph") >= 2
    assert "2 of 12 pairs cannot be used" in output


@pytest.mark.parametrize(
    "head", ["", "\n\n", "# exported by hand\n", ",,\n\n# x\n"], ids=["plain", "empty", "comment", "both"]
)
def test_a_table_of_lesions_may_begin_with_other_lines(data: Path, head: str) -> None:
    ids = sorted(image.stem for image in (data / "images").iterdir())
    rows = "".join(f"{id},L{place // 2}\n" for place, id in enumerate(ids))
    (data / "metadata.csv").write_text(f"{head}image,lesion_id\n{rows}")
    code, output = inspected(str(data))
    assert code == 0, output
    assert "12 pairs of 6 lesions" in output


def test_not_a_number_is_no_lesion(data: Path) -> None:
    ids = sorted(image.stem for image in (data / "images").iterdir())
    rows = "".join(f"{id},{'NaN' if place % 2 else f'L{place}'}\n" for place, id in enumerate(ids))
    (data / "metadata.csv").write_text(f"image,lesion_id\n{rows}")
    _, output = inspected(str(data))
    assert "12 pairs of 12 lesions" in output


def test_a_table_of_pairs_in_the_folder_says_what_its_pairs_are(data: Path, tmp_path: Path) -> None:
    images = sorted((data / "images").iterdir())
    lines = [
        f"images/{image.name},masks/{image.stem}.png,L{place // 2},{'val' if place < 4 else 'train'}"
        for place, image in enumerate(images[:-1])
    ]
    (data / "pairs.csv").write_text("\n".join(["image,mask,lesion,split", *lines]) + "\n")
    for named in (data, data / "pairs.csv"):
        found = tmp_path / "found.json"
        found.unlink(missing_ok=True)
        code, output = inspected(str(named), "--json", str(found))
        assert code == 0, output
        report = json.loads(found.read_text())
        assert (report["pairs"], report["lesions"]) == ({"training": 7, "validation": 4, "test": 0}, 6)
        assert ("2 left out: not named in pairs.csv" in output) == (named == data)
