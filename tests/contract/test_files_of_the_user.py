"""A run writes, replaces or removes only what its output's ledger made; and outputs are never taken for photographs."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.archive import command, masks_below, save, save_many, seg_batch, spot

LEDGER_NAME = "ledger.sqlite"
PATIENCE = 120.0


def run(model_file: Path, *arguments: str | Path, cwd: Path | None = None) -> tuple[int, str]:
    """Run; return the exit code and what was said."""
    line = command("run", *arguments, "--model", model_file, "--device", "cpu")
    ended = subprocess.run(line, capture_output=True, text=True, check=False, cwd=cwd, errors="backslashreplace")
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stderr


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder that are not ours, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".seg-batch" not in path.name and LEDGER_NAME not in path.name
    }


def rows(out: Path, columns: str = "status") -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(out / LEDGER_NAME)) as connection:
        return list(connection.execute(f"SELECT {columns} FROM items ORDER BY path"))


def photos_of(folder: Path, count: int = 3, suffix: str = ".jpg") -> Path:
    for number, path in enumerate(save_many(folder / "made", count)):
        shutil.move(path, folder / f"p{number}{suffix}")
    (folder / "made").rmdir()
    return folder


@pytest.mark.parametrize("option", ["--overlays", "--probs"])
@pytest.mark.parametrize("named", ["list", "files"])
def test_photographs_are_not_overwritten_by_pictures(model_file: Path, tmp_path: Path, option: str, named: str) -> None:
    photos = photos_of(tmp_path / "photos", suffix=".jpg" if option == "--overlays" else ".png")
    before = snapshot(photos)
    (tmp_path / "list").write_text("\n".join(sorted(before)))
    sources: list[str | Path] = ["--files-from", tmp_path / "list"] if named == "list" else list(before)
    code, said = run(model_file, *sources, "--out", tmp_path / "m", option, ".", cwd=photos)
    assert code in (1, 2), said
    assert snapshot(photos) == before


def test_photographs_are_not_overwritten_by_masks(model_file: Path, tmp_path: Path) -> None:
    photos = photos_of(tmp_path / "photos", suffix=".png")
    before = snapshot(photos)
    (tmp_path / "list").write_text("\n".join(sorted(before)))
    code, _ = run(model_file, "--files-from", tmp_path / "list", "--out", ".", "--name", "{name}", cwd=photos)
    assert code != 0
    assert snapshot(photos) == before


@pytest.mark.slow
def test_a_file_that_appeared_in_the_output_stays(model_file: Path, tmp_path: Path) -> None:
    photos, out = photos_of(tmp_path / "photos"), tmp_path / "m"
    (photos / "p1.jpg").write_bytes(b"broken")
    assert run(model_file, photos, "--out", out)[0] == 3
    (out / "p1.png").write_bytes(b"drawn by hand, since the photograph was broken")
    save(photos / "p1.jpg", spot(50, 60))
    save(photos / "p9.jpg", spot(50, 60))
    (out / "p9.png").write_bytes(b"somebody else's")
    code, said = run(model_file, photos, "--out", out)
    assert code == 3
    assert said.count("  name of its mask is taken\n") == 2
    told = seg_batch("status", out).stdout
    assert told.count("a file of that name exists, and no run of this output made it") == 2
    assert (out / "p1.png").read_bytes().startswith(b"drawn by hand")
    assert (out / "p9.png").read_bytes() == b"somebody else's"
    for name in ("p1.png", "p9.png"):
        (out / name).unlink()
    assert run(model_file, photos, "--out", out)[0] == 0


@pytest.mark.slow
def test_a_link_in_the_output_leads_to_no_photograph(model_file: Path, tmp_path: Path) -> None:
    photos, archive = photos_of(tmp_path / "photos", suffix=".png"), photos_of(tmp_path / "in" / "sub", suffix=".jpg")
    before = snapshot(photos)
    (tmp_path / "m").mkdir()
    code, said = run(model_file, save(tmp_path / "x.jpg"), "--out", tmp_path / "m")
    assert code == 0, said
    (tmp_path / "m" / "sub").symlink_to(photos)
    run(model_file, archive.parent, "--out", tmp_path / "m")
    assert snapshot(photos) == before


@pytest.mark.slow
@pytest.mark.parametrize("how", ["folder", "list", "zip"])
def test_a_source_that_is_away_costs_no_mask(model_file: Path, tmp_path: Path, how: str) -> None:
    photos, out = photos_of(tmp_path / "photos"), tmp_path / "m"
    (tmp_path / "list").write_text("\n".join(str(path) for path in sorted(photos.iterdir())))
    shutil.make_archive(str(tmp_path / "photos"), "zip", photos)
    named: dict[str, list[str | Path]] = {
        "folder": [photos], "list": ["--files-from", tmp_path / "list"], "zip": [tmp_path / "photos.zip"]
    }  # fmt: skip
    sources = named[how]
    assert run(model_file, *sources, "--out", out)[0] == 0
    before = masks_below(out)
    away = tmp_path / "away"
    (tmp_path / "photos.zip" if how == "zip" else photos).rename(away)
    if how == "folder":
        photos.mkdir()  # an empty mount point
    code, said = run(model_file, *sources, "--out", out)
    assert code != 0, said
    assert masks_below(out) == before
    if how == "folder":
        assert "holds no images now, but earlier runs found 3 in it" in said
        assert "stopped early" not in seg_batch("status", out).stdout
        photos.rmdir()
    away.rename(tmp_path / "photos.zip" if how == "zip" else photos)
    code, said = run(model_file, *sources, "--out", out)
    assert (code, "3 masks unchanged" in said) == (0, True), said
    assert {status for (status,) in rows(out)} == {"done"}


@pytest.mark.slow
def test_a_photograph_that_is_broken_now_loses_its_mask_and_its_pictures(model_file: Path, tmp_path: Path) -> None:
    photos, out = photos_of(tmp_path / "photos"), tmp_path / "m"
    options = ("--out", out, "--overlays", tmp_path / "drawn", "--probs", tmp_path / "maps")
    assert run(model_file, photos, *options)[0] == 0
    (photos / "p1.jpg").write_bytes(b"broken now")
    assert run(model_file, photos, *options)[0] == 3
    for folder in (out, tmp_path / "drawn", tmp_path / "maps"):
        assert sorted(path.stem for path in folder.iterdir() if path.suffix in (".png", ".jpg")) == ["p0", "p2"]


@pytest.mark.slow
def test_an_overlay_that_cannot_be_drawn_costs_no_mask(model_file: Path, tmp_path: Path) -> None:
    photos, out = photos_of(tmp_path / "photos"), tmp_path / "m"
    (tmp_path / "list").write_text("\n".join(str(path) for path in sorted(photos.iterdir())))
    assert run(model_file, "--files-from", tmp_path / "list", "--out", out)[0] == 0
    before = masks_below(out)
    size, state = (photos / "p1.jpg").stat().st_size, (photos / "p1.jpg").stat()
    (photos / "p1.jpg").write_bytes(b"x" * size)
    os.utime(photos / "p1.jpg", ns=(state.st_atime_ns, state.st_mtime_ns))
    code, said = run(model_file, "--files-from", tmp_path / "list", "--out", out, "--overlays", tmp_path / "drawn")
    assert (code, "1 failed" in said) == (3, True), said
    assert masks_below(out) == before


@pytest.mark.slow
def test_outputs_are_no_photographs_for_later_runs(model_file: Path, tmp_path: Path) -> None:
    photos = photos_of(tmp_path / "photos")
    places = ("--out", photos / "masks", "--ledger", tmp_path / "book", "--overlays", photos / "drawn")
    assert run(model_file, photos, *places, "--probs", photos / "maps")[0] == 0
    code, said = run(model_file, photos, "--out", tmp_path / "m2")
    assert (code, "3 masks, " in said) == (0, True), said
    assert said.count("output folder ") == 3
    listed = subprocess.run(["find", photos, "-type", "f", "-print0"], capture_output=True, check=True).stdout
    line = command("run", "-", "--out", tmp_path / "m3", "--model", model_file, "--device", "cpu")
    done = subprocess.run(line, input=listed, capture_output=True, check=False)
    assert b"\n3 masks, " in done.stderr, done.stderr


def test_a_foreign_ledger_hides_nothing(model_file: Path, tmp_path: Path) -> None:
    photos = photos_of(tmp_path / "photos")
    (photos / LEDGER_NAME).write_bytes(b"of a hardware wallet")
    code, said = run(model_file, photos, "--out", tmp_path / "m")
    assert (code, "3 masks, " in said) == (0, True), said


def test_one_folder_takes_one_kind_of_picture(model_file: Path, tmp_path: Path) -> None:
    photos = photos_of(tmp_path / "photos")
    for options in (["--probs", "m"], ["--overlays", "./m"], ["--overlays", "o", "--probs", "o"]):
        code, said = run(model_file, photos, "--out", "m", *options, cwd=tmp_path)
        assert (code, "are one folder" in said) == (2, True), said


@pytest.mark.slow
def test_the_pictures_of_another_output_stay(model_file: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        photos_of(tmp_path / name)
    assert run(model_file, tmp_path / "one", "--out", tmp_path / "m1", "--overlays", tmp_path / "drawn")[0] == 0
    before = snapshot(tmp_path / "drawn")
    code, said = run(model_file, tmp_path / "two", "--out", tmp_path / "m2", "--overlays", tmp_path / "drawn")
    assert (code, "a run of another output made" in said) == (1, True), said
    assert snapshot(tmp_path / "drawn") == before
    (tmp_path / "drawn" / "p0.jpg").unlink()
    assert run(model_file, tmp_path / "one", "--out", tmp_path / "m1", "--overlays", tmp_path / "drawn")[0] == 0
    assert snapshot(tmp_path / "drawn").keys() == before.keys()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_of_somebody_else_is_not_taken_for_ours(model_file: Path, tmp_path: Path, kind: str) -> None:
    photos, out = photos_of(tmp_path / "photos"), tmp_path / f"masks.{kind}"
    assert run(model_file, photos, "--out", out)[0] == 0
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.txt").write_text("years of work")
    out.unlink()
    shutil.make_archive(str(tmp_path / "masks"), kind, tmp_path / "own")
    before = out.read_bytes()
    code, said = run(model_file, photos, "--out", out)
    assert (code, "If it was replaced" in said) == (1, True), said
    assert out.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
@pytest.mark.parametrize("how", ["removed", "moved", "ledger removed"])
def test_an_output_that_is_taken_away_ends_the_run(model_file: Path, tmp_path: Path, how: str) -> None:
    photos, out = tmp_path / "photos", tmp_path / "m"
    save(tmp_path / "large.png", spot(1500, 2000), compress_level=1)
    photos.mkdir()
    for number in range(250):
        os.link(tmp_path / "large.png", photos / f"{number:03}.png")
    line = command(
        "run", photos, "--out", out, "--model", model_file, "--device", "cpu", "--processes", "2", "--workers", "1"
    )
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE
    while len(list(out.glob("*.png"))) < 5:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    if how == "removed":
        out.rename(tmp_path / "gone")
        shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    elif how == "moved":
        out.rename(tmp_path / "m2")
    else:
        for path in out.glob(f"{LEDGER_NAME}*"):
            path.unlink()
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, said
    assert "Traceback" not in said
    if how == "moved":
        done = {mask for mask, status in rows(tmp_path / "m2", "mask, status") if status == "done"}
        assert done <= {path.name for path in (tmp_path / "m2").glob("*.png")} | {p.name for p in out.glob("*.png")}
        assert not out.exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_a_ledger_is_a_file_of_ours_and_each_other_thing_has_its_words(model_file: Path, tmp_path: Path) -> None:
    photos = photos_of(tmp_path / "photos")
    foreign = tmp_path / "precious.sqlite"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE t (x)")
    before = foreign.read_bytes()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / LEDGER_NAME).symlink_to(foreign)
    code, said = run(model_file, photos, "--out", tmp_path / "linked")
    assert (code, "is a database of another program" in said or "is a link to" in said) == (1, True), said
    assert foreign.read_bytes() == before
    assert run(model_file, photos, "--out", tmp_path / "m")[0] == 0
    (tmp_path / "m" / LEDGER_NAME).rename(tmp_path / "book.sqlite")
    (tmp_path / "m" / LEDGER_NAME).symlink_to(tmp_path / "book.sqlite")
    code, said = run(model_file, photos, "--out", tmp_path / "m")
    assert (code, "is a link to" in said) == (1, True), said
    (tmp_path / "folder" / LEDGER_NAME).mkdir(parents=True)
    code, said = run(model_file, photos, "--out", tmp_path / "folder")
    assert (code, "is not a regular file" in said) == (1, True), said


@pytest.mark.slow
def test_an_empty_ledger_is_no_ledger_yet(model_file: Path, tmp_path: Path) -> None:
    photos, out = photos_of(tmp_path / "photos"), tmp_path / "m"
    out.mkdir()
    (out / LEDGER_NAME).touch()
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as ledger:  # a run was killed before it made the tables
        ledger.execute("PRAGMA journal_mode = WAL")
    (tmp_path / "m1").mkdir()
    shutil.copy(tmp_path / LEDGER_NAME, tmp_path / "m1")
    assert (tmp_path / "m1" / LEDGER_NAME).stat().st_size
    code, said = run(model_file, photos, "--out", tmp_path / "m1")
    assert (code, "3 masks, " in said) == (0, True), said
    code, said = run(model_file, photos, "--out", out)
    assert (code, "3 masks, " in said) == (0, True), said
    (tmp_path / "m2").mkdir()
    (tmp_path / "m2" / LEDGER_NAME).touch()
    (tmp_path / "m2" / "own.png").write_bytes(b"somebody's")
    code, said = run(model_file, photos, "--out", tmp_path / "m2")
    assert (code, "own.png" in said) == (1, True), said


@pytest.mark.slow
def test_a_run_that_was_killed_when_it_had_begun_the_log_of_the_ledger(model_file: Path, tmp_path: Path) -> None:
    photos, out = photos_of(tmp_path / "photos"), tmp_path / "m"
    assert run(model_file, photos, "--out", out)[0] == 0
    left = tmp_path / "as a kill leaves it"
    with closing(sqlite3.connect(out / LEDGER_NAME)) as ledger:
        ledger.execute("SELECT * FROM items").fetchall()
        shutil.copytree(out, left)
        ledger.execute("UPDATE items SET seconds = 7")
        ledger.commit()
        log = (out / f"{LEDGER_NAME}-wal").read_bytes()
    (left / f"{LEDGER_NAME}-wal").write_bytes(log[:32])  # its header, and nothing yet
    done = seg_batch("status", left)
    assert done.returncode == 0, done.stderr
    code, said = run(model_file, photos, "--out", left)
    assert (code, "3 masks unchanged" in said) == (0, True), said


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "setresuid"), reason="POSIX users")
def test_two_users_may_share_an_output(model_file: Path, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can be two users")
    photos, shared = photos_of(tmp_path / "photos"), tmp_path / "shared"
    shared.mkdir()
    for folder in (*tmp_path.parents, tmp_path, shared):
        if os.stat(folder).st_uid == 0 and str(folder).startswith(("/tmp/", "/var/tmp")):
            folder.chmod(folder.stat().st_mode | 0o055)
    shared.chmod(0o777)
    shutil.copy(model_file, tmp_path / "model.onnx")

    def as_user(number: int, umask: int, *sources: Path) -> subprocess.CompletedProcess[str]:
        line = command("run", *sources, "--out", shared / "m", "--model", tmp_path / "model.onnx", "--device", "cpu")
        home = tmp_path / f"home{number}"
        home.mkdir(exist_ok=True)
        os.chown(home, number, number)
        environment = {**os.environ, "HOME": str(home), "SEGLAB_CACHE": str(home / "cache")}
        return subprocess.run(
            line, capture_output=True, text=True, check=False, env=environment, user=number, group=5000,
            extra_groups=[], umask=umask, cwd=tmp_path,
        )  # fmt: skip

    try:
        first = as_user(5001, 0o002, photos / "p0.jpg")
    except PermissionError:
        pytest.skip("another user cannot start this Python")
    assert first.returncode == 0, first.stderr
    second = as_user(5002, 0o002, photos)
    assert (second.returncode, "1 mask unchanged" in second.stderr) == (0, True), second.stderr
    for path in (shared / "m").iterdir():
        if path.is_file() and "sqlite" in path.name:
            path.chmod(0o644)
            os.chown(path, 5001, 5000)
    third = as_user(5002, 0o002, photos)
    assert third.returncode == 1
    assert f"{LEDGER_NAME} in it belongs to" in third.stderr or "readonly" in third.stderr, third.stderr


@pytest.mark.slow
def test_two_runs_with_two_ledgers_share_no_folder(model_file: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    save(tmp_path / "large.png", spot(1500, 2000), compress_level=1)
    for number in range(100):
        os.link(tmp_path / "large.png", photos / f"{number:03}.png")
    line = command("run", "-", "--out", tmp_path / "m", "--model", model_file, "--device", "cpu")
    process = subprocess.Popen(
        [*line, "--ledger", tmp_path / "one"],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=photos,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write("".join(f"{number:03}.png\n" for number in range(100)))  # more may come: it does not end
    process.stdin.flush()
    deadline = time.monotonic() + PATIENCE
    while not (tmp_path / "one" / LEDGER_NAME).exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    code, said = run(model_file, photos, "--out", tmp_path / "m", "--ledger", tmp_path / "two")
    process.kill()
    process.communicate()
    assert (code, "Another run is writing" in said) == (1, True), said


@pytest.mark.slow
def test_reading_leaves_nothing(model_file: Path, tmp_path: Path) -> None:
    photos = photos_of(tmp_path / "photos")
    for out in (tmp_path / "m", tmp_path / "m.zip"):
        assert run(model_file, photos, "--out", out)[0] == 0
        before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
        for words in (("status", out), ("verify", out)):
            assert seg_batch(*words).returncode == 0
        assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_a_trace_replaces_no_file_of_somebody_else(model_file: Path, tmp_path: Path) -> None:
    photos = photos_of(tmp_path / "photos")
    before = snapshot(photos)
    for name in ("p0.jpg", "notes.json"):
        (tmp_path / "notes.json").write_text('{"years": "of work"}')
        place = photos / name if name in before else tmp_path / name
        code, said = run(model_file, photos, "--out", tmp_path / "m", "--profile", place)
        assert code in (1, 2), said
        assert snapshot(photos) == before
        assert (tmp_path / "notes.json").read_text() == '{"years": "of work"}'
    for _ in range(2):
        assert run(model_file, photos, "--out", tmp_path / "m", "--profile", tmp_path / "trace.json")[0] == 0


@pytest.mark.slow
def test_a_map_is_written_only_with_its_mask(model_file: Path, tmp_path: Path) -> None:
    photos, out = photos_of(tmp_path / "photos"), tmp_path / "m"
    assert run(model_file, photos, "--out", out, "--probs", tmp_path / "maps")[0] == 0
    save(photos / "p9.jpg")
    (out / "p9.png").write_bytes(b"somebody else's")
    assert run(model_file, photos, "--out", out, "--probs", tmp_path / "maps")[0] == 3
    assert not (tmp_path / "maps" / "p9.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--overlays", "--probs"])
def test_pictures_of_the_user_in_our_folders_stay(model_file: Path, tmp_path: Path, option: str) -> None:
    photos, out, drawn = photos_of(tmp_path / "photos"), tmp_path / "m", tmp_path / "drawn"
    assert run(model_file, photos, "--out", out, option, drawn)[0] == 0
    save(photos / "p9.jpg")
    own = drawn / ("p9.jpg" if option == "--overlays" else "p9.png")
    own.write_bytes(b"somebody's own")
    code, said = run(model_file, photos, "--out", out, option, drawn)
    assert (code, "p9.jpg  name of its picture is taken\n" in said) == (3, True), said
    assert f"The picture {own} cannot be written" in seg_batch("status", out).stdout
    assert own.read_bytes() == b"somebody's own"
    assert not (out / "p9.png").exists()
    own.unlink()
    assert run(model_file, photos, "--out", out, option, drawn)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("then", ["changed", "broken"])
def test_what_took_the_place_of_a_mask_stays(model_file: Path, tmp_path: Path, then: str) -> None:
    photos, out = photos_of(tmp_path / "photos"), tmp_path / "m"
    assert run(model_file, photos, "--out", out)[0] == 0
    (out / "p1.png").write_bytes(b"drawn by hand, better")
    if then == "changed":
        save(photos / "p1.jpg", spot(61, 77))
    else:
        (photos / "p1.jpg").write_bytes(b"broken now")
    for _ in range(2):
        code, said = run(model_file, photos, "--out", out)
        assert code == 3, said
        assert (out / "p1.png").read_bytes() == b"drawn by hand, better"
    if then == "changed":
        (out / "p1.png").unlink()
        assert run(model_file, photos, "--out", out)[0] == 0


@pytest.mark.slow
def test_a_folder_in_an_output_that_became_a_link_leads_to_no_photograph(model_file: Path, tmp_path: Path) -> None:
    photos, out = photos_of(tmp_path / "photos" / "s").parent, tmp_path / "m"
    user = photos_of(tmp_path / "user", suffix=".png")
    before = snapshot(user)
    assert run(model_file, photos, "--out", out)[0] == 0
    shutil.move(out / "s", tmp_path / "away")
    (out / "s").symlink_to(user)
    for path in (photos / "s").iterdir():
        os.utime(path)
    run(model_file, photos, "--out", out)
    assert snapshot(user) == before


@pytest.mark.slow
def test_the_ledger_of_another_output_is_refused(model_file: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert run(model_file, photos_of(tmp_path / name), "--out", tmp_path / f"m-{name}")[0] == 0
    for name in ("one", "two"):
        (tmp_path / f"m-{name}" / LEDGER_NAME).rename(tmp_path / name / LEDGER_NAME)
    (tmp_path / "one" / LEDGER_NAME).rename(tmp_path / "m-two" / LEDGER_NAME)
    (tmp_path / "two" / LEDGER_NAME).rename(tmp_path / "m-one" / LEDGER_NAME)
    before = snapshot(tmp_path / "m-one")
    code, said = run(model_file, tmp_path / "two", "--out", tmp_path / "m-one")
    assert (code, "belongs to another output than the ledger" in said) == (1, True), said
    assert snapshot(tmp_path / "m-one") == before


@pytest.mark.slow
def test_a_ledger_that_somebody_wrote_to_leads_to_no_file_outside(model_file: Path, tmp_path: Path) -> None:
    photos, out = photos_of(tmp_path / "photos"), tmp_path / "m"
    assert run(model_file, photos, "--out", out)[0] == 0
    (tmp_path / "victim.png").write_bytes(b"precious")
    with closing(sqlite3.connect(out / LEDGER_NAME)) as connection, connection:
        connection.execute("UPDATE items SET mask = '../victim.png', sha256 = NULL WHERE mask = 'p1.png'")
    os.utime(photos / "p1.jpg")
    code, said = run(model_file, photos, "--out", out)
    assert (code, "p1.jpg  name of its mask leads out\n" in said) == (3, True), said
    assert "its name leads out of the output" in seg_batch("status", out).stdout
    assert (tmp_path / "victim.png").read_bytes() == b"precious"


def test_an_output_among_photographs_is_refused(model_file: Path, tmp_path: Path) -> None:
    photos, other = photos_of(tmp_path / "photos"), photos_of(tmp_path / "other")
    code, said = run(model_file, photos, "--out", other)
    assert (code, "might overwrite or hide" in said) == (1, True), said
    assert run(model_file, tmp_path, "--out", tmp_path.with_name(f"{tmp_path.name}-m"))[0] == 0
