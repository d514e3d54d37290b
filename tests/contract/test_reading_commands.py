"""What reads an output: status, verify, table, contours and score. They write nothing, and never guess."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from batch.cli import main
from tests.support.archive import command, masks_below, read_grey, save, save_many, seg_batch, spot

NOBODY = 65534
FORMAT_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, started_at TEXT NOT NULL, finished_at TEXT, key TEXT NOT NULL, model TEXT NOT NULL,
    model_sha256 TEXT NOT NULL, device TEXT NOT NULL, provider TEXT NOT NULL, precision TEXT NOT NULL,
    settings TEXT NOT NULL, tools TEXT NOT NULL, summary TEXT
);
CREATE TABLE items (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, source TEXT NOT NULL, mask TEXT NOT NULL,
    mask_key TEXT NOT NULL UNIQUE, status TEXT NOT NULL CHECK (status IN ('pending', 'done', 'failed')),
    bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, height INTEGER, width INTEGER, lesion_area INTEGER,
    lesion_fraction REAL, bbox_x0 INTEGER, bbox_y0 INTEGER, bbox_x1 INTEGER, bbox_y1 INTEGER, confidence REAL,
    seconds REAL, error TEXT, key TEXT, run INTEGER NOT NULL, finished_at TEXT
);
CREATE INDEX unfinished ON items (status, path) WHERE status <> 'done';
PRAGMA application_id = 1583459073;
PRAGMA user_version = 1;
"""


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def status_json(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(invoke("status", out, "--json").stdout)
    return found


def run(out: Path, model: Path, *sources: str | Path, code: int = 0) -> None:
    done = invoke("run", *sources, "--out", out, "--model", model, "--device", "cpu")
    assert done.exit_code == code, done.output


def change(ledger: Path, text: str) -> None:
    with closing(sqlite3.connect(ledger)) as connection:
        connection.executescript(text)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> Path:
    """Photographs in ``in``, one of them broken, and their masks in ``out``; read-only by agreement."""
    root = tmp_path_factory.mktemp("made")
    save_many(root / "in" / "a", 2)
    save_many(root / "in" / "b", 3)
    (root / "in" / "b" / "broken.png").write_bytes(b"no image")
    run(root / "out", model_file, root / "in", code=3)
    return root


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    """A copy of the output, to be changed."""
    return Path(shutil.copytree(made / "out", tmp_path / "out"))


# Nothing is written


def commands_that_read(out: Path, elsewhere: Path, truth: Path) -> list[list[str]]:
    return [
        ["status", str(out)],
        ["status", str(out), "--failed"],
        ["verify", str(out)],
        ["table", str(out), str(elsewhere / "t.csv")],
        ["contours", str(out), str(elsewhere / "c.json")],
        ["score", str(out), str(truth)],
    ]


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return all files and folders below with their sizes and times."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in [folder, *folder.rglob("*")]
    }


