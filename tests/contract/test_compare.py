"""``seg-batch compare``: what another model would change. Figures are worked out by numpy from masks read by Pillow."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from batch.cli import main
from tests.support.archive import command, masks_below, read_grey, save, save_many, seg_batch, spot
from tests.support.artefact import colour_model, tiny_model
from tests.support.faults import PATIENCE, wait_for


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def run(out: Path, model: Path, *sources: str | Path, code: int = 0) -> Path:
    done = invoke("run", *sources, "--out", out, "--model", model, "--device", "cpu")
    assert done.exit_code == code, done.output
    return out


def compared(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    done = invoke("compare", *arguments, "--json")
    assert done.exit_code == code, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def change(out: Path, text: str, *values: str) -> None:
    with closing(sqlite3.connect(out / "ledger.sqlite")) as connection, connection:
        connection.execute(text, values)


def replace_mask(out: Path, name: str, mask: np.ndarray[Any, Any]) -> None:
    """Put another mask into an output, in its ledger as well, as another model would have made it."""
    import hashlib

    Image.fromarray(mask).save(out / name)
    ys, xs = np.nonzero(mask)
    box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else (None,) * 4
    sha256 = hashlib.sha256((out / name).read_bytes()).hexdigest()
    figures = [None if side is None else int(side) for side in box]
    with closing(sqlite3.connect(out / "ledger.sqlite")) as connection, connection:
        connection.execute(
            "UPDATE items SET sha256 = ?, lesion_area = ?, height = ?, width = ?, bbox_x0 = ?, bbox_y0 = ?, "
            "bbox_x1 = ?, bbox_y1 = ? WHERE mask = ?",
            (sha256, int((mask > 0).sum()), *mask.shape, *figures, name),
        )


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("other") / "other.onnx", seed=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, model_file: Path, other_model: Path) -> Path:
    """The same photographs under two models, ``a`` and ``b``, one of them broken; read-only by agreement."""
    root = tmp_path_factory.mktemp("made")
    save_many(root / "in" / "x", 4)
    save_many(root / "in" / "y", 3)
    (root / "in" / "broken.png").write_bytes(b"no image")
    run(root / "a", model_file, root / "in", code=3)
    run(root / "b", other_model, root / "in", code=3)
    return root


@pytest.fixture
def two(made: Path, tmp_path: Path) -> Path:
    for name in "ab":
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def expected(a: Path, b: Path) -> dict[str, tuple[float, float, int, int]]:
    """Return Dice, IoU, gained and lost by mask."""
    found = {}
    for name in masks_below(a):
        first, second = read_grey(a / name) > 0, read_grey(b / name) > 0
        both, either = int((first & second).sum()), int((first | second).sum())
        area = int(first.sum() + second.sum())
        dice, iou = (2 * both / area, both / either) if area else (1.0, 1.0)
        found[name] = (dice, iou, int((second & ~first).sum()), int((first & ~second).sum()))
    return found


def test_figures_are_those_of_numpy(two: Path) -> None:
    replace_mask(two / "b", "x/000.png", np.zeros_like(read_grey(two / "a" / "x" / "000.png")))
    blot = np.zeros_like(read_grey(two / "a" / "x" / "001.png"))
    replace_mask(two / "a", "x/001.png", blot)
    blot[5:9, 3:7] = 255
    replace_mask(two / "b", "x/001.png", blot)
    report = compared(two / "a", two / "b", "--table", two / "t.csv")
    truth = expected(two / "a", two / "b")
    dices = np.array([dice for dice, *_ in truth.values()])
    assert report["compared"] == 7
    assert report["dice"]["mean"] == pytest.approx(dices.mean())
    for name, share in (("median", 0.5), ("p5", 0.05)):
        assert report["dice"][name] == round(float(np.quantile(dices, share, method="inverted_cdf")), 4)
    assert report["identical"] == sum(gained == lost == 0 for *_, gained, lost in truth.values())
    assert (report["newly_empty"], report["newly_not_empty"]) == (1, 1)
    assert report["gained"] == sum(gained for *_, gained, _ in truth.values())
    assert report["lost"] == sum(lost for *_, lost in truth.values())
    assert (report["both"], report["only_a"], report["only_b"], report["open"]) == (8, 0, 0, 1)
    rows = {row["mask_a"]: row for row in rows_of(two / "t.csv") if row["dice"]}
    assert set(rows) == set(truth)
    for name, (dice, iou, gained, lost) in truth.items():
        row = rows[name]
        assert float(row["dice"]) == pytest.approx(dice)
        assert float(row["iou"]) == pytest.approx(iou)
        assert (int(row["gained"]), int(row["lost"])) == (gained, lost)
    assert rows["x/000.png"]["outcome"] == "newly empty"
    assert rows["x/001.png"]["outcome"] == "newly not empty"


def test_the_worst_come_first_and_as_many_as_asked(two: Path) -> None:
    for number in range(3):
        name = f"y/{number:03}.png"
        mask = read_grey(two / "a" / name).copy()
        mask[: (number + 1) * 12] = 255 - mask[: (number + 1) * 12]
        replace_mask(two / "b", name, mask)
    by_dice = sorted(dice for dice, *_ in expected(two / "a", two / "b").values() if dice < 1)
    report = compared(two / "a", two / "b", "--worst", "2")
    assert [entry["dice"] for entry in report["worst"]] == pytest.approx(by_dice[:2])
    assert compared(two / "a", two / "b", "--worst", "0")["worst"] == []
    assert len(compared(two / "a", two / "b")["worst"]) == len(by_dice)
    text = invoke("compare", two / "a", two / "b", "--worst", "1").stdout
    assert f"Dice {by_dice[0]:.4f}, gained" in text


def test_two_empty_masks_are_alike(two: Path) -> None:
    for name in "ab":
        replace_mask(two / name, "x/002.png", np.zeros_like(read_grey(two / "a" / "x" / "002.png")))
    invoke("compare", two / "a", two / "b", "--table", two / "t.jsonl")
    rows = [json.loads(line) for line in (two / "t.jsonl").read_text().splitlines()]
    row = next(row for row in rows if row["mask_a"] == "x/002.png")
    assert (row["dice"], row["iou"], row["outcome"]) == (1.0, 1.0, "identical")


def test_an_output_and_itself_are_alike_and_nothing_is_changed(two: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in two.rglob("*")}
    report = compared(two / "a", two / "a")
    assert (report["identical"], report["dice"]["mean"], report["worst"]) == (7, 1.0, [])
    compared(two / "a", two / "b")
    assert {path: path.stat().st_mtime_ns for path in two.rglob("*")} == before


def test_parquet(two: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    compared(two / "a", two / "b", "--table", two / "t.parquet")
    found = parquet.read_table(two / "t.parquet").to_pylist()
    assert sum(row["dice"] is not None for row in found) == 7
    assert invoke("compare", two / "a", two / "b", "--table", two / "t.parquet").exit_code == 0  # replaced


def test_a_table_of_somebody_else_stays(two: Path) -> None:
    (two / "t.csv").write_text("path,source,mask,status,error,\n")
    done = invoke("compare", two / "a", two / "b", "--table", two / "t.csv")
    assert done.exit_code == 1
    assert "is not a comparison of seg-batch" in done.stderr
    assert invoke("compare", two / "a", two / "b", "--table", two / "t.txt").exit_code != 0


# What cannot be compared


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_missing_or_damaged_mask_is_a_line(two: Path, side: str) -> None:
    (two / side / "x" / "000.png").unlink()
    (two / side / "x" / "001.png").write_bytes(b"\x89PNG and no more")
    Image.fromarray(255 - read_grey(two / side / "y" / "000.png")).save(two / side / "y" / "000.png")
    report = compared(two / "a", two / "b", "--table", two / "t.csv", code=3)
    assert (report["unusable"]["count"], report["compared"]) == (3, 4)
    reasons = {row["mask_a"]: row["reason"] for row in rows_of(two / "t.csv") if row["outcome"] == "unusable"}
    assert set(reasons) == {"x/000.png", "x/001.png", "y/000.png"}
    assert reasons["x/000.png"].startswith(f"in {side.upper()}: The mask is missing")
    assert all("changed since it was written" in reasons[name] for name in ("x/001.png", "y/000.png"))
    assert "not compared: " in invoke("compare", two / "a", two / "b").stdout


def test_masks_of_other_sizes_are_named(two: Path, model_file: Path, tmp_path: Path) -> None:
    save(tmp_path / "in" / "p.png", spot(40, 50))
    run(tmp_path / "c", model_file, tmp_path / "in")
    save(tmp_path / "in" / "p.png", spot(60, 50))
    run(tmp_path / "d", model_file, tmp_path / "in")
    report = compared(tmp_path / "c", tmp_path / "d", code=3)
    assert report["other_sizes"]["first"][0]["reason"].startswith("40x50 pixels in A, 60x50 in B")
    assert (report["compared"], report["dice"]) == (0, None)
    done = invoke("compare", tmp_path / "c", tmp_path / "d")
    assert "different size: " in done.stdout
    assert "different size in bytes): 1" in done.stdout


def test_images_of_one_output_only_and_failures(made: Path, tmp_path: Path, model_file: Path) -> None:
    shutil.copytree(made / "in", tmp_path / "in")
    run(tmp_path / "a", model_file, tmp_path / "in", code=3)
    (tmp_path / "in" / "x" / "000.png").unlink()
    save(tmp_path / "in" / "new.png")
    save(tmp_path / "in" / "broken.png")
    (tmp_path / "in" / "y" / "001.png").write_bytes(b"broken now")
    run(tmp_path / "b", model_file, tmp_path / "in", code=3)
    report = compared(tmp_path / "a", tmp_path / "b", "--table", tmp_path / "t.csv")
    counts = ("both", "only_a", "only_b", "failed_a", "failed_b", "open", "compared")
    assert [report[name] for name in counts] == [7, 1, 1, 1, 1, 0, 5]
    outcomes = {Path(row["path_a"] or row["path_b"]).name: row["outcome"] for row in rows_of(tmp_path / "t.csv")}
    assert (outcomes["new.png"], outcomes["broken.png"]) == ("only in B", "failed in A")
    assert len(rows_of(tmp_path / "t.csv")) == 9


def test_nothing_in_common(made: Path, tmp_path: Path, model_file: Path) -> None:
    save(tmp_path / "elsewhere" / "q.png")
    run(tmp_path / "c", model_file, tmp_path / "elsewhere")
    done = invoke("compare", made / "a", tmp_path / "c", "--table", tmp_path / "t.csv")
    assert done.exit_code == 1
    assert "No image of A is in B" in done.stderr
    assert not (tmp_path / "t.csv").exists()
    (tmp_path / "empty").mkdir()
    run(tmp_path / "e", model_file, tmp_path / "empty", code=3)
    assert "the first of A: none" in invoke("compare", tmp_path / "e", made / "a").stderr
    assert "There is no ledger in" in invoke("compare", made / "a", tmp_path / "empty").stderr


# Which image is which


def test_a_moved_archive_is_paired_by_the_paths_below_it(made: Path, tmp_path: Path, other_model: Path) -> None:
    shutil.copytree(made / "in", tmp_path / "moved")
    save_many(tmp_path / "more", 2)
    run(tmp_path / "b", other_model, tmp_path / "more", tmp_path / "moved", code=3)  # its masks lie in moved/
    report = compared(made / "a", tmp_path / "b")
    assert (report["both"], report["only_a"], report["only_b"], report["compared"]) == (8, 0, 2, 7)
    assert report["notes"] == [f"images of {made / 'in'} in A are those of {tmp_path / 'moved'} in B"]


def test_two_folders_of_equal_names_are_told_apart_by_their_images(tmp_path: Path, model_file: Path) -> None:
    for place in ("one", "two"):
        for day, count in (("d1", 4), ("d2", 6)):
            save_many(tmp_path / place / day / "photos", count)
        days = [tmp_path / place / day / "photos" for day in ("d1", "d2")]
        run(tmp_path / f"out-{place}", model_file, *(days if place == "one" else days[::-1]))
    report = compared(tmp_path / "out-one", tmp_path / "out-two", "--table", tmp_path / "t.csv")
    assert (report["identical"], report["only_a"], report["only_b"]) == (10, 0, 0)
    for row in rows_of(tmp_path / "t.csv"):
        assert row["path_a"].replace("/one/", "/two/") == row["path_b"]


def test_images_named_one_by_one_are_paired_by_their_masks(tmp_path: Path, model_file: Path) -> None:
    for place in ("one", "two"):
        paths = save_many(tmp_path / place, 3)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path / place)
            run(tmp_path / f"out-{place}", model_file, *[path.name for path in paths])
    report = compared(tmp_path / "out-one", tmp_path / "out-two")
    assert (report["identical"], report["notes"]) == (
        3,
        ["no path is in both: images are paired by the names of their masks"],
    )


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_archives_of_masks(made: Path, tmp_path: Path, other_model: Path, suffix: str) -> None:
    out = tmp_path / f"masks{suffix}"
    run(out, other_model, made / "in", code=3)
    assert compared(made / "a", out)["dice"] == compared(made / "a", made / "b")["dice"]
    assert compared(out, tmp_path / f"masks{suffix}.ledger")["identical"] == 7
    data = bytearray(out.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 1
    out.write_bytes(data)
    assert compared(made / "a", out, code=3)["unusable"]["count"] == 1


def test_masks_at_a_url(made: Path, tmp_path: Path, other_model: Path, s3: Any) -> None:
    done = invoke(
        "run", made / "in", "--out", "s3://masks/m", "--ledger", tmp_path / "l", "--model", other_model,
        "--device", "cpu",
    )  # fmt: skip
    assert done.exit_code == 3, done.output
    assert compared(made / "a", tmp_path / "l")["dice"] == compared(made / "a", made / "b")["dice"]
    s3.rm("masks/m/x/000.png")
    assert compared(made / "a", tmp_path / "l", code=3)["unusable"]["count"] == 1


def test_odd_names(tmp_path: Path, model_file: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for odd in (b"new\nline.png", b"caf\xe9.png", b"a,b\r.png"):
        save(tmp_path / "one.png").rename(source / os.fsdecode(odd))
    for name in "ab":
        run(tmp_path / name, model_file, source)
    assert compared(tmp_path / "a", tmp_path / "b", "--table", tmp_path / "t.csv")["identical"] == 3
    assert {row["path_a"].rpartition("/")[2] for row in rows_of(tmp_path / "t.csv")} == {
        "new\nline.png", "caf\\xe9.png", "a,b\r.png",
    }  # fmt: skip
    replace_mask(tmp_path / "b", "new\nline.png", np.zeros((48, 64), np.uint8))
    assert "new\\nline.png" in invoke("compare", tmp_path / "a", tmp_path / "b").stdout


def test_a_ledger_of_the_first_format(two: Path) -> None:
    with closing(sqlite3.connect(two / "a" / "ledger.sqlite")) as connection, connection:
        for column in ("sha256", "version", "epoch", "remark", "attempts", "suitable"):
            connection.execute(f"ALTER TABLE items DROP COLUMN {column}")
        connection.execute("DROP TABLE sources")
        connection.execute("PRAGMA user_version = 1")
    assert compared(two / "a", two / "b")["compared"] == 7


def test_an_output_that_a_run_holds_is_read(two: Path) -> None:
    from filelock import FileLock

    with FileLock(two / "a" / ".seg-batch.lock"), closing(sqlite3.connect(two / "a" / "ledger.sqlite")) as writer:
        writer.execute("UPDATE items SET status = 'pending' WHERE mask = 'x/000.png'")
        writer.commit()
        report = compared(two / "a", two / "b")
    assert (report["compared"], report["open"]) == (6, 2)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_a_comparison_that_is_stopped_leaves_no_table(two: Path) -> None:
    mask, table = two / "a" / "x" / "000.png", two / "t" / "t.csv"
    mask.unlink()
    os.mkfifo(mask)  # whoever reads it waits
    process = subprocess.Popen(command("compare", two / "a", two / "b", "--table", table), stderr=subprocess.PIPE)
    wait_for(lambda: any(table.parent.glob(".*")), PATIENCE, "no table was begun")
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: process.poll() is not None or _has_passed(mask), PATIENCE, "nobody reads the mask")
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode in (130, -signal.SIGTERM), said
    assert not list(table.parent.iterdir())


def _has_passed(pipe: Path) -> bool:
    """End a pipe if somebody reads it; return whether it is so."""
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def test_the_command_itself(made: Path) -> None:
    done = seg_batch("compare", made / "a", made / "b")
    assert done.returncode == 0, done.stderr
    assert "8 images in both, 0 only in A, 0 only in B" in done.stdout


def test_masks_of_one_bit_and_of_eight_are_alike(made: Path, tmp_path: Path, model_file: Path) -> None:
    done = invoke(
        "run", made / "in", "--out", tmp_path / "bits", "--model", model_file, "--device", "cpu", "--mask-bits", "1"
    )
    assert done.exit_code == 3, done.output
    assert compared(made / "a", tmp_path / "bits")["identical"] == 7


def test_label_maps_are_refused(made: Path, tmp_path: Path, model_file: Path) -> None:
    out = tmp_path / "labels"
    run(out, colour_model(tmp_path / "colours.onnx", ("skin", "brown", "blue")), made / "in", code=3)
    done = invoke("compare", made / "a", out)
    assert done.exit_code == 1
    assert "holds label maps of several classes" in done.stderr
    run(out, model_file, made / "in", code=3)  # they are masks by now
    assert compared(made / "a", out)["identical"] == 7


def test_a_mask_with_classes_in_it_is_not_taken_for_lesion_or_not(two: Path) -> None:
    mask = read_grey(two / "a" / "x" / "000.png").copy()
    mask[:4] = 2
    replace_mask(two / "b", "x/000.png", mask)
    report = compared(two / "a", two / "b", code=3)
    assert "values other than 0 and 255" in report["unusable"]["first"][0]["reason"]
