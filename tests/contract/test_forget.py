"""``seg-batch forget``: an image and all that runs made of it go; nothing that no run made does."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from batch.cli import main
from tests.support.archive import archived_masks, command, masks_below, save, save_many, seg_batch

LAST_LINE = "the next run takes images that are still in their sources as new"


def invoke(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)


def run(out: Path | str, model: Path, *sources: str | Path, code: int = 0) -> str:
    done = invoke("run", *sources, "--out", out, "--model", model, "--device", "cpu")
    assert done.exit_code == code, done.output
    return done.output


def forget(*arguments: str | Path, code: int = 0, stdin: bytes | None = None) -> str:
    done = invoke("forget", *arguments, stdin=stdin)
    assert done.exit_code == code, done.output
    return done.output


def paths_in(out: Path) -> set[str]:
    """Return what a table of the output names, below the temporary folder of the test."""
    table = out.parent / "paths.csv"
    assert invoke("table", out, table).exit_code == 0
    with table.open(newline="") as file:
        return {row["path"] for row in csv.DictReader(file)}


def files_with(folder: Path, needle: bytes) -> list[str]:
    """Return the files below a folder that have these bytes, or names with them."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if needle in os.fsencode(path.relative_to(folder)) or (path.is_file() and needle in path.read_bytes())
    ]


def execute(ledger: Path, text: str, *values: object) -> None:
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute(text, values)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> Path:
    """Photographs in ``in``, one of them broken, and masks, overlays and maps of them; read-only by agreement."""
    root = tmp_path_factory.mktemp("made")
    save_many(root / "in" / "x", 3)
    save_many(root / "in" / "patient", 2)
    (root / "in" / "broken.png").write_bytes(b"no image")
    run(root / "out", model_file, root / "in", "--overlays", root / "pictures", "--probs", root / "maps", code=3)
    return root


