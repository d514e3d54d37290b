"""Data that would train a lie, through the commands: refused or read right, never passed over."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from seglab.cli import main

Mask = NDArray[np.uint8]
HEIGHT, WIDTH = 36, 48
TINY = [
    "--device", "cpu", "--set", "arch=unet-scratch", "--set", "decoder_channels=[]", "--set", "widths=[4,8]",
    "--set", "size=32", "--set", "epochs=1", "--set", "batch=4", "--set", "workers=0", "--set", "precision=fp32",
]  # fmt: skip


def pair(number: int, height: int = HEIGHT, width: int = WIDTH) -> tuple[NDArray[np.uint8], Mask]:
    """A blob on skin, ``(H, W, 3)``, and its mask, ``(H, W)`` of 0 and 255; every number gives other ones."""
    rng = np.random.default_rng(number)
    coarse = rng.normal(0, 30, (4, 5, 3)).astype(np.float32)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + np.array([200, 165, 150], np.float32)
    rows, columns = np.mgrid[:height, :width]
    centre = height * rng.uniform(0.35, 0.65), width * rng.uniform(0.35, 0.65)
    lesion = np.hypot(rows - centre[0], columns - centre[1]) < height * rng.uniform(0.18, 0.3)
    image[lesion] -= 80
    return np.clip(image, 0, 255).astype(np.uint8), lesion.astype(np.uint8) * 255


def write(root: Path, count: int = 10, change: Callable[[Mask], Any] = lambda mask: mask, suffix: str = ".png") -> Path:
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image, mask = pair(number)
        Image.fromarray(image).save(root / "images" / f"i{number}.png")
        changed = change(mask)
        picture = changed if isinstance(changed, Image.Image) else Image.fromarray(changed)
        picture.save(root / "masks" / f"i{number}{suffix}")
    return root


def seglab(*call: object) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in call])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def train(root: Path, *more: str) -> Result:
    return seglab("train", "--data", root, "--out", root / "run", *TINY, *more)


def in_palette(mask: Mask) -> Image.Image:
    """Lesion under index 7, background under 200, the palette says which is which."""
    picture = Image.fromarray(np.where(mask, 7, 200).astype(np.uint8), "P")
    colours = np.zeros((256, 3), np.uint8)
    colours[7] = 255
    picture.putpalette(colours.tobytes())
    return picture


READ: dict[str, tuple[Callable[[Mask], Any], str]] = {
    "16 bits": (lambda mask: mask.astype(np.uint16), ".png"),
    "16 bits of 0 and 1": (lambda mask: (mask > 0).astype(np.uint16), ".png"),
    "32 bits": (lambda mask: mask.astype(np.int32), ".tif"),
    "0 and 2": (lambda mask: (mask > 0).astype(np.uint8) * 2, ".png"),
    "1 bit TIFF": (lambda mask: Image.fromarray(mask).convert("1"), ".tif"),
    "palette": (in_palette, ".png"),
    "alpha": (lambda mask: np.dstack([np.full_like(mask, 255)] * 3 + [mask]), ".png"),
    "black with alpha": (lambda mask: np.dstack([np.zeros_like(mask)] * 3 + [mask]), ".png"),
    "grey with alpha": (lambda mask: Image.fromarray(np.dstack([np.full_like(mask, 255), mask]), "LA"), ".png"),
}
REFUSED: dict[str, tuple[Callable[[Mask], Any], str]] = {
    "empty": (lambda mask: mask * 0, r"all \d truths are empty"),
    "full": (lambda mask: mask * 0 + 255, r"all \d truths fill their images"),
    "full of ones": (lambda mask: mask * 0 + 1, r"all \d truths fill their images"),
    "empty or full": (lambda mask: np.full_like(mask, 255 * (mask.sum() % 2)), "truths are empty or fill their images"),
    "inverted": (
        lambda mask: 255 - mask,
        r"10 of 10 truths look inverted \(they cover most of the image and of its border\)",
    ),
    "equal": (lambda mask: pair(3)[1], "all 10 truths are equal"),
    "two colours": (
        lambda mask: np.dstack([mask, mask * 0, 255 - mask]),
        "10 × Not clear what .* more than one colour",
    ),
    "classes": (lambda mask: np.roll(mask // 255, 9) * 60 + mask // 255 * 90, "10 of 10 pairs cannot be used"),
}


@pytest.mark.parametrize("form", READ)
def test_a_mask_is_read_in_every_form(tmp_path: Path, form: str) -> None:
    change, suffix = READ[form]
    write(tmp_path, 6, change, suffix)
    result = seglab("inspect", tmp_path, "--split", "seeded")
    assert result.exit_code == 0, result.output
    assert "0 errors, 0 leaks, 0 notes" in result.output
    seglab("prepare", tmp_path, "--out", tmp_path / "stored", "--size", 48)
    stored = np.load(tmp_path / "stored/masks.npy") > 0  # in the order of the ids
    for row, found in enumerate(stored):
        wanted = cv2.resize(pair(row)[1], (48, 48), interpolation=cv2.INTER_AREA) >= 128
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("form", REFUSED)
@pytest.mark.filterwarnings("ignore:Mode:DeprecationWarning")
def test_truths_that_are_none_stop_inspection_and_training(tmp_path: Path, form: str) -> None:
    change, said = REFUSED[form]
    write(tmp_path, 10, change)
    inspected = seglab("inspect", tmp_path, "--json", tmp_path / "found.json")
    assert inspected.exit_code == 1
    report = json.loads((tmp_path / "found.json").read_text())
    assert (report["format_version"], report["sound"]) == (2, False)
    refused = train(tmp_path, "--inspect", "report")
    assert refused.exit_code == 1
    assert "fault: " in refused.output
    for output in (inspected.output, "\n".join(report["faults"]), refused.output):
        assert re.search(said, output), output
    assert not (tmp_path / "run/last.pt").exists()


@pytest.mark.parametrize("form", ["empty", "full"])
def test_truths_without_lesions_stop_even_what_is_not_inspected(tmp_path: Path, form: str) -> None:
    write(tmp_path, 10, REFUSED[form][0])
    refused = train(tmp_path, "--inspect", "off")
    assert refused.exit_code == 1
    assert re.search(REFUSED[form][1], refused.output)
    write(tmp_path, 10)
    for path in sorted((tmp_path / "masks").iterdir())[:4]:
        Image.new("L", (WIDTH, HEIGHT)).save(path)
    assert seglab("inspect", tmp_path).exit_code == 0, "some images may show no lesion"


def test_some_inverted_truths_are_remarked(tmp_path: Path) -> None:
    write(tmp_path, 10)
    for number in range(3):
        Image.fromarray(255 - pair(number)[1]).save(tmp_path / "masks" / f"i{number}.png")
    result = seglab("inspect", tmp_path)
    assert result.exit_code == 0
    assert "3 of 10 truths may be inverted: they cover most of the image and its border" in result.output


def test_a_validation_part_without_lesions_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path / "train", 6)
    write(tmp_path / "val", 2, REFUSED["empty"][0])
    for number, path in enumerate(sorted((tmp_path / "val").rglob("*.png"))):
        path.rename(path.with_name(f"v{number % 2}.png"))
    for number in (0, 1):
        Image.fromarray(pair(50 + number)[0]).save(tmp_path / "val/images" / f"v{number}.png")
    result = seglab("inspect", tmp_path)
    assert result.exit_code == 1
    assert "fault: The validation part: all 2 truths are empty" in result.output


def test_soft_labels_in_arrays_count_from_half(tmp_path: Path) -> None:
    images, masks = (np.stack(arrays) for arrays in zip(*(pair(number) for number in range(8)), strict=True))
    soft = np.stack([cv2.GaussianBlur(mask, (9, 9), 0) for mask in masks]).astype(np.float32) / 255
    soft[0] *= 0.4  # a doubtful lesion, below a half throughout
    parts = {"train": slice(0, 5), "val": slice(5, 8)}
    arrays = {
        f"{part}_{key}": values[rows]
        for part, rows in parts.items()
        for key, values in (("images", images), ("label", soft))
    }
    np.savez(tmp_path / "soft.npz", **arrays, test_images=images[:0], test_label=soft[:0])  # type: ignore[arg-type]
    result = seglab("inspect", tmp_path / "soft.npz")
    assert result.exit_code == 0, result.output
    seglab("prepare", tmp_path / "soft.npz", "--out", tmp_path / "stored", "--size", 48)
    shares = (np.load(tmp_path / "stored/masks.npy") > 0).mean((1, 2))
    assert shares[0] == 0
    assert shares[1:] == pytest.approx((masks[1:] > 0).mean((1, 2)), rel=0.15)


def test_lesions_that_vanish_are_counted_and_still_learned_and_scored(tmp_path: Path) -> None:
    def dot(mask: Mask) -> Mask:
        small = mask * 0
        small[10 + int(mask[:, 20].sum()) % 7, 20] = 255
        return small

    write(tmp_path, 10, lambda mask: cv2.resize(dot(mask), (480, 360), interpolation=cv2.INTER_NEAREST))
    for path in (tmp_path / "images").iterdir():
        Image.open(path).resize((480, 360)).save(path)
    big = cv2.resize(pair(0)[1], (480, 360), interpolation=cv2.INTER_NEAREST)
    Image.fromarray(big).save(tmp_path / "masks/i0.png")
    result = seglab("inspect", tmp_path, "--size", 16)
    assert f"remark: {tmp_path.name}: 9 lesions are smaller than a pixel at size 16" in result.output
    assert "smaller than" not in seglab("inspect", tmp_path, "--size", 256).output
    Image.fromarray(dot(pair(0)[1])).resize((480, 360), Image.Resampling.NEAREST).save(tmp_path / "masks/i0.png")
    assert "all 10 lesions are smaller than a pixel at size 16" in seglab("inspect", tmp_path, "--size", 16).output
    seglab("prepare", tmp_path, "--out", tmp_path / "stored", "--size", 16)
    stored = np.load(tmp_path / "stored/masks.npy")
    assert (stored > 0).sum((1, 2)).tolist() == [1] * 10


def test_masks_of_photographs_as_stored_are_found_and_turned(tmp_path: Path) -> None:
    write(tmp_path, 8)
    for number, path in enumerate(sorted((tmp_path / "images").iterdir())):
        if number % 2:
            exif = Image.Exif()
            exif[0x0112] = 6 if number % 4 == 1 else 8
            Image.open(path).save(path.with_suffix(".jpg"), exif=exif, quality=95)
            path.unlink()
    result = seglab("inspect", tmp_path)
    assert result.exit_code == 1
    assert "4 of 8 photographs are turned by EXIF, but their masks fit the image as stored" in result.output
    assert "--orientation stored" in result.output
    assert seglab("inspect", tmp_path, "--orientation", "stored").exit_code == 0
    done = seglab("prepare", tmp_path, "--orientation", "stored", "--out", tmp_path / "stored", "--size", 48)
    assert done.exit_code == 0, done.output
    images, masks = (np.load(tmp_path / "stored" / name) for name in ("images.npy", "masks.npy"))
    for image, mask in zip(images.astype(float).mean(3), masks, strict=True):
        assert image[mask > 0].mean() < image[mask == 0].mean() - 40, "the lesion is the dark part"
    trained = train(tmp_path, "--orientation", "stored")
    assert trained.exit_code == 0, trained.output


def test_outlines_on_photographs_as_stored_are_found_and_turned(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    entries: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "x"}]}
    for number in range(6):
        image, mask = pair(number)
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(image).save(tmp_path / "images" / f"i{number}.jpg", exif=exif, quality=95)
        outline = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0]
        entries["images"].append({"id": number, "file_name": f"i{number}.jpg", "width": WIDTH, "height": HEIGHT})
        polygon = [float(value) for value in outline.ravel()]
        entries["annotations"].append({"id": number, "image_id": number, "category_id": 1, "segmentation": [polygon]})
    (tmp_path / "annotations.json").write_text(json.dumps(entries))
    assert "6 of 6 photographs are turned by EXIF" in seglab("inspect", tmp_path).output
    assert seglab("inspect", tmp_path, "--orientation", "stored").exit_code == 0
    seglab("prepare", tmp_path, "--orientation", "stored", "--out", tmp_path / "stored", "--size", 48)
    images, masks = (np.load(tmp_path / "stored" / name) for name in ("images.npy", "masks.npy"))
    for image, mask in zip(images.astype(float).mean(3), masks, strict=True):
        assert image[mask > 0].mean() < image[mask == 0].mean() - 40, "the lesion is the dark part"


def ham10000(root: Path, table: str | None) -> Path:
    for number in range(12):
        image, mask = pair(number)
        id = f"ISIC_{24306 + number:07d}"
        for folder, picture, ending in (
            ("HAM10000_images_part_1", image, ".jpg"),
            ("HAM10000_segmentations_lesion_tschandl", mask, "_segmentation.png"),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(root / folder / f"{id}{ending}")
    if table is not None:
        (root / "metadata.csv").write_text(table)
    return root


ROWS = [f"ISIC_{24306 + number:07d},IL_{number // 2}" for number in range(12)]


def test_lesions_that_are_not_known_refuse_a_drawn_split(tmp_path: Path) -> None:
    half = "\n".join(["isic_id,lesion_id", *ROWS[:6]])
    without = ham10000(tmp_path / "without", None), "12 images are from HAM10000"
    for root, said in (without, (ham10000(tmp_path / "half", half), "names the lesions of 6 of 12 images")):
        result = seglab("inspect", root)
        assert result.exit_code == 1
        assert said in result.output
        assert said in train(root).output
        told = seglab("inspect", root, "--lesions", "ids")
        assert told.exit_code == 0, told.output
        assert "remark: " in told.output
    trained = train(tmp_path / "half", "--set", "lesions=ids")
    assert trained.exit_code == 0, trained.output
    unnamed = "\n".join(["isic_id,lesion_id", *ROWS[:6], *(row.split(",")[0] + "," for row in ROWS[6:])])
    known = seglab("inspect", ham10000(tmp_path / "unnamed", unnamed))
    assert known.exit_code == 1, "HAM10000 has several photographs of a lesion"
    whole = seglab("inspect", ham10000(tmp_path / "whole", "\n".join(["isic_id,lesion_id", *ROWS])))
    assert whole.exit_code == 0, whole.output
    assert "12 pairs of 6 lesions" in whole.output


def test_a_table_counts_where_it_was_read(tmp_path: Path) -> None:
    """Beside a COCO file it names lesions; in a prepared set, which keeps its own, it says nothing."""
    lesion = [[10, 10, 20, 10, 20, 20, 10, 20]]
    entries: dict[str, Any] = {"images": [], "annotations": []}
    for number in range(12):
        image, _ = pair(number)
        Image.fromarray(image).save(tmp_path / f"a{number}.png")
        entries["images"].append({"id": number, "file_name": f"a{number}.png", "height": HEIGHT, "width": WIDTH})
        entries["annotations"].append({"image_id": number, "category_id": 1, "segmentation": lesion})
    (tmp_path / "set.json").write_text(json.dumps(entries))
    (tmp_path / "metadata.csv").write_text("\n".join(["isic_id,lesion_id", *(f"a{n},L{n // 2}" for n in range(6))]))
    assert "metadata.csv names the lesions of 6 of 12 images" in seglab("inspect", tmp_path / "set.json").output
    stored = tmp_path / "stored"
    seglab("prepare", ham10000(tmp_path / "ham", None), "--out", stored, "--size", 48)
    (stored / "metadata.csv").write_text("\n".join(["isic_id,lesion_id", *ROWS]))
    assert "12 images are from HAM10000" in seglab("inspect", stored).output


def test_a_lesion_may_be_called_as_its_image(tmp_path: Path) -> None:
    ids = [row.split(",")[0] for row in ROWS]
    for folder in ("one", "other"):  # ids of two sets are told apart: what is known of them stays
        root = ham10000(tmp_path / folder, "\n".join(["isic_id,lesion_id", *(f"{id},{id}" for id in ids)]))
        for path in [path for path in root.rglob("*") if path.suffix in (".jpg", ".png")]:
            path.rename(path.with_name(path.name.replace("ISIC_", "x_")))
        (root / "metadata.csv").write_text((root / "metadata.csv").read_text().replace("ISIC_", "x_"))
    assert "lesions" not in seglab("inspect", tmp_path / "one").output.partition("one: used")[2]
    both = seglab("inspect", tmp_path / "one", tmp_path / "other").output
    assert "24 pairs of 24 lesions" in both
    assert "lesions" not in both.partition("one: used")[2]


def test_report_drops_every_photograph_of_a_leaked_lesion(tmp_path: Path) -> None:
    ham10000(
        tmp_path, "\n".join(["isic_id,lesion_id", *(f"{row.split(',')[0]},IL_{n % 4}" for n, row in enumerate(ROWS))])
    )
    ids = [row.split(",")[0] for row in ROWS]
    split = {"kind": "seglab split", "format_version": 1, "method": "seeded", "seed": 0}
    split |= {"training": ids[:8], "validation": ids[8:9] + ids[10:], "test": []}
    file = tmp_path / "split.json"
    file.write_text(json.dumps(split))
    refused = train(tmp_path, "--split-file", str(file))
    assert refused.exit_code == 1
    assert "show the same lesion" in refused.output
    kept = train(tmp_path, "--split-file", str(file), "--inspect", "report")
    assert kept.exit_code == 0, kept.output
    assert seglab("inspect", tmp_path, "--split", "seeded").exit_code == 0, "the run within the set is no part of it"
    written = json.loads((tmp_path / "run/split.json").read_text())
    assert written["training"] == [ids[1], ids[5]], "only the lesion that validates nowhere trains"
    assert "6 not used: the same lesion or picture is held out" in kept.output


def test_sets_of_both_kinds_are_used_whole(tmp_path: Path) -> None:
    for part, numbers in (("Training", range(8)), ("Validation", range(8, 11))):
        for number in numbers:
            image, mask = pair(number)
            for kind, picture, ending in (("Data", image, ".jpg"), ("Part1_GroundTruth", mask, "_segmentation.png")):
                folder = tmp_path / "isic2017" / f"ISIC-2017_{part}_{kind}"
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(folder / f"ISIC_{number:07d}{ending}")
    root = ham10000(tmp_path / "ham", "\n".join(["isic_id,lesion_id", *ROWS]))
    for path in [*root.rglob("*.jpg"), *root.rglob("*.png")]:
        shift = int(path.stem[5:12]) - 24306 + 100
        image, mask = pair(shift)
        Image.fromarray(image if path.suffix == ".jpg" else mask).save(path)
    result = seglab("inspect", tmp_path / "isic2017", root)
    assert result.exit_code == 0, result.output
    assert "23 pairs of 17 lesions, split auto" in result.output
    assert "isic2017: used 11 of 11" in result.output
    assert "ham: used 12 of 12" in result.output
    lost = seglab("inspect", tmp_path / "isic2017", root, "--split", "official")
    assert lost.exit_code == 2
    assert "12 of 12 images of ham have no official part" in lost.output
    shutil.rmtree(root)
