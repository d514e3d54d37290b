"""What a person sees of ``seg-batch run``: on a terminal, in a log file, and where there was nothing to do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.archive import command, save, save_many, seg_batch
from tests.support.terminal import ESCAPE, on_terminal

LONG = "clinic/visits_of_the_year_2024/patient_0815_left_forearm/close_up_with_polarised_light.jpg"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photographs, four broken files, an archive and a text, in a folder."""
    folder = tmp_path / "photos"
    save_many(folder, 3)
    whole = save(folder / "sub" / "cut.jpg").read_bytes()
    (folder / "sub" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / LONG).parent.mkdir(parents=True)
    (folder / LONG).touch()
    (folder / "page.jpg").write_text("Please log in.")
    (folder / "empty.png").touch()
    (folder / "more.zip").write_bytes(b"PK\5\6" + bytes(18))
    (folder / "notes.txt").touch()
    return folder


def words(tmp_path: Path, model_file: Path, *more: str | Path) -> list[str | Path | bytes]:
    return command("run", "photos", "--out", "masks", "--model", model_file, "--device", "cpu", *more)


def in_a_log(tmp_path: Path, model_file: Path, *more: str | Path) -> tuple[int, str]:
    """Return the exit code and what was said, with figures of the clock as 0 and without the progress of long runs."""
    line = words(tmp_path, model_file, *more)
    ended = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stdout == ""
    said = re.sub(r"(?m)^segment: .*\n", "", ended.stderr)
    return ended.returncode, re.sub(r"in \S+ s \(\S+ images/s\)", "in 0 s (0 images/s)", said)


def on_a_terminal(tmp_path: Path, model_file: Path, columns: int, **env: str) -> list[str]:
    return on_terminal(words(tmp_path, model_file), tmp_path, columns, **env)[1]


def test_a_run_with_failures_in_a_log(photos: Path, model_file: Path, tmp_path: Path) -> None:
    code, said = in_a_log(tmp_path, model_file, "--overlays", "pictures")
    found = re.search(r"Look at\n(  \d{3}\.png  .*\n)+\n", said)
    assert said.replace(found[0] if found else "", "") == (
        "Reading photos: 7 images, 1 other file (1 .txt)\n"
        "not opened: more.zip (archives in a folder; name them as sources)\n"
        "\n"
        "3 masks, 4 failed, 0 unchanged in 0 s (0 images/s)\n"
        "\n"
        "Failed (4)\n"
        f"  {LONG}  empty file\n"
        f"  {'empty.png':<40}  empty file\n"
        f"  {'page.jpg':<40}  not an image: text\n"
        f"  {'sub/cut.jpg':<40}  damaged JPEG\n"
        "\n"
        "Masks     masks/   record of every image: seg-batch status masks\n"
        "Report    masks/report.html   open it in a browser\n"
        "Overlays  pictures/\n"
        "Device    onnxruntime on the CPU, fp32\n"
        "Next      seg-batch status masks --all   all failures, and what to do\n"
        "Exit code 3: some images failed; some sources not read\n"
    )
    assert code == 3


@pytest.mark.slow
def test_failed_images_are_tried_again_and_said_again(photos: Path, model_file: Path, tmp_path: Path) -> None:
    in_a_log(tmp_path, model_file)
    code, said = in_a_log(tmp_path, model_file)
    assert (code, "0 masks, 4 failed, 3 unchanged in 0 s" in said) == (3, True), said
    assert "page.jpg" in said


@pytest.mark.slow
def test_nothing_to_do_is_one_line(model_file: Path, tmp_path: Path) -> None:
    save_many(tmp_path / "photos", 3)
    _, first = in_a_log(tmp_path, model_file)
    assert "3 masks, 0 failed, 0 unchanged in " in first
    assert "Next      seg-batch table masks lesions.csv" in first
    assert "Exit code" not in first
    assert in_a_log(tmp_path, model_file) == (0, "3 masks unchanged in masks/. Nothing to do.\n")
    assert (
        in_a_log(tmp_path, model_file, "--overlays", "o")[1]
        .splitlines()[-6:][0]
        .startswith("0 masks, 0 failed, 3 unchanged; 3 overlays drawn again in ")
    )