@pytest.fixture
def work(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, as if the runs had been made there from the folder itself."""
    for name in ("in", "out", "pictures", "maps"):
        shutil.copytree(made / name, tmp_path / name)
    execute(
        tmp_path / "out" / "ledger.sqlite",
        "UPDATE items SET path = replace(path, ?1, ?2), source = replace(source, ?1, ?2)",
        *(str(made), str(tmp_path)),
    )
    execute(
        tmp_path / "out" / "ledger.sqlite", "UPDATE sources SET root = replace(root, ?, ?)", str(made), str(tmp_path)
    )
    for column in ("settings", "summary"):
        text = f"UPDATE runs SET {column} = replace({column}, ?, ?)"
        execute(tmp_path / "out" / "ledger.sqlite", text, str(made), str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pictures_below(work: Path) -> set[str]:
    return {
        path.relative_to(work).as_posix()
        for name in ("out", "pictures", "maps")
        for path in (work / name).rglob("*")
        if path.suffix in (".png", ".jpg")
    }


def test_an_image_goes_with_all_that_was_made_of_it(work: Path, model_file: Path) -> None:
    image = work / "in" / "x" / "001.png"
    before = pictures_below(work)
    done = forget("out", image)
    assert "1 image forgotten; removed: 1 mask, 1 overlay, 1 probability map" in done
    assert done.splitlines()[-1] == LAST_LINE
    assert before - pictures_below(work) == {"out/x/001.png", "pictures/x/001.jpg", "maps/x/001.png"}
    assert str(image) not in paths_in(work / "out")
    assert len(paths_in(work / "out")) == 5
    assert image.exists()
    assert invoke("verify", "out").exit_code == 0
    forget("out", image, code=1)
    assert "1 mask, " in run(work / "out", model_file, "in", "--overlays", "pictures", "--probs", "maps", code=3)
    assert pictures_below(work) == before


@pytest.mark.parametrize("spelling", ["in/x/001.png", "./in/../in/x/001.png", "linked/x/001.png"])
def test_a_path_as_it_was_named(work: Path, spelling: str) -> None:
    (work / "linked").symlink_to(work / "in")
    assert "1 image forgotten" in forget("out", spelling)


def test_what_is_not_known_is_said(work: Path) -> None:
    done = forget("out", "in/x/009.png", "in/x/000.png", "in/x", code=3)
    assert "1 image forgotten" in done
    assert "not known: in/x/009.png: not an image of this output" in done
    assert "not known: in/x: 3 images are below it; add --below to forget them" in done
    before = pictures_below(work)
    done = forget("out", "in/x", "in/x/*.png", code=1)
    assert LAST_LINE not in done
    assert pictures_below(work) == before
    assert invoke("forget", "out").exit_code == 2
    forget("none", "in/x", code=1)
    assert not (work / "none").exists()


def test_below_takes_a_folder_and_no_neighbour(work: Path, model_file: Path) -> None:
    save(work / "in" / "patient-2" / "a.png")
    run(work / "out", model_file, "in", code=3)
    assert "2 images forgotten" in forget("out", "--below", "in/patient/")
    assert not (work / "out" / "patient").exists()
    assert not (work / "pictures" / "patient").exists()
    assert {path for path in paths_in(work / "out") if "patient" in path} == {str(work / "in" / "patient-2" / "a.png")}
    assert "6 images forgotten" not in forget("out", "--below", "in", "in/x", "in")
    assert paths_in(work / "out") == set()
    assert pictures_below(work) == set()
    run(work / "out", model_file, "in", code=3)
    assert len(masks_below(work / "out")) == 6


def test_images_that_failed_are_tried_again(work: Path, model_file: Path) -> None:
    failed = seg_batch("status", "out", "--failed", "-0").stdout.encode()
    assert "1 image forgotten; removed: 0 masks" in forget("out", "--files-from", "-", stdin=failed)
    save(work / "in" / "broken.png")
    run(work / "out", model_file, "in")
    assert (work / "out" / "broken.png").exists()
    assert "0 images forgotten" in forget("out", "--files-from", "-", stdin=b"")


def test_lists(work: Path) -> None:
    (work / "list.txt").write_text("# those that withdrew\nin/x/000.png\n\nin/x/002.png\n")
    assert "2 images forgotten" in forget("out", "--files-from", "list.txt")
    assert invoke("forget", "out", "--files-from", "gone.txt").exit_code == 2


# What stays


def test_a_mask_that_was_changed_stays_with_its_image(work: Path) -> None:
    mask = work / "out" / "x" / "000.png"
    shutil.copy(work / "out" / "x" / "001.png", mask)
    before = pictures_below(work)
    done = forget("out", "in/x/000.png", "in/x/002.png", code=3)
    assert f"kept: {work}/in/x/000.png: out/x/000.png: it was changed after a run wrote it" in done
    assert before - pictures_below(work) == {"out/x/002.png", "pictures/x/002.jpg", "maps/x/002.png"}
    assert str(work / "in" / "x" / "000.png") in paths_in(work / "out")
    mask.unlink()
    assert "1 image forgotten; removed: 0 masks, 1 overlay, 1" in forget("out", "in/x/000.png")


def test_a_file_where_the_mask_of_a_failed_image_would_be_stays(work: Path, model_file: Path) -> None:
    save(work / "in" / "late.png")
    (work / "out" / "late.png").write_bytes(b"mine")
    run(work / "out", model_file, "in", code=3)
    done = forget("out", "in/late.png", code=3)
    assert "it is somebody else's, or was edited" in done
    assert (work / "out" / "late.png").read_bytes() == b"mine"
    (work / "out" / "late.png").unlink()
    assert "1 image forgotten; removed: 0 masks" in forget("out", "in/late.png")


@pytest.mark.parametrize("purge", [(), ("--purge",)])
def test_an_edited_mask_of_an_image_that_failed_then_is_said(
    work: Path, model_file: Path, purge: tuple[str, ...]
) -> None:
    mask = work / "out" / "x" / "000.png"
    save(mask)
    ended = invoke("run", "in", "--out", "out", "--model", model_file, "--device", "cpu", "--postprocess", "fill")
    assert ended.exit_code == 3, ended.output
    done = forget("out", "in/x/000.png", *purge, code=3)
    assert "out/x/000.png: no record says that a run made it" in done
    assert mask.exists()


def test_a_mask_that_no_record_is_of_stays(work: Path) -> None:
    execute(
        work / "out" / "ledger.sqlite", "UPDATE items SET status = 'pending', sha256 = NULL WHERE mask = 'x/000.png'"
    )
    done = forget("out", "in/x/000.png", code=3)
    assert "no record says that a run made it" in done
    assert (work / "out" / "x" / "000.png").exists()
    (work / "out" / "x" / "000.png").unlink()
    (work / "pictures" / "x" / "000.jpg").unlink()
    (work / "maps" / "x" / "000.png").unlink()
    assert "1 image forgotten" in forget("out", "in/x/000.png")


def test_a_mask_of_a_ledger_without_hashes_is_known_by_its_figures(work: Path) -> None:
    execute(work / "out" / "ledger.sqlite", "UPDATE items SET sha256 = NULL")
    shutil.copy(work / "out" / "x" / "001.png", work / "out" / "x" / "000.png")
    assert "1 image forgotten; removed: 1 mask" in forget("out", "in/x/000.png", "in/x/002.png", code=3)
    assert (work / "out" / "x" / "000.png").exists()


@pytest.mark.parametrize("mask", ["../in/x/000.png", "/etc/hostname", "x/../../in/x/000.png"])
def test_a_name_that_leads_out_of_the_output_removes_nothing(work: Path, mask: str) -> None:
    execute(work / "out" / "ledger.sqlite", "UPDATE items SET mask = ?, sha256 = NULL WHERE mask = 'x/000.png'", mask)
    assert "leads out of the output" in forget("out", "in/x/000.png", code=3)
    assert (work / "in" / "x" / "000.png").exists()


def test_a_folder_that_only_looks_like_that_of_overlays_is_left(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs named it by a path of their own, and photographs lie in a folder of that name here."""
    text = "UPDATE runs SET settings = replace(settings, ?, 'pictures')"
    execute(work / "out" / "ledger.sqlite", text, str(work / "pictures"))
    (work / "pictures").rename(work / "moved")
    save(work / "elsewhere" / "pictures" / "x" / "000.jpg")
    (work / "elsewhere" / "out").symlink_to(work / "out")
    monkeypatch.chdir(work / "elsewhere")
    done = forget("out", work / "in" / "x" / "000.png", code=1)
    assert "no folder with the mark of this output" in done
    assert (work / "out" / "x" / "000.png").exists()
    assert "removed: 1 mask, 1 overlay" in forget("out", work / "in/x/000.png", "--overlays", work / "moved")
    assert "removed: 1 mask, 0 overlays" in forget("out", work / "in/x/001.png", "--ignore-missing")
    assert (work / "elsewhere" / "pictures" / "x" / "000.jpg").exists()
    assert not (work / "moved" / "x" / "000.jpg").exists()


def test_a_folder_of_overlays_is_found_from_wherever_it_is_asked(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "UPDATE runs SET settings = replace(settings, ?, 'pictures')"
    execute(work / "out" / "ledger.sqlite", text, str(work / "pictures"))
    monkeypatch.chdir(work / "in")
    assert "removed: 1 mask, 1 overlay" in forget(work / "out", "x/000.png")


def test_an_output_in_use_is_refused(work: Path) -> None:
    from filelock import FileLock

    before = pictures_below(work)
    with FileLock(work / "out" / ".seg-batch.lock"):
        assert "Another run is writing" in forget("out", "in/x/000.png", code=1)
    assert pictures_below(work) == before


def test_a_killed_forget_is_done_again(work: Path) -> None:
    """Files go before rows: what is left is a row without files."""
    (work / "out" / "x" / "000.png").unlink()
    (work / "pictures" / "x" / "000.jpg").unlink()
    assert "1 image forgotten; removed: 0 masks, 0 overlays, 1 probability map" in forget("out", "in/x/000.png")


# Without a trace


def test_purge_leaves_no_trace(work: Path, model_file: Path) -> None:
    secret = save(work / "secret" / "smith_john.png")
    (work / "secret" / "list.txt").write_text(f"{secret}\n")
    run(work / "out", model_file, "in", "secret/smith_john.png", code=3)
    run(work / "out", model_file, "in", "--files-from", "secret/list.txt", secret, code=3)
    assert len(files_with(work / "out", b"smith_john")) >= 2
    done = forget("out", secret, "--purge")
    assert "purged: free pages are overwritten" in done
    assert done.splitlines()[-1] == LAST_LINE
    assert files_with(work / "out", b"smith_john") == []
    assert invoke("verify", "out").exit_code == 0
    assert invoke("status", "out").exit_code == 0
    assert len(paths_in(work / "out")) == 6
    with closing(sqlite3.connect(work / "out" / "ledger.sqlite")) as connection:
        settings = [json.loads(text) for (text,) in connection.execute("SELECT settings FROM runs")]
    assert settings[1]["sources"] == ["in", "(forgotten)"]
    assert settings[0]["sources"] == [str(work / "in")]
    assert run(work / "out", model_file, "in", code=3).count("5 unchanged") == 1


def test_a_trace_of_what_was_forgotten_before_can_be_purged_later(work: Path) -> None:
    text = "UPDATE runs SET summary = json_set(summary, '$.notes', json_array(?))"
    execute(work / "out" / "ledger.sqlite", text, f"seen {work}/in/patient/000.png: odd; {work}/in/patient/000.png.bak")
    forget("out", "in/patient/000.png")
    assert files_with(work / "out", b"patient/000.png")
    forget("out", "in/patient/000.png", "--purge", code=1)
    assert b"patient/000.png.bak" in (work / "out" / "ledger.sqlite").read_bytes()
    assert b"seen (forgotten): odd" in (work / "out" / "ledger.sqlite").read_bytes()


def test_a_source_of_which_nothing_is_left_is_purged(work: Path, model_file: Path) -> None:
    shutil.make_archive(str(work / "smith_john"), "zip", work / "in" / "x")
    run(work / "out", model_file, "in", "smith_john.zip", code=3)
    assert "3 images forgotten" in forget("out", "--below", "smith_john.zip", "--purge")
    assert files_with(work / "out", b"smith_john") == []
    assert len(paths_in(work / "out")) == 6
    run(work / "out", model_file, "in", code=3)


def test_purge_says_when_a_reader_stands_in_the_way(work: Path) -> None:
    with closing(sqlite3.connect(work / "out" / "ledger.sqlite")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM items").fetchone()
        done = forget("out", "in/x/000.png", "--purge", code=3)
        assert "is being read by another program" in done
    forget("out", "in/x/000.png", "--purge", code=1)
    assert files_with(work / "out", b"in/x/000.png") == []


def test_what_a_killed_run_left_half_written_is_purged(work: Path) -> None:
    half = work / "out" / "x" / ".000.4711-4712.tmp.png"
    half.write_bytes(b"half")
    forget("out", "in/x/000.png", "--purge")
    assert not half.exists()


# Other outputs


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("purge", [True, False])
def test_an_archive_is_written_anew_without_the_mask(
    made: Path, tmp_path: Path, model_file: Path, suffix: str, purge: bool
) -> None:
    out = tmp_path / "o" / f"masks{suffix}"
    run(out, model_file, made / "in", code=3)
    before = archived_masks(out)
    arguments = ["--purge"] if purge else []
    assert "1 mask, 0 overlays" in forget(out, made / "in" / "x" / "001.png", *arguments)
    mask = before.pop("x/001.png")
    assert archived_masks(out) == before
    assert mask not in out.read_bytes()
    if purge:
        assert files_with(tmp_path / "o", b"x/001.png") == []
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == [out.name, f"{out.name}.ledger"]
    assert invoke("verify", out).exit_code == 0
    forget(tmp_path / "o" / f"masks{suffix}.ledger", made / "in" / "x" / "000.png")
    run(out, model_file, made / "in", code=3)
    assert archived_masks(out) == dict(sorted({**before, "x/001.png": mask}.items()))


def test_an_archive_that_is_away_or_another_is_left(made: Path, tmp_path: Path, model_file: Path) -> None:
    out = tmp_path / "masks.zip"
    run(out, model_file, made / "in", code=3)
    out.rename(tmp_path / "moved.zip")
    assert "The masks are not at" in forget(out, made / "in/x/001.png", code=1)
    shutil.make_archive(str(tmp_path / "masks"), "zip", made / "out")
    foreign = out.read_bytes()
    assert "is not the archive that the runs of this ledger wrote" in forget(out, made / "in/x/001.png", code=1)
    assert out.read_bytes() == foreign
    out.unlink()
    assert "1 image forgotten" in forget(out, made / "in/x/001.png", "--ignore-missing")


def test_masks_at_a_url(made: Path, tmp_path: Path, model_file: Path, s3: Any) -> None:
    run("s3://masks/m", model_file, made / "in", "--ledger", tmp_path / "l", code=3)
    s3.pipe_file("masks/m/x/000.png", b"another")
    done = forget(tmp_path / "l", made / "in/x/000.png", made / "in/x/001.png", code=3)
    assert "1 image forgotten; removed: 1 mask" in done
    s3.invalidate_cache()
    assert "masks/m/x/001.png" not in s3.find("masks/m")
    assert s3.cat_file("masks/m/x/000.png") == b"another"


def test_odd_names_as_they_are_and_as_they_are_printed(tmp_path: Path, model_file: Path) -> None:
    names = [b"new\nline.png", b"caf\xe9.png", b"back\\x41slash.png", b"plain.png"]
    (tmp_path / "in").mkdir()
    for name in names:
        save(tmp_path / "one.png").rename(tmp_path / "in" / os.fsdecode(name))
    run(tmp_path / "out", model_file, tmp_path / "in")
    zeros = b"".join(os.fsencode(tmp_path / "in") + b"/" + name + b"\0" for name in names[:1])
    assert "1 image forgotten" in forget(tmp_path / "out", "--files-from", "-", stdin=zeros)
    done = seg_batch("forget", tmp_path / "out", os.fsencode(tmp_path / "in") + b"/" + names[1], "--purge")
    assert done.returncode == 0, done.stderr
    assert "caf\\xe9.png" in done.stdout
    assert "1 image forgotten" in forget(tmp_path / "out", tmp_path / "in" / "back\\x41slash.png")
    run(tmp_path / "out", model_file, tmp_path / "in")
    printed = [str(tmp_path / "in" / name) for name in ("new\\nline.png", "caf\\xe9.png")]
    assert "2 images forgotten" in forget(tmp_path / "out", *printed)
    assert set(masks_below(tmp_path / "out")) == {"back\\x41slash.png", "plain.png"}


def test_an_output_of_no_images(tmp_path: Path, model_file: Path) -> None:
    (tmp_path / "in").mkdir()
    run(tmp_path / "out", model_file, tmp_path / "in", code=3)
    assert "0 images forgotten" in forget(tmp_path / "out", tmp_path / "in" / "a.png", code=1)
    forget(tmp_path / "out", "--below", tmp_path / "in", "--purge", code=1)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_killed_at_any_moment_and_done_again(made: Path, tmp_path: Path, model_file: Path, suffix: str) -> None:
    for number in range(12):
        out = tmp_path / str(number) / f"masks{suffix}"
        run(out, model_file, made / "in", code=3)
        arguments = ("forget", out, "--below", made / "in" / "x", "--purge")
        started = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL)
        try:
            started.wait(0.15 + 0.05 * number)
        except subprocess.TimeoutExpired:
            started.kill()
        started.wait()
        done = invoke(*arguments)
        assert done.exit_code in (0, 1), done.output  # 1: it had come to its end
        left = archived_masks(out) if suffix else masks_below(out)
        assert set(left) == {"patient/000.png", "patient/001.png"}
        assert len(paths_in(out)) == 3
        assert invoke("verify", out).exit_code == 0
