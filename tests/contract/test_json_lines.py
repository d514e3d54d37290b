"""``run --json``: events for programs, however a run goes, and whoever reads them."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.archive import command, masks_below, save, save_many, seg_batch

COUNT = 12
REPORT = {"done", "failed", "skipped", "repeated", "interrupted", "drawn", "seconds", "images_per_second", "stages"}
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals, pipes and names")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    save_many(tmp_path / "photos", COUNT)
    return tmp_path / "photos"


def arguments(source: Path | str, out: Path | str, model: Path, *more: str | Path) -> list[str | Path]:
    return ["run", source, "--out", out, "--model", model, "--device", "cpu", "--json", *more]


def events(text: str) -> list[dict[str, Any]]:
    """Return the events; each line is one object, in ASCII, and the first one has the version."""
    assert text.isascii()
    assert text.endswith("\n")
    found = [json.loads(line) for line in text.splitlines()]
    assert [entry.get("format_version") for entry in found] == [1] + [None] * (len(found) - 1)
    assert [entry["event"] for entry in found].count("end") == 1
    assert found[-1]["event"] == "end"
    return found


@pytest.mark.slow
def test_a_run_from_start_to_end(photos: Path, model_file: Path, tmp_path: Path) -> None:
    ended = seg_batch(*arguments(photos, tmp_path / "m", model_file))
    assert (ended.returncode, ended.stderr) == (0, "")
    start, *progress, end = events(ended.stdout)
    assert start["event"] == "start"
    assert start["device"].startswith("cpu (")
    assert (start["sources"], start["output"], start["ledger"]) == ([str(photos)], *[str(tmp_path / "m")] * 2)
    assert {entry["event"] for entry in progress} == {"progress"}
    assert progress[-1].keys() == {"event", "done", "failed", "skipped", "total", "images_per_second"}
    assert [progress[-1][name] for name in ("done", "failed", "skipped", "total")] == [COUNT, 0, 0, COUNT]
    assert end["exit_code"] == 0
    assert "error" not in end
    assert end["summary"].keys() > REPORT
    assert (end["summary"]["done"], end["summary"]["interrupted"]) == (COUNT, False)
    *_, last, end = events(seg_batch(*arguments(photos, tmp_path / "m", model_file)).stdout)
    assert (last["done"], last["skipped"], end["summary"]["skipped"]) == (0, COUNT, COUNT)


@posix
def test_failures_come_one_by_one_whatever_their_names(photos: Path, model_file: Path, tmp_path: Path) -> None:
    odd = {"a\nb.png": "a\nb.png", os.fsdecode(b"\xff.png"): "\\xff.png", "ü\u2028.png": "ü\u2028.png"}
    for name in odd:
        (photos / name).write_bytes(b"")
    ended = seg_batch(*arguments(photos, tmp_path / "m", model_file))
    assert (ended.returncode, ended.stderr) == (3, "")
    found = events(ended.stdout)
    failed = [entry for entry in found if entry["event"] == "failed"]
    assert {entry["path"] for entry in failed} == {f"{photos}/{name}" for name in odd.values()}
    assert all(entry["reason"].startswith("The file is empty") for entry in failed)
    assert (found[-1]["exit_code"], found[-1]["summary"]["failed"]) == (3, 3)


def test_a_sample_says_so(photos: Path, model_file: Path, tmp_path: Path) -> None:
    *_, last, end = events(seg_batch(*arguments(photos, tmp_path / "m", model_file, "--sample", "5")).stdout)
    assert (last["done"], last["total"]) == (5, 5)
    assert end["summary"]["drawn"] == {"images": 5, "of": COUNT, "seed": 0}


def test_no_images(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    start, last, end = events(seg_batch(*arguments(tmp_path / "empty", tmp_path / "m", model_file)).stdout)
    assert (start["event"], last["done"], end["exit_code"]) == ("start", 0, 3)
    assert end["summary"]["without_images"] == [str(tmp_path / "empty")]


@pytest.mark.parametrize(
    ("source", "out", "more", "exit_code"),
    [
        ("absent", "m", (), 2),
        ("photos", "m", ("--postprocess", "magic"), 2),
        ("photos", "photos/notes.txt", (), 1),
        ("photos", "m", ("--table", "table.xls"), 2),
        ("photos", "m", ("--table", "photos/notes.txt/table.csv"), 1),
        ("photos", "s3://nowhere/m", (), 2),
    ],
)
def test_an_error_ends_the_lines_and_is_on_stderr_as_well(
    photos: Path, model_file: Path, tmp_path: Path, source: str, out: str, more: tuple[str, ...], exit_code: int
) -> None:
    (photos / "notes.txt").write_text("a file, no folder")
    output = out if "://" in out else tmp_path / out
    options = [tmp_path / part if "/" in part or "." in part else part for part in more]
    ended = seg_batch(*arguments(tmp_path / source, output, model_file, *options))
    end = events(ended.stdout)[-1]
    assert (ended.returncode, end["exit_code"]) == (exit_code, exit_code), ended.stderr
    assert ended.stderr == f"Error: {end['error']}\n"


def test_an_output_in_use(photos: Path, model_file: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(*arguments("-", tmp_path / "m", model_file)), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert process.stdin is not None
    process.stdin.write(b"".join(os.fsencode(path) + b"\n" for path in photos.iterdir()) * 60)  # it waits for more
    process.stdin.flush()
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "m" / "ledger.sqlite").exists():  # which is made when the output is locked
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (end,) = events(seg_batch(*arguments(photos, tmp_path / "m", model_file)).stdout)
    finally:
        process.communicate()
    assert end["exit_code"] == 1
    assert "in use" in end["error"] or "another run" in end["error"].lower(), end["error"]


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_ends_in_good_order(
    photos: Path, model_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "many").mkdir()
    for path in sorted(photos.iterdir()):
        for copy in range(100):
            os.link(path, tmp_path / "many" / f"{copy}-{path.name}")
    names = b"".join(os.fsencode(path) + b"\n" for path in (tmp_path / "many").iterdir())
    run = command(*arguments("-", tmp_path / "m", model_file))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(run, **pipes) as process:  # type: ignore[call-overload]
        process.stdin.write(names)
        process.stdin.flush()
        first = process.stdout.readline()  # the run goes on, and waits for more names
        process.send_signal(number)
        rest, errors = process.communicate()
    assert process.returncode == 130
    found = events((first + rest).decode())
    assert [found[0]["event"], found[-2]["event"]] == ["start", "progress"]
    assert (found[-1]["exit_code"], found[-1]["summary"]["interrupted"]) == (130, True)
    assert found[-2]["done"] == found[-1]["summary"]["done"] == len(masks_below(tmp_path / "m"))
    assert b"Finishing" in errors
    assert b"Interrupted;" in errors


@posix
@pytest.mark.parametrize("lines_read", [0, 1])
def test_a_reader_that_goes_away_stops_no_run(photos: Path, model_file: Path, tmp_path: Path, lines_read: int) -> None:
    for number in range(50):
        (photos / f"broken{number}.png").write_bytes(b"")
    ours, theirs = os.pipe()
    if sys.platform == "linux":  # the lines must not all fit into it: the run waits for its reader until that is gone
        import fcntl

        fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen(
        command(*arguments(photos, tmp_path / "m", model_file)), stdout=theirs, stderr=subprocess.PIPE, text=True
    )
    os.close(theirs)
    with open(ours, "rb", buffering=0) as reader:
        for _ in range(lines_read):
            while reader.read(1) != b"\n":
                pass
    errors = process.communicate()[1]
    assert process.returncode == 3
    assert len(masks_below(tmp_path / "m")) == COUNT
    (warning,) = errors.splitlines()
    assert warning.startswith("warning: progress can no longer be written to standard output (Broken pipe); the run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_lines_stops_no_run(photos: Path, model_file: Path, tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            command(*arguments(photos, tmp_path / "m", model_file)), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count(b"\n") == 1
    assert b"(No space left on device); the run continues" in ended.stderr
    assert len(masks_below(tmp_path / "m")) == COUNT


@posix
def test_closed_standard_output_stops_no_run(photos: Path, model_file: Path, tmp_path: Path) -> None:
    line = ["sh", "-c", 'exec "$@" >&-', "sh", *map(str, command(*arguments(photos, tmp_path / "m", model_file)))]
    ended = subprocess.run(line, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert len(masks_below(tmp_path / "m")) == COUNT


@pytest.mark.slow
def test_progress_comes_at_most_every_second(photos: Path, model_file: Path, tmp_path: Path) -> None:
    start = time.monotonic()
    save_many(tmp_path / "more", 300)
    ended = seg_batch(*arguments(photos, tmp_path / "m", model_file, tmp_path / "more", "--overlays", tmp_path / "o"))
    progress = [entry for entry in events(ended.stdout) if entry["event"] == "progress"]
    assert len(progress) <= time.monotonic() - start + 1
    assert all(one["done"] <= other["done"] for one, other in itertools.pairwise(progress))


def test_a_dry_run_is_one_object(photos: Path, model_file: Path, tmp_path: Path) -> None:
    save(photos / "broken.png").write_bytes(b"")
    ended = seg_batch(*arguments(photos, tmp_path / "m", model_file, "--dry-run"))
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stdout.splitlines()
    found = json.loads(line)
    assert (found["format_version"], found["images"], found["sample"]["images"]) == (1, COUNT + 1, COUNT + 1)
    assert list(found["sample"]["failed"]) == [str(photos / "broken.png")]
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_passwords_are_in_no_line(model_file: Path, tmp_path: Path) -> None:
    ended = seg_batch(*arguments("https://me:secret@127.0.0.1:9/a.png?sig=hidden", tmp_path / "m", model_file))
    assert "secret" not in ended.stdout + ended.stderr
    assert "hidden" not in ended.stdout + ended.stderr
    assert events(ended.stdout)[-1]["exit_code"] == ended.returncode != 0