def read_all(out: Path, elsewhere: Path) -> None:
    """Use all commands, and expect them to change nothing."""
    for name in ("a", "b"):
        shutil.copytree(out / name, elsewhere / "truth" / name, dirs_exist_ok=True)
    before = state_of(out)
    for arguments in commands_that_read(out, elsewhere, elsewhere / "truth"):
        done = invoke(*arguments)
        assert done.exit_code == (3 if arguments[0] == "score" else 0), (arguments, done.output)
    assert state_of(out) == before
    with (elsewhere / "t.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 6
    assert len(json.loads((elsewhere / "c.json").read_text())["images"]) == 5


def test_reading_changes_nothing(out: Path, tmp_path: Path) -> None:
    read_all(out, tmp_path)


def test_reading_while_a_run_writes_changes_nothing(out: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(out / "ledger.sqlite")) as writer:  # as a run has it open
        writer.execute("UPDATE items SET error = 'said by the run' WHERE status = 'failed'")
        writer.commit()
        assert (out / "ledger.sqlite-wal").stat().st_size > 0
        read_all(out, tmp_path)
        assert "said by the run" in invoke("status", out).stdout


@pytest.mark.parametrize("with_index", [True, False])
def test_what_a_killed_run_left_is_read_and_left(out: Path, tmp_path: Path, with_index: bool) -> None:
    killed = tmp_path / "killed"
    with closing(sqlite3.connect(out / "ledger.sqlite")) as writer:
        writer.execute("UPDATE items SET error = 'said by the run' WHERE status = 'failed'")
        writer.commit()
        shutil.copytree(out, killed)
    if not with_index:  # as after a copy of the folder, or a mount of another system
        (killed / "ledger.sqlite-shm").unlink()
    read_all(killed, tmp_path)
    assert "said by the run" in invoke("status", killed).stdout


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_reading_an_archive_of_masks_changes_nothing(made: Path, tmp_path: Path, model_file: Path, suffix: str) -> None:
    out = tmp_path / "o" / f"masks{suffix}"
    run(out, model_file, made / "in", code=3)
    before = state_of(tmp_path / "o")
    for index in ("there", "gone"):
        assert "5 masks match the ledger" in invoke("verify", out).stdout
        assert invoke("contours", out, tmp_path / f"{index}.json").exit_code == 0
        assert state_of(tmp_path / "o") == before
        (tmp_path / "o" / f"masks{suffix}.ledger" / "members.sqlite").unlink(missing_ok=True)
        before = state_of(tmp_path / "o")


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_an_archive_that_grows_is_read(made: Path, tmp_path: Path, model_file: Path, suffix: str) -> None:
    """A run that was killed: the archive is a part, and another process may hold it."""
    from filelock import FileLock

    out = tmp_path / f"masks{suffix}"
    run(out, model_file, made / "in", code=3)
    change(tmp_path / f"masks{suffix}.ledger" / "members.sqlite", "UPDATE state SET complete_size = NULL")
    out.rename(tmp_path / f"masks{suffix}.part")
    with FileLock(tmp_path / f"masks{suffix}.ledger" / ".seg-batch.lock"):
        done = invoke("verify", out)
        assert (done.exit_code, done.stdout.split(";")[0]) == (0, "5 masks match the ledger, 0 do not"), done.output


@pytest.fixture
def shelf(made: Path) -> Iterator[Path]:
    """A folder where others may look, with a copy of the output that may only be read."""
    folder = Path(tempfile.mkdtemp(dir="/tmp" if Path("/tmp").is_dir() else None))
    folder.chmod(0o755)
    shutil.copytree(made / "out", folder / "out")
    shutil.copytree(made / "out", folder / "truth", ignore=shutil.ignore_patterns("*sqlite*", ".*"))
    yield folder
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.rmtree(folder)


AS_NOBODY = f"""
import json, os, sys
from click.testing import CliRunner
from batch.cli import main

warm, asked, folder = json.loads(sys.argv[1])
for arguments in warm:  # whatever they import may lie where only this user may look
    CliRunner().invoke(main, arguments)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
try:
    os.mkdir(os.path.join(folder, "new"))
except PermissionError:
    print(json.dumps([[found.exit_code, found.output] for found in (CliRunner().invoke(main, one) for one in asked)]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="rights of POSIX")
@pytest.mark.parametrize("left", ["nothing", "log", "log and index"])
def test_an_output_that_may_only_be_read(made: Path, shelf: Path, tmp_path: Path, left: str) -> None:
    out = shelf / "out"
    if left != "nothing":
        with closing(sqlite3.connect(out / "ledger.sqlite")) as writer:
            writer.execute("UPDATE items SET seconds = 1")
            writer.commit()
            for ending in ("-wal", "-shm") if left == "log and index" else ("-wal",):
                shutil.copy(out / f"ledger.sqlite{ending}", tmp_path / ending)
        for path in tmp_path.iterdir():
            shutil.copy(path, out / f"ledger.sqlite{path.name}")
    for path in [out, *out.rglob("*")]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = state_of(out)
    with tempfile.TemporaryDirectory() as elsewhere:
        Path(elsewhere).chmod(0o777)
        asked = commands_that_read(out, Path(elsewhere), shelf / "truth")
        warm = commands_that_read(made / "out", tmp_path, shelf / "truth")
        script = [sys.executable, "-c", AS_NOBODY, json.dumps([warm, asked, str(out)])]
        done = subprocess.run(script, capture_output=True, text=True, check=True)
    if not done.stdout:
        pytest.skip("no user here whom rights bind")
    for arguments, (code, output) in zip(asked, json.loads(done.stdout), strict=True):
        assert code == (3 if arguments[0] == "score" else 0), (arguments, output)
    assert state_of(out) == before


def test_a_ledger_of_the_first_format_is_read_as_it_is(out: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(out, old, ignore=shutil.ignore_patterns("*sqlite*"))
    change(old / "ledger.sqlite", FORMAT_1)
    columns = "id, path, source, mask, mask_key, status, bytes, mtime_ns, height, width, lesion_area, lesion_fraction, "
    columns += "bbox_x0, bbox_y0, bbox_x1, bbox_y1, confidence, seconds, error, key, run, finished_at"
    change(
        old / "ledger.sqlite",
        f"ATTACH '{out / 'ledger.sqlite'}' AS new; INSERT INTO meta SELECT * FROM new.meta; "
        "INSERT INTO runs SELECT id, started_at, finished_at, key, model, model_sha256, device, provider, precision, "
        f"settings, tools, summary FROM new.runs; INSERT INTO items ({columns}) SELECT {columns} FROM new.items;",
    )
    read_all(old, tmp_path)
    with closing(sqlite3.connect(old / "ledger.sqlite")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    edited = read_grey(old / "a" / "000.png").copy()
    edited[0, 0] = 255 - edited[0, 0]
    Image.fromarray(edited).save(old / "a" / "000.png")
    assert "lesion pixels; the ledger says" in invoke("verify", old).stdout


def test_a_ledger_behind_a_link_is_read_with_its_log(out: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "ledger.sqlite").symlink_to(out / "ledger.sqlite")
    with closing(sqlite3.connect(out / "ledger.sqlite")) as writer:
        writer.execute("UPDATE items SET error = 'in the log' WHERE status = 'failed'")
        writer.commit()
        assert "in the log" in invoke("status", linked).stdout
    assert sorted(path.name for path in linked.iterdir()) == ["ledger.sqlite"]


@pytest.mark.parametrize("name", ["status", "verify", "table", "contours"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no ledger in"),
        (b"", "is empty: the first run was killed"),
        (b"no database, though long enough to have a header of one" * 9, "cannot be read: file is not a database"),
    ],
)
def test_what_is_no_ledger_is_said_in_words(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    if content is not None:
        (folder / "ledger.sqlite").write_bytes(content)
    before = state_of(folder)
    files = {"table": [tmp_path / "t.csv"], "contours": [tmp_path / "c.json"]}.get(name, [])
    done = invoke(name, folder, *files)
    assert done.exit_code == 1
    assert message in done.stderr
    assert state_of(folder) == before


# What masks are


def test_verify_knows_masks_by_their_hashes(out: Path) -> None:
    mask = read_grey(out / "a" / "000.png")
    Image.fromarray(mask).save(out / "a" / "000.png")  # the same pixels in another file
    changed = read_grey(out / "b" / "001.png").copy()
    y, x = np.argwhere(changed)[len(np.argwhere(changed)) // 2]
    changed[y, x], changed[y, x + 1] = 255, 255
    moved = np.roll(changed, 0)
    inside = np.argwhere(moved)
    moved[tuple(inside[len(inside) // 2])] = 0
    Image.fromarray(moved).save(out / "b" / "001.png")
    done = invoke("verify", out, "--json")
    assert done.exit_code == 3
    found = json.loads(done.stdout)
    assert set(found["wrong"]) == {"a/000.png", "b/001.png"}
    assert all("changed since it was written" in reason for reason in found["wrong"].values())
    assert found["matching"] == 3


def test_verify_of_an_archive_knows_a_mask_that_was_changed(made: Path, tmp_path: Path, model_file: Path) -> None:
    out = tmp_path / "masks.tar"
    run(out, model_file, made / "in", code=3)
    data = bytearray(out.read_bytes())
    at = data.index(b"IDAT") + 6
    data[at] ^= 1
    out.write_bytes(data)
    done = invoke("verify", out)
    assert done.exit_code == 3
    assert "changed since it was written" in done.stdout


def test_images_that_failed_or_are_pending_are_no_wrong_masks(out: Path) -> None:
    change(out / "ledger.sqlite", "UPDATE items SET status = 'pending' WHERE mask = 'a/001.png'")
    done = invoke("verify", out)
    assert done.exit_code == 0, done.output
    assert "4 masks match the ledger, 0 do not; 1 image failed, 1 pending; 0 stray files" in done.stdout
    (out / "a" / "000.png").unlink()
    assert invoke("verify", out).exit_code == 3


def test_an_earlier_mask_of_an_image_that_failed_is_no_stray(out: Path) -> None:
    change(out / "ledger.sqlite", "UPDATE items SET status = 'failed', error = 'gone' WHERE mask = 'a/001.png'")
    assert invoke("verify", out).exit_code == 0
    masks = {entry["path"][-10:]: entry["mask"] for entry in status_json(out)["failures"]}
    assert masks == {"/a/001.png": "a/001.png", "broken.png": None}


def test_redo_is_refused_while_a_run_goes_on(out: Path) -> None:
    from filelock import FileLock

    (out / "a" / "000.png").unlink()
    with FileLock(out / ".seg-batch.lock"):
        done = invoke("verify", out, "--redo")
    assert done.exit_code == 1
    assert "Another run is writing" in done.stderr
    assert invoke("verify", out.parent / "none", "--redo").exit_code == 1
    assert not (out.parent / "none").exists()


# What failed


def test_failed_images_as_lines_and_as_raw_paths(tmp_path: Path, model_file: Path) -> None:
    save(tmp_path / "in" / "good.png")
    odd = [b"tab\there.png", b"new\nline.png", b"caf\xe9.png", b'comma, "quote".png']
    if sys.platform != "linux":
        odd = odd[3:]
    folder = os.fsencode(tmp_path / "in")
    for name in odd:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"no image")
    run(tmp_path / "out", model_file, tmp_path / "in", code=3)
    lines = invoke("status", tmp_path / "out", "--failed").stdout.splitlines()
    assert len(lines) == len(odd)
    assert all(len(line.split("\t")) == 2 and "expected" in line for line in lines)
    raw = subprocess.run(command("status", tmp_path / "out", "--failed", "-0"), capture_output=True, check=True).stdout
    assert sorted(raw.split(b"\0")) == sorted([b"", *(os.path.join(folder, name) for name in odd)])
    for name in odd:
        shutil.copy(os.path.join(folder, b"good.png"), os.path.join(folder, name))
    again = command("run", "-", "--out", tmp_path / "out", "--model", model_file, "--device", "cpu")
    done = subprocess.run(again, input=raw, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert status_json(tmp_path / "out")["counts"] == {"done": len(odd) + 1, "failed": 0, "pending": 0}


def test_raw_paths_of_what_is_a_usage_error(out: Path) -> None:
    for options in (["-0"], ["--failed", "--json"]):
        done = invoke("status", out, *options)
        assert done.exit_code == 2
        assert "--failed" in done.stderr
    assert invoke("status", out, "--failed").stdout.count("\n") == 1


# Which model


@pytest.fixture
def mixed(tmp_path: Path, model_file: Path) -> Path:
    """Three masks of 8 bits, and then, in a run that was stopped, two of 1 bit."""
    photos = save_many(tmp_path / "in", 3)
    run(tmp_path / "mixed", model_file, tmp_path / "in")
    (tmp_path / "mixed" / "001.png").unlink()
    options = ("--mask-bits", "1", "--limit", "2", "--model", str(model_file), "--device", "cpu")
    assert invoke("run", *photos, "--out", tmp_path / "mixed", *options).exit_code == 0
    return tmp_path / "mixed"


def test_masks_of_two_settings_are_seen(mixed: Path, tmp_path: Path, model_file: Path) -> None:
    text = invoke("status", mixed).stdout
    assert f"1 of 3 masks were made with other settings than the last run (model {model_file}, sha256 " in text
    assert "run again to remake them" in text
    found = status_json(mixed)
    assert sorted(model["done"] for model in found["models"]) == [1, 2]
    assert found["by_another_model_or_settings"] == 1
    assert invoke("table", mixed, tmp_path / "t.jsonl").exit_code == 0
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert len({row["key"] for row in rows}) == 2
    assert {row["model_sha256"] for row in rows} == {model["model_sha256"] for model in found["models"]}
    assert len({row["sha256"] for row in rows}) == 3
    shutil.copytree(mixed, tmp_path / "truth", ignore=shutil.ignore_patterns("*sqlite*", ".*"))
    scored = invoke("score", mixed, tmp_path / "truth", "--json", "-")
    assert scored.exit_code == 0
    assert "warning: 1 of 3 masks were made with other settings" in scored.stderr
    assert len(json.loads(scored.stdout)["warnings"]) == 1
    contours = invoke("contours", mixed, tmp_path / "c.json")
    assert contours.exit_code == 0
    assert "warning: 1 of 3 masks were made with other settings" in contours.stderr
    assert len(json.loads((tmp_path / "c.json").read_text())["info"]["models"]) == 2


def test_masks_of_one_model_are_no_news(out: Path, tmp_path: Path) -> None:
    assert "run again to remake them" not in invoke("status", out).stdout
    assert "warning" not in invoke("contours", out, tmp_path / "c.json").stderr


def test_a_last_run_of_another_model_that_did_nothing_is_seen(out: Path) -> None:
    names = "started_at, finished_at, model, device, provider, precision, settings, tools, summary"
    change(
        out / "ledger.sqlite",
        f"INSERT INTO runs (key, model_sha256, {names}) SELECT 'other', 'ffff', {names} FROM runs LIMIT 1",
    )
    assert "5 of 5 masks were made with another model than the last run" in invoke("status", out).stdout


# Names in files


def test_coco_names_are_relative_and_tell_nothing_of_the_machine(out: Path, made: Path, tmp_path: Path) -> None:
    assert invoke("contours", out, tmp_path / "c.json").exit_code == 0
    text = (tmp_path / "c.json").read_text()
    names = [image["file_name"] for image in json.loads(text)["images"]]
    assert sorted(names) == ["a/000.png", "a/001.png", "b/000.png", "b/001.png", "b/002.png"]
    assert str(made) not in text


def test_coco_names_of_files_that_share_theirs(tmp_path: Path, model_file: Path) -> None:
    photos = [save(tmp_path / folder / "img.png") for folder in ("x/left", "x/right", "y/left")]
    photos.append(save(tmp_path / "other.png"))
    run(tmp_path / "out", model_file, *photos)
    assert invoke("contours", tmp_path / "out", tmp_path / "c.json").exit_code == 0
    names = [image["file_name"] for image in json.loads((tmp_path / "c.json").read_text())["images"]]
    assert sorted(names) == ["other.png", "x/left/img.png", "x/right/img.png", "y/left/img.png"]


def test_a_table_names_no_mask_that_is_not_there(out: Path, tmp_path: Path) -> None:
    assert invoke("table", out, tmp_path / "t.csv").exit_code == 0
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["mask"] for row in rows if row["status"] == "failed"] == [""]
    assert {row["mask"] for row in rows if row["mask"]} == set(masks_below(out))


@pytest.mark.skipif(sys.platform != "linux", reason="names that other systems refuse")
def test_odd_names_come_through_every_file(tmp_path: Path, model_file: Path) -> None:
    names = ["a\rb.png", "c\nd.png", 'e,"f".png', "tab\tx.png", "\x1b[31m.png"]
    for name in names:
        save(tmp_path / "in" / name)
    run(tmp_path / "out", model_file, tmp_path / "in")
    for suffix in ("csv", "jsonl"):
        assert invoke("table", tmp_path / "out", tmp_path / f"t.{suffix}").exit_code == 0
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        in_csv = [os.path.basename(row["path"]) for row in csv.DictReader(file)]
    in_json = [
        os.path.basename(json.loads(line)["path"])
        for line in (tmp_path / "t.jsonl").read_text("utf-8").split("\n")[:-1]
    ]
    assert sorted(in_csv) == sorted(in_json) == sorted(names)
    shutil.copytree(tmp_path / "out", tmp_path / "truth", ignore=shutil.ignore_patterns("*sqlite*", ".*"))
    assert invoke("score", tmp_path / "out", tmp_path / "truth", "--csv", tmp_path / "s.csv").exit_code == 0
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as file:
        assert sorted(row["image"] for row in csv.DictReader(file)) == sorted(names)


# Files that are there


PRECIOUS = b"a thing of the user's\n"


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (("table", "OUT", "FILE"), "notes.csv"),
        (("table", "OUT", "FILE"), "notes.jsonl"),
        (("table", "OUT", "FILE"), "notes.parquet"),
        (("contours", "OUT", "FILE"), "photo.jpg"),
        (("contours", "OUT", "FILE"), "annotations.json"),
        (("score", "OUT", "OUT", "--csv", "FILE"), "notes.csv"),
        (("score", "OUT", "OUT", "--csv", "FILE"), "photo.jpg"),
        (("score", "OUT", "OUT", "--json", "FILE"), "package.json"),
        (("score", "OUT", "OUT", "--json", "FILE"), "photo.jpg"),
        (("run", "IN", "--out", "NEW", "--device", "cpu", "--table", "FILE"), "notes.csv"),
        (("run", "IN", "--out", "NEW", "--device", "cpu", "--contours", "FILE"), "annotations.json"),
        (("run", "IN", "--out", "NEW", "--device", "cpu", "--contours", "FILE"), "photo.jpg"),
    ],
)
def test_files_of_the_user_are_not_replaced(made: Path, tmp_path: Path, arguments: tuple[str, ...], file: str) -> None:
    if file.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / file
    content = b'{"info": {"description": "COCO 2017 Dataset"}}' if file == "annotations.json" else PRECIOUS
    path.write_bytes(content)
    places = {"OUT": made / "out", "IN": made / "in", "NEW": tmp_path / "new", "FILE": path}
    done = invoke(*(places.get(argument, argument) for argument in arguments))
    assert done.exit_code in (1, 2), done.output
    assert str(path) in done.stderr
    assert path.read_bytes() == content
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "json"])
def test_files_of_ours_and_empty_ones_are_replaced(out: Path, tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    file = tmp_path / f"file.{suffix}"
    file.touch()
    for _ in range(2):
        done = invoke("contours" if suffix == "json" else "table", out, file)
        assert done.exit_code == 0, done.output
        assert file.stat().st_size > 0


def test_reports_of_scores_are_replaced(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out / "a", tmp_path / "truth" / "a")
    for _ in range(2):
        done = invoke("score", out, tmp_path / "truth", "--json", tmp_path / "s.json", "--csv", tmp_path / "s.csv")
        assert done.exit_code == 3, done.output
    (tmp_path / "file").touch()
    done = invoke("score", out, tmp_path / "truth", "--json", tmp_path / "file" / "s.json")
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr


# Whose truth


def circle(x: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return spot(60, 120, (x, 20, x + 20, 40))


def truth(path: Path, x: int) -> Path:
    mask = np.zeros((60, 120), np.uint8)
    mask[20:40, x : x + 20] = 255
    return save(path, mask)


def dice(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    summary: dict[str, Any] = json.loads(done.stdout)["summary"]
    return summary


@pytest.fixture(scope="module")
def two_persons(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> Path:
    """Photographs of two persons, both called IMG_7, and their masks in ``out``."""
    root = tmp_path_factory.mktemp("persons")
    for person, x in (("anna", 10), ("bert", 80)):
        save(root / "in" / person / "IMG_7.png", circle(x))
    run(root / "out", model_file, root / "in")
    return root


def test_one_truth_for_two_photographs_is_refused(two_persons: Path, tmp_path: Path) -> None:
    truth(tmp_path / "t" / "IMG_7.png", 10)
    done = invoke("score", two_persons / "out", tmp_path / "t")
    assert done.exit_code == 1
    assert "2 images (anna/IMG_7.png and bert/IMG_7.png) and 1 truth mask (IMG_7.png) have the id IMG_7" in done.stderr
    without_ledger = tmp_path / "masks"
    shutil.copytree(two_persons / "out", without_ledger, ignore=shutil.ignore_patterns("*sqlite*", ".*"))
    done = invoke("score", without_ledger, tmp_path / "t")
    assert done.exit_code == 1
    assert "anna/IMG_7.png and bert/IMG_7.png" in done.stderr


def test_two_truths_for_one_photograph_are_refused(tmp_path: Path, model_file: Path) -> None:
    save(tmp_path / "in" / "IMG_7.png")
    run(tmp_path / "out", model_file, tmp_path / "in")
    for person in ("anna", "bert"):
        truth(tmp_path / "t" / person / "IMG_7.png", 10)
    done = invoke("score", tmp_path / "out", tmp_path / "t")
    assert done.exit_code == 1
    assert "anna/IMG_7.png and bert/IMG_7.png" in done.stderr


def test_a_photograph_that_failed_may_be_the_one_of_a_truth(
    two_persons: Path, tmp_path: Path, model_file: Path
) -> None:
    shutil.copytree(two_persons / "in", tmp_path / "in")
    (tmp_path / "in" / "bert" / "IMG_7.png").write_bytes(b"no image")
    run(tmp_path / "out", model_file, tmp_path / "in", code=3)
    truth(tmp_path / "t" / "IMG_7.png", 80)
    assert "have the id IMG_7" in invoke("score", tmp_path / "out", tmp_path / "t").stderr


@pytest.mark.parametrize("of", ["run", "folder"])
def test_equal_folders_tell_whose_truth_it_is(two_persons: Path, tmp_path: Path, of: str) -> None:
    for person in ("anna", "bert"):
        shutil.copytree(two_persons / "out" / person, tmp_path / "t" / person)
    out = two_persons / "out"
    if of == "folder":
        out = Path(shutil.copytree(out, tmp_path / "masks", ignore=shutil.ignore_patterns("*sqlite*", ".*")))
    found = dice(invoke("score", out, tmp_path / "t", "--json", "-"))
    assert (found["count"], found["dice"]) == (2, 1.0)
    shutil.rmtree(tmp_path / "t" / "bert")
    done = invoke("score", out, tmp_path / "t", "--json", "-")
    assert json.loads(done.stdout)["masks_without_truth"] == ["bert/IMG_7.png"]
    assert (dice(done)["count"], dice(done)["dice"]) == (1, 1.0)


def test_parts_of_a_data_set_tell_whose_truth_it_is(tmp_path: Path, model_file: Path) -> None:
    data = tmp_path / "data"
    for part, x in (("Training", 10), ("Test", 80)):
        save(data / f"ISIC2018_Task1-2_{part}_Input" / "7.jpg", circle(x), quality=95)
    inputs = [data / f"ISIC2018_Task1-2_{part}_Input" for part in ("Training", "Test")]
    run(tmp_path / "out", model_file, *inputs)
    for part in ("Training", "Test"):
        mask = next(path for path in (tmp_path / "out").rglob("*.png") if part in str(path))
        target = data / f"ISIC2018_Task1_{part}_GroundTruth" / "7_segmentation.png"
        target.parent.mkdir(parents=True)
        shutil.copy(mask, target)
    found = dice(invoke("score", tmp_path / "out", data, "--json", "-"))
    assert (found["count"], found["dice"]) == (2, 1.0)


def test_truth_masks_that_were_segmented_are_refused(tmp_path: Path, model_file: Path) -> None:
    data = tmp_path / "data"
    save(data / "images" / "7.jpg", circle(10))
    mask = truth(data / "masks" / "7.png", 10)
    run(tmp_path / "out", model_file, data / "images", mask)  # as older releases did for the folder above
    done = invoke("score", tmp_path / "out", data)
    assert done.exit_code == 1
    assert "The truth masks themselves were segmented as photographs" in done.stderr
    assert str(mask) in done.stderr
    run(tmp_path / "only", model_file, mask)
    assert "The truth masks themselves" in invoke("score", tmp_path / "only", data).stderr
    data.rename(tmp_path / "moved")  # then the paths no longer tell, but there are two for one
    assert "have the id 7" in invoke("score", tmp_path / "out", tmp_path / "moved").stderr


def test_ids_pair_what_folders_do_not(two_persons: Path, tmp_path: Path, model_file: Path) -> None:
    for number, x in (("1", 10), ("2", 80)):
        save(tmp_path / "in" / f"part_{number}" / f"ISIC_{number}.png", circle(x))
    run(tmp_path / "out", model_file, tmp_path / "in")
    for number in "12":
        target = tmp_path / "t" / f"ISIC_{number}_segmentation.png"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(tmp_path / "out" / f"part_{number}" / f"ISIC_{number}.png", target)
    assert dice(invoke("score", tmp_path / "out", tmp_path / "t", "--json", "-"))["count"] == 2


def test_truths_are_known_by_the_endings_that_training_knows(tmp_path: Path, model_file: Path) -> None:
    for name in ("7", "8_label"):
        save(tmp_path / "in" / f"{name}.png", circle(10))
    run(tmp_path / "out", model_file, tmp_path / "in")
    for name in ("7", "8_label"):
        (tmp_path / "t").mkdir(exist_ok=True)
        shutil.copy(tmp_path / "out" / f"{name}.png", tmp_path / "t" / f"{name}_gt.png")
    assert dice(invoke("score", tmp_path / "out", tmp_path / "t", "--json", "-"))["count"] == 2


def test_a_truth_beside_its_photograph_that_was_segmented_with_it_is_refused(tmp_path: Path, model_file: Path) -> None:
    save(tmp_path / "in" / "7.png", circle(10))
    truth(tmp_path / "in" / "7_gt.png", 10)
    run(tmp_path / "out", model_file, tmp_path / "in")
    (tmp_path / "t").mkdir()
    shutil.copy(tmp_path / "in" / "7_gt.png", tmp_path / "t")
    done = invoke("score", tmp_path / "out", tmp_path / "t")
    assert done.exit_code == 1
    assert "have the id 7" in done.stderr


def test_the_command_itself(out: Path) -> None:
    done = seg_batch("verify", out)
    assert (done.returncode, done.stderr) == (0, "")
