"""``done`` means: this mask, of this content, by this model and these settings, is on the disk."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import zipfile
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support.archive import command, masks_below, save, save_many, seg_batch, spot

LEDGER_NAME = "ledger.sqlite"


def run(model_file: Path, *arguments: str | Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    line = command("run", *arguments, "--model", model_file, "--device", "cpu")
    environment = {**os.environ, **(env or {})}
    ended = subprocess.run(line, capture_output=True, text=True, check=False, env=environment, errors="replace")
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stderr


def ask(out: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(out / LEDGER_NAME)) as connection, connection:
        return list(connection.execute(sql, values))


def masks(out: Path) -> set[str]:
    return set(masks_below(out))


def test_a_row_has_the_hash_of_its_mask(model_file: Path, tmp_path: Path) -> None:
    save_many(tmp_path / "photos", 3)
    assert run(model_file, tmp_path / "photos", "--out", tmp_path / "m")[0] == 0
    for mask, known in ask(tmp_path / "m", "SELECT mask, sha256 FROM items"):
        assert hashlib.sha256((tmp_path / "m" / str(mask)).read_bytes()).hexdigest() == known


@pytest.mark.slow
def test_a_renamed_folder_is_known_again(model_file: Path, tmp_path: Path) -> None:
    save_many(tmp_path / "photos" / "sub", 4)
    assert run(model_file, tmp_path / "photos", "--out", tmp_path / "m")[0] == 0
    (tmp_path / "photos").rename(tmp_path / "clinic")
    save(tmp_path / "clinic" / "sub" / "new.png")
    code, said = run(model_file, tmp_path / "clinic", "--out", tmp_path / "m")
    assert (code, "1 mask, 0 failed, 4 unchanged" in said) == (0, True), said
    assert masks(tmp_path / "m") == {f"sub/{name}.png" for name in ("000", "001", "002", "003", "new")}
    assert {str(path).split("/")[-3] for (path,) in ask(tmp_path / "m", "SELECT path FROM items")} == {"clinic"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_a_moved_archive_is_known_again(model_file: Path, tmp_path: Path, kind: str) -> None:
    save_many(tmp_path / "photos", 4)
    archive = Path(shutil.make_archive(str(tmp_path / "set"), kind, tmp_path / "photos"))
    assert run(model_file, archive, "--out", tmp_path / "m")[0] == 0
    (tmp_path / "elsewhere").mkdir()
    moved = archive.rename(tmp_path / "elsewhere" / archive.name.replace("set", "later"))
    code, said = run(model_file, moved, "--out", tmp_path / "m")
    assert (code, "4 masks unchanged" in said) == (0, True), said


@pytest.mark.slow
def test_another_folder_in_the_place_of_one_that_is_gone_is_another(model_file: Path, tmp_path: Path) -> None:
    save_many(tmp_path / "photos", 3)
    assert run(model_file, tmp_path / "photos", "--out", tmp_path / "m")[0] == 0
    shutil.rmtree(tmp_path / "photos")
    for number in range(3):
        save(tmp_path / "other" / f"{number:03}.png", spot(70, 90 + number))
    code, said = run(model_file, tmp_path / "other", "--out", tmp_path / "m")
    assert (code, "3 masks, " in said) == (0, True), said
    assert masks(tmp_path / "m") == {f"{place}{number:03}.png" for place in ("", "other/") for number in range(3)}


@pytest.mark.slow
def test_a_copy_beside_the_original_is_another_source(model_file: Path, tmp_path: Path) -> None:
    save_many(tmp_path / "photos", 2)
    assert run(model_file, tmp_path / "photos", "--out", tmp_path / "m")[0] == 0
    shutil.copytree(tmp_path / "photos", tmp_path / "copy")
    code, said = run(model_file, tmp_path / "copy", "--out", tmp_path / "m")
    assert (code, "2 masks, " in said) == (0, True), said
    assert masks(tmp_path / "m") == {"000.png", "001.png", "copy/000.png", "copy/001.png"}


@pytest.mark.slow
def test_two_folders_of_one_name_are_not_mixed(model_file: Path, tmp_path: Path) -> None:
    for place in ("a", "b", "c"):
        save(tmp_path / place / "photos" / "x.png", spot(50, ord(place)))
    folders = [tmp_path / place / "photos" for place in ("a", "b", "c")]
    assert run(model_file, *folders[:2], "--out", tmp_path / "m")[0] == 0
    assert masks(tmp_path / "m") == {"photos/x.png", "photos-2/x.png"}
    assert run(model_file, *folders[::-1], "--out", tmp_path / "m")[0] == 0
    assert masks(tmp_path / "m") == {"photos/x.png", "photos-2/x.png", "photos-3/x.png"}


@pytest.mark.slow
def test_where_masks_lie_does_not_depend_on_how_many_sources_a_command_names(model_file: Path, tmp_path: Path) -> None:
    photos, more = tmp_path / "photos", tmp_path / "more"
    save(photos / "a.png")
    save(photos / "more" / "x.png")
    save(more / "x.png", spot(60, 50))
    assert run(model_file, photos, "--out", tmp_path / "m")[0] == 0
    assert masks(tmp_path / "m") == {"a.png", "more/x.png"}
    save(photos / "b.png")
    assert run(model_file, photos, more, "--out", tmp_path / "m")[0] == 0
    assert masks(tmp_path / "m") == {"a.png", "b.png", "more/x.png", "more-2/x.png"}
    save(photos / "c.png")
    save(more / "y.png")
    assert run(model_file, more, "--out", tmp_path / "m")[0] == 0
    assert run(model_file, photos, "--out", tmp_path / "m")[0] == 0
    assert masks(tmp_path / "m") == {"a.png", "b.png", "c.png", "more/x.png", "more-2/x.png", "more-2/y.png"}


@pytest.mark.slow
def test_same_size_and_date_is_not_the_same_member(model_file: Path, tmp_path: Path) -> None:
    one, other = spot(64, 64), spot(64, 64, (5, 5, 30, 30))
    for name, image in (("one.bmp", one), ("other.bmp", other)):
        save(tmp_path / name, image)
    first = {}
    for name in ("one.bmp", "other.bmp"):
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            archive.writestr(zipfile.ZipInfo("a.bmp", (2020, 1, 1, 0, 0, 0)), (tmp_path / name).read_bytes())
        code, said = run(model_file, tmp_path / "set.zip", "--out", tmp_path / "m")
        assert (code, "1 mask, " in said) == (0, True), said
        first[name] = (tmp_path / "m" / "a.png").read_bytes()
    assert first["one.bmp"] != first["other.bmp"]


@pytest.mark.slow
def test_checksums_know_images_by_what_they_hold(model_file: Path, tmp_path: Path) -> None:
    photos, options = tmp_path / "photos", ("--out", tmp_path / "m", "--checksum")
    save(photos / "a.bmp", spot(64, 64))
    save(photos / "b.bmp", spot(64, 64))
    assert run(model_file, photos, *options)[0] == 0
    before = (photos / "a.bmp").stat()
    save(photos / "a.bmp", spot(64, 64, (5, 5, 30, 30)))
    os.utime(photos / "a.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))  # the same size and date
    os.utime(photos / "b.bmp", (10**9, 10**9))  # another date, the same content
    code, said = run(model_file, photos, *options)
    assert (code, "1 mask, 0 failed, 1 unchanged" in said) == (0, True), said
    code, said = run(model_file, photos, *options)
    assert (code, "2 masks unchanged" in said) == (0, True), said


@pytest.mark.slow
@pytest.mark.parametrize("spoiled", ["torn", "other", "gone"])
@pytest.mark.parametrize("how", ["killed", "power cut"])
def test_masks_since_the_last_checkpoint_are_checked_after_an_end_that_nobody_noticed(
    model_file: Path, tmp_path: Path, spoiled: str, how: str
) -> None:
    """As a power cut leaves it: rows are there, and their masks have not reached the disk."""
    save_many(tmp_path / "photos", 4)
    out = tmp_path / "m"
    assert run(model_file, tmp_path / "photos", "--out", out)[0] == 0
    before = masks_below(out)
    ask(out, "DELETE FROM meta WHERE key = 'synced'")
    if how == "killed":
        ask(out, "UPDATE runs SET finished_at = NULL")
    else:
        ask(out, "UPDATE meta SET value = 'another start of the system' WHERE key = 'boot'")
    data = before["001.png"]
    if spoiled == "gone":
        (out / "001.png").unlink()
    else:
        (out / "001.png").write_bytes(data[: len(data) // 2] if spoiled == "torn" else before["002.png"])
        os.utime(out / "001.png", (10**9, 10**9))  # another mask is of an earlier run
    code, said = run(model_file, tmp_path / "photos", "--out", out)
    if (how, spoiled) == ("killed", "other"):  # no kill leaves another whole mask
        assert (code, "4 masks unchanged" in said) == (0, True), said
        return
    assert (code, "1 mask, 0 failed, 3 unchanged" in said) == (0, True), said
    assert masks_below(out) == before


@pytest.mark.parametrize("suffix", [".png", ".tif", ".txt"])
def test_a_mask_that_was_edited_before_the_system_started_again_stays(
    model_file: Path, tmp_path: Path, suffix: str
) -> None:
    save_many(tmp_path / "photos", 2)
    out = tmp_path / "m"
    assert run(model_file, tmp_path / "photos", "--out", out)[0] == 0
    ask(out, "DELETE FROM meta WHERE key = 'synced'")
    ask(out, "UPDATE meta SET value = 'another start of the system' WHERE key = 'boot'")
    edited = b"see the other eye"
    if suffix != ".txt":
        Image.fromarray(np.full((9, 9), 255, np.uint8)).save(tmp_path / f"edited{suffix}")
        edited = (tmp_path / f"edited{suffix}").read_bytes()
    (out / "001.png").write_bytes(edited)
    os.utime(out / "001.png", (time.time() + 60, time.time() + 60))
    code, said = run(model_file, tmp_path / "photos", "--out", out)
    assert (code, "2 masks unchanged" in said) == (0, True), said
    assert (out / "001.png").read_bytes() == edited
    assert seg_batch("verify", out).returncode == 3


@pytest.mark.slow
def test_what_a_checkpoint_covers_is_not_read_again(model_file: Path, tmp_path: Path) -> None:
    save_many(tmp_path / "photos", 2)
    out = tmp_path / "m"
    assert run(model_file, tmp_path / "photos", "--out", out)[0] == 0
    ask(out, "INSERT OR REPLACE INTO meta VALUES ('synced', (SELECT max(epoch) FROM items))")
    ask(out, "UPDATE runs SET finished_at = NULL")
    (out / "001.png").write_bytes(b"edited by hand")
    code, said = run(model_file, tmp_path / "photos", "--out", out)
    assert (code, "2 masks unchanged" in said) == (0, True), said
    assert seg_batch("verify", out).returncode == 3


@pytest.mark.slow
def test_a_ledger_of_format_1_goes_on(model_file: Path, tmp_path: Path) -> None:
    """Made by the release before, from two folders."""
    made = (Path(__file__).parents[1] / "data" / "ledger-format-1.sql").read_text(encoding="utf-8")
    for name, count in (("photos", 3), ("more", 2)):
        save_many(tmp_path / name, count)
    out = tmp_path / "m"
    out.mkdir()
    with closing(sqlite3.connect(out / LEDGER_NAME)) as connection:
        connection.executescript(made)
    assert seg_batch("status", out).returncode == 0
    assert ask(out, "PRAGMA user_version") == [(1,)]  # reading changes nothing
    ask(out, "UPDATE items SET path = replace(path, '/old', ?)", str(tmp_path))
    code, said = run(model_file, tmp_path / "photos", tmp_path / "more", "--out", out)
    assert (code, "5 masks, " in said) == (0, True), said  # the masks were not there
    save(tmp_path / "photos" / "new.png")
    code, said = run(model_file, tmp_path / "photos", "--out", out)
    assert (code, "1 mask, 0 failed, 3 unchanged" in said) == (0, True), said
    expected = {"photos/new.png", *(f"photos/{n:03}.png" for n in range(3)), *(f"more/{n:03}.png" for n in range(2))}
    assert masks(out) == expected
    assert ask(out, "PRAGMA user_version") == [(5,)]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_remark_on_an_image_is_in_its_row_and_in_what_is_said(
    model_file: Path, tmp_path: Path, processes: str
) -> None:
    """Samples of 12 bits in 16: read as such, and said."""
    save_many(tmp_path / "photos", 2)
    deep = spot(48, 64)[..., 0].astype(np.uint16) * 16
    (tmp_path / "photos" / "deep.png").write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    out = tmp_path / "m"
    code, said = run(model_file, tmp_path / "photos", "--out", out, "--processes", processes)
    remark = "all samples lie below 4096 of 65535; read as 12 bits"
    assert (code, f"remark on 1 image: {remark}" in said) == (0, True), said
    assert f"remark on 1 image: {remark}" in seg_batch("status", out).stdout
    assert json.loads(seg_batch("status", out, "--json").stdout)["remarks"] == {remark: 1}
    assert seg_batch("table", out, tmp_path / "t.csv").returncode == 0
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = {Path(row["path"]).name: row["remark"] for row in csv.DictReader(file)}
    assert rows == {"000.png": "", "001.png": "", "deep.png": remark}


@pytest.mark.slow
def test_a_ledger_without_remarks_goes_on(model_file: Path, tmp_path: Path) -> None:
    """Format 2, as the release before wrote it."""
    save_many(tmp_path / "photos", 2)
    out = tmp_path / "m"
    assert run(model_file, tmp_path / "photos", "--out", out)[0] == 0
    ask(out, "ALTER TABLE items DROP COLUMN remark")
    ask(out, "ALTER TABLE items DROP COLUMN attempts")
    ask(out, "ALTER TABLE items DROP COLUMN suitable")
    ask(out, "UPDATE meta SET value = '2' WHERE key = 'format_version'")
    ask(out, "PRAGMA user_version = 2")
    assert seg_batch("status", out).returncode == seg_batch("table", out, tmp_path / "t.csv").returncode == 0
    assert ask(out, "PRAGMA user_version") == [(2,)]
    code, said = run(model_file, tmp_path / "photos", "--out", out)
    assert (code, "2 masks unchanged in " in said) == (0, True), said
    assert ask(out, "PRAGMA user_version") == [(5,)]


@pytest.mark.skipif(sys.platform != "linux", reason="the locale of POSIX")
def test_another_encoding_of_file_names_is_refused_in_words(model_file: Path, tmp_path: Path) -> None:
    save(tmp_path / "photos" / "ä.png")
    c_locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    code, said = run(model_file, tmp_path / "photos", "--out", tmp_path / "m", env=c_locale)
    assert (code, "PYTHONUTF8=1" in said) == (1, True), said
    assert not (tmp_path / "m").exists()
    assert run(model_file, tmp_path / "photos", "--out", tmp_path / "m")[0] == 0
    code, said = run(model_file, tmp_path / "photos", "--out", tmp_path / "m", env=c_locale)
    assert (code, "PYTHONUTF8=1" in said) == (1, True), said


def test_a_ledger_over_a_network_has_no_shared_memory(model_file: Path, tmp_path: Path) -> None:
    """The mount table says so; the file system here is a local one."""
    save(tmp_path / "photos" / "a.png")
    (tmp_path / "mounts").write_text(f"server:/x {tmp_path / 'far'} nfs4 rw 0 0\n")
    script = (
        "import batch.mounts, sys\nfrom pathlib import Path\n"
        f"batch.mounts.is_far.__defaults__ = (Path({str(tmp_path / 'mounts')!r}),)\n"
        "from batch.cli import main\nmain()"
    )
    line: list[str | Path] = [sys.executable, "-c", script, "run", tmp_path / "photos", "--out", tmp_path / "far"]
    line += ["--model", model_file, "--device", "cpu"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "network file system" in done.stderr
    assert ask(tmp_path / "far", "PRAGMA journal_mode") == [("delete",)]


@pytest.mark.slow
def test_a_ledger_without_attempts_goes_on(model_file: Path, tmp_path: Path) -> None:
    """Format 3, as the release before wrote it, from a run that was killed: one image is left to do."""
    save_many(tmp_path / "photos", 3)
    out = tmp_path / "m"
    assert run(model_file, tmp_path / "photos", "--out", out)[0] == 0
    ask(out, "ALTER TABLE items DROP COLUMN attempts")
    ask(out, "ALTER TABLE items DROP COLUMN suitable")
    ask(out, "UPDATE items SET status = 'pending' WHERE mask = '001.png'")
    ask(out, "UPDATE meta SET value = '3' WHERE key = 'format_version'")
    ask(out, "PRAGMA user_version = 3")
    before = masks_below(out)
    for arguments in (("status", out), ("table", out, tmp_path / "t.csv"), ("verify", out)):
        assert "Traceback" not in (ended := seg_batch(*arguments)).stderr
        assert ended.returncode in (0, 3), ended.stderr
    assert ask(out, "PRAGMA user_version") == [(3,)]
    code, said = run(model_file, tmp_path / "photos", "--out", out)
    assert (code, "1 mask, 0 failed, 2 unchanged" in said) == (0, True), said
    assert ask(out, "PRAGMA user_version") == [(5,)]
    assert ask(out, "SELECT value FROM meta WHERE key = 'format_version'") == [("5",)]
    assert ask(out, "SELECT status, attempts FROM items") == [("done", 0)] * 3
    assert masks_below(out) == before


@pytest.mark.slow
def test_confidences_of_two_definitions_are_told_apart(model_file: Path, tmp_path: Path) -> None:
    """Two images as the release before did them, whose runs name no definition; one new."""
    save_many(tmp_path / "photos", 2)
    out = tmp_path / "m"
    assert run(model_file, tmp_path / "photos", "--out", out)[0] == 0
    assert "confidence" not in seg_batch("status", out).stdout
    ask(out, "UPDATE runs SET settings = json_remove(settings, '$.confidence_by')")
    save(tmp_path / "photos" / "new.png")
    assert "1 mask, " in run(model_file, tmp_path / "photos", "--out", out)[1]
    assert seg_batch("table", out, tmp_path / "t.csv").returncode == 0
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = {Path(row["path"]).name: row["confidence_by"] for row in csv.DictReader(file)}
    former = "mean of max(p, 1 - p)"
    assert rows == {"000.png": former, "001.png": former, "new.png": "expected Dice"}
    said = seg_batch("status", out).stdout
    assert f"confidence: 2 by {former}, 1 by expected Dice; do not compare one kind with another" in said
    found = json.loads(seg_batch("status", out, "--json").stdout)
    assert found["confidence_by"] == {former: 2, "expected Dice": 1}
