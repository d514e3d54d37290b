"""Inspection: every way in which a data set can be unsound, and what training makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from seglab.cli import main
from seglab.data.checking.inspection import Findings, inspect, require_sound
from seglab.data.finding.layouts import find_pairs
from seglab.data.groups import SAME_PICTURE
from seglab.data.splits import Split, make_split
from seglab.errors import DataError
from seglab.synth import write_set


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Synthetic pairs in train/ and val/, sound."""
    write_set(tmp_path / "train", 4, [(72, 96)], seed=1)
    write_set(tmp_path / "val", 3, [(72, 96)], seed=2)
    for path in (tmp_path / "val").rglob("*.*"):
        path.rename(path.with_name(f"v_{path.name}"))
    return tmp_path


def findings_of(root: Path) -> tuple[Split, Findings]:
    split = make_split(find_pairs(root), "official")
    return split, inspect(split)


def first(folder: Path) -> Path:
    return sorted(folder.iterdir())[0]


def test_a_sound_set_has_no_findings(parts: Path) -> None:
    split, findings = findings_of(parts)
    assert findings.sound
    assert not list(findings.lines())
    assert require_sound(split, findings, "refuse") is split


def test_a_truth_of_another_size_is_an_error(parts: Path) -> None:
    Image.new("L", (30, 20)).save(first(parts / "train/masks"))
    split, findings = findings_of(parts)
    assert len(findings.errors) == 1
    assert "the truth is (20, 30), its image (72, 96)" in next(iter(findings.errors.values()))
    with pytest.raises(DataError, match=r"have errors(?s:.*)--inspect report"):
        require_sound(split, findings, "refuse")
    assert len(require_sound(split, findings, "report").training) == 3


@pytest.mark.parametrize("content", [b"", b"text", None], ids=["empty", "text", "truncated"])
def test_a_file_that_cannot_be_read_is_an_error(parts: Path, content: bytes | None) -> None:
    image = first(parts / "train/images")
    image.write_bytes(image.read_bytes()[:500] if content is None else content)
    _, findings = findings_of(parts)
    assert list(findings.errors) == [str(image)]


def test_a_truth_saved_as_jpeg_is_noted_and_used(parts: Path) -> None:
    mask = first(parts / "train/masks")
    before = np.asarray(Image.open(mask))
    Image.fromarray(before).convert("L").save(mask.with_suffix(".jpg"), quality=60)
    mask.unlink()
    split, findings = findings_of(parts)
    assert findings.sound
    assert "neither 0 nor 255 (saved as JPEG, or soft?)" in next(iter(findings.notes.values()))
    read = next(pair for pair in split.training if pair.id == mask.stem).mask()
    assert np.mean((read > 0) != (before > 0)) < 0.01


def test_empty_and_full_truths_are_noted(parts: Path) -> None:
    masks = sorted((parts / "train/masks").iterdir())
    Image.new("L", (96, 72), 0).save(masks[0])
    Image.new("L", (96, 72), 255).save(masks[1])
    _, findings = findings_of(parts)
    assert sorted(findings.notes.values()) == ["the truth fills the image", "the truth is empty"]
    assert findings.sound


def test_a_truth_of_zeros_and_ones_is_no_empty_one(parts: Path) -> None:
    mask = first(parts / "train/masks")
    lesion = np.asarray(Image.open(mask).convert("L")) > 0
    Image.fromarray(lesion.astype(np.uint8)).save(mask)
    split, findings = findings_of(parts)
    assert not list(findings.lines())
    pair = next(pair for pair in split.training if pair.id == mask.stem)
    assert np.array_equal(pair.mask() > 0, lesion)


def test_a_truth_of_classes_is_an_error_that_names_it(parts: Path) -> None:
    mask = first(parts / "train/masks")
    classes = np.arange(72 * 96, dtype=np.uint16).reshape(72, 96) // (72 * 32)
    Image.fromarray(classes.astype(np.uint8)).save(mask)
    _, findings = findings_of(parts)
    assert f"{mask}: Not clear" in next(iter(findings.errors.values()))
    assert "its values are 0, 1, 2;" in next(iter(findings.errors.values()))


@pytest.mark.parametrize("change", ["same", "smaller", "recompressed"])
def test_one_picture_on_two_sides_is_a_leak(parts: Path, change: str) -> None:
    image, mask = first(parts / "train/images"), first(parts / "train/masks")
    photo, truth = Image.open(image).convert("RGB"), Image.open(mask).convert("L")
    if change == "smaller":
        photo, truth = photo.resize((64, 48)), truth.resize((64, 48), Image.Resampling.NEAREST)
    photo.save(parts / "val/images/copy.jpg", quality=50 if change == "recompressed" else 92)
    truth.save(parts / "val/masks/copy.png")
    split, findings = findings_of(parts)
    assert [(leak.kind, leak.second.id) for leak in findings.leaks] == [("picture", "copy")]
    with pytest.raises(DataError, match="are the same picture"):
        require_sound(split, findings, "refuse")
    kept = require_sound(split, findings, "report")
    assert (len(kept.training), len(kept.validation)) == (3, 4)


def test_one_lesion_on_two_sides_is_a_leak(parts: Path) -> None:
    split = make_split(find_pairs(parts), "official")
    both = Split("file", 0, split.training, (*split.validation, split.training[0]))
    assert [leak.kind for leak in inspect(both).leaks] == ["lesion"]


@pytest.mark.slow
def test_training_refuses_and_the_command_reports(parts: Path) -> None:
    Image.new("L", (30, 20)).save(first(parts / "train/masks"))
    result = CliRunner().invoke(main, ["inspect", str(parts), "--json", str(parts / "found.json")])
    assert result.exit_code == 1
    assert "7 pairs of 7 lesions, split official: 4 training, 3 validation, 0 test" in result.output
    assert "1 error, 0 leaks, 0 notes" in result.output
    assert len(json.loads((parts / "found.json").read_text())["errors"]) == 1
    call = ["train", "--data", str(parts), "--out", str(parts / "run"), "--set", "arch=unet-scratch"]
    call += [
        "--set",
        "widths=[4,8]",
        "--set",
        "size=32",
        "--set",
        "epochs=1",
        "--set",
        "workers=0",
        "--set",
        "split=auto",
    ]
    refused = CliRunner().invoke(main, [*call, "--set", "decoder_channels=[]"])
    assert refused.exit_code == 1, refused.output
    assert "have errors" in refused.output
    assert not (parts / "run" / "last.pt").exists()
    trained = CliRunner().invoke(main, [*call, "--inspect", "report"])
    assert trained.exit_code == 0, trained.output
    assert "3 images train, 3 validate" in trained.output


@pytest.mark.real
def test_the_doubles_of_isic_are_found_and_nothing_else(data_dir: Path) -> None:
    doubles = {id for pair in SAME_PICTURE for id in pair}
    pairs = find_pairs(data_dir / "isic2017")
    some = [pair for place, pair in enumerate(pairs) if pair.id in doubles or place % 12 == 0]
    held_out = {max(pair) for pair in SAME_PICTURE}
    training = tuple(pair for pair in some if pair.id not in held_out)
    split = Split("file", 0, training, tuple(pair for pair in some if pair.id in held_out))
    found = {frozenset((leak.first.id, leak.second.id)) for leak in inspect(split).leaks}
    known = {frozenset(pair) for pair in SAME_PICTURE if set(pair) <= {pair.id for pair in some}}
    assert found == known
    assert len(known) > 2