@pytest.mark.slow
def test_a_warning_stays_where_there_is_nothing_to_do(model_file: Path, tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "more.7z").touch()
    in_a_log(tmp_path, model_file)
    assert in_a_log(tmp_path, model_file) == (
        3,
        "not opened: more.7z (archives in a format that is not supported; unpack them)\n"
        "1 mask unchanged in masks/. Nothing to do.\n"
        "Exit code 3: some sources not read\n",
    )


def test_a_folder_without_images(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.txt").touch()
    assert in_a_log(tmp_path, model_file) == (
        3,
        "no images: photos\n"
        "passed over: 1 other file (1 .txt)\n"
        "\n"
        "No images found.\n"
        "\n"
        "Device    onnxruntime on the CPU, fp32\n"
        "Next      seg-batch run --help   what can be a source\n"
        "Exit code 3: some sources have no images\n",
    )


def test_a_run_that_cannot_begin_says_why_and_no_more(model_file: Path, tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png")
    save(tmp_path / "masks" / "mine.png")
    code, said = in_a_log(tmp_path, model_file)
    assert (code, said.startswith("Error: "), said.count("\n")) == (1, True, 1), said


def test_many_failures_are_counted_by_reason(model_file: Path, tmp_path: Path) -> None:
    for number in range(12):
        save(tmp_path / "photos" / f"{number:02}.png").write_bytes(b"" if number % 3 else b"text")
    _, said = in_a_log(tmp_path, model_file)
    assert re.findall(r"^  (\d\d)\.png  .*$", said, re.MULTILINE) == ["00", "01", "02", "03", "04"]
    assert "  7 more: 5 empty file, 2 not an image: text\n" in said


@pytest.mark.parametrize(("more", "is_there"), [((), False), (("--timing",), True), (("--profile", "t.json"), True)])
def test_stages_are_shown_where_they_are_asked_for(
    model_file: Path, tmp_path: Path, more: tuple[str, ...], is_there: bool
) -> None:
    save_many(tmp_path / "photos", 2)
    _, said = in_a_log(tmp_path, model_file, *more)
    assert [("ms/image" in said), ("bottleneck: " in said)] == [is_there, is_there]


def test_several_sources_are_named_in_front_of_their_paths(model_file: Path, tmp_path: Path) -> None:
    for name in ("photos/a.png", "other/b.png"):
        save(tmp_path / name).write_bytes(b"")
    save(tmp_path / "lone.png").write_bytes(b"")
    _, said = in_a_log(tmp_path, model_file, "other", "lone.png")
    assert re.findall(r"^  (\S+) +empty file$", said, re.MULTILINE) == ["lone.png", "other/b.png", "photos/a.png"]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_lines_fit_the_terminal(photos: Path, model_file: Path, tmp_path: Path, columns: int) -> None:
    lines = on_a_terminal(tmp_path, model_file, columns)
    assert all(len(ESCAPE.sub("", line)) <= columns for line in lines), lines
    shown = next(line for line in map(str.strip, lines) if line.startswith("clinic/") and line.endswith("empty file"))
    assert ("..." in shown, shown.split("  ")[0].endswith("light.jpg")) == (columns < 200, True)
    assert any(line.startswith("segment: ") and "4 failed" in line for line in lines)


def test_a_terminal_has_colours(photos: Path, model_file: Path, tmp_path: Path) -> None:
    said = "\n".join(on_a_terminal(tmp_path, model_file, 80))
    assert "\x1b[31m\x1b[1mFailed (4)\x1b[0m" in said
    assert "\x1b[1mReading photos: 7 images" in said


def test_no_color_is_honoured(photos: Path, model_file: Path, tmp_path: Path) -> None:
    lines = on_a_terminal(tmp_path, model_file, 80, NO_COLOR="1")
    assert not [line for line in lines if re.search(r"\x1b\[\d*m", line)]
    assert [line for line in lines if line.startswith("segment: ")]


def test_a_dumb_terminal_gets_lines_only(photos: Path, model_file: Path, tmp_path: Path) -> None:
    lines = on_a_terminal(tmp_path, model_file, 80, TERM="dumb")
    assert "\x1b" not in "\n".join(lines)
    assert not [line for line in lines if line.startswith("segment: ")]
    assert "Failed (4)" in lines


def test_programs_get_the_whole_reason(photos: Path, model_file: Path, tmp_path: Path) -> None:
    line = words(tmp_path, model_file, "--json")
    ended = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert '"reason": "The file is empty; expected an image. ' in ended.stdout
    assert "The file is empty; expected an image. " in seg_batch("status", tmp_path / "masks", "--all").stdout
