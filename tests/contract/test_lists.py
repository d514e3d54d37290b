"""Lists of files, and what comes by standard input or a pipe: read as meant, or refused in words."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import json
import os
import pty
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.support.null_network import null_model
from tests.support.archive import command, save, save_many

MAIN = "from batch.cli import main; main()"
NAMES = ("000.png", "001.png", "002.png")


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, the rows of its ledger, what it said."""

    code: int
    rows: list[dict[str, Any]]
    said: str

    @property
    def done(self) -> list[str]:
        """Names of the images that have their mask."""
        return sorted(os.path.basename(row["path"]) for row in self.rows if row["status"] == "done")


@pytest.fixture(scope="module")
def null(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that costs nothing to run."""
    return null_model(tmp_path_factory.mktemp("model") / "null.onnx")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder with three photographs."""
    save_many(tmp_path / "work", len(NAMES))
    return tmp_path / "work"


Run = Callable[..., Ended]


@pytest.fixture
def run(work: Path, null: Path) -> Run:
    """Runs in the working folder; masks go to a folder beside it."""
    return functools.partial(_run, work, null)


def _run(work: Path, null: Path, *sources: str | Path, stdin: Any = b"", out: str | Path = "../masks") -> Ended:
    table = work.parent / "table.jsonl"
    table.unlink(missing_ok=True)
    arguments = command("run", *sources, "--out", out, "--model", null, "--device", "cpu", "--table", table)
    given: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    ended = subprocess.run(arguments, **given, capture_output=True, cwd=work, check=False, timeout=120)
    said = ended.stderr.decode(errors="replace")
    assert "Traceback" not in said, said
    assert not set(ended.stderr) & set(b"\x00\x07\x08\x1b\x7f"), said
    rows = [json.loads(line) for line in table.read_text().splitlines()] if table.exists() else []
    return Ended(ended.returncode, rows, said)


def a_tar(work: Path, mode: Any = "w", **options: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, **options) as tar:
        for name in NAMES:
            tar.add(work / name, name)
    return buffer.getvalue()


def a_zip(work: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name in NAMES:
            zipped.write(work / name, name)
    return buffer.getvalue()


NO_LISTS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "zip": (a_zip, "is a zip; expected a tar"),
    "zstd": (lambda _: b"\x28\xb5\x2f\xfd\x04\x88" + bytes(range(90)), "zstd -dc photos.tar.zst | seg-batch run -"),
    "7z": (lambda _: b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(range(90)), "is a 7z archive"),
    "rar": (lambda _: b"Rar!\x1a\x07\x01\0" + bytes(range(90)), "is a RAR archive"),
    "png": (lambda work: (work / "000.png").read_bytes(), "is a PNG; expected a tar or a list"),
    "jpeg": (lambda work: save(work.parent / "x.jpg").read_bytes(), "is a JPEG; expected a tar or a list"),
    "bmp": (lambda work: save(work.parent / "x.bmp").read_bytes(), "is a BMP; expected a tar or a list"),
    "webp": (lambda work: save(work.parent / "x.webp").read_bytes(), "is a WebP; expected a tar or a list"),
    "tiff": (lambda work: save(work.parent / "x.tif").read_bytes(), "is a TIFF; expected a tar or a list"),
    "dicom": (lambda _: bytes(128) + b"DICM\x02\0\0\0UL", "is a DICOM file"),
    "html": (lambda _: b"\n<!doctype HTML>\n<html>\n<body>\nPlease log in\n", "is a web page or XML"),
    "xml": (lambda _: b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code>\n", "is a web page or XML"),
    "json": (lambda _: b'[\n  {"path": "000.png"},\n  {"path": "001.png"}\n]\n', "is JSON"),
    "sqlite": (lambda _: b"SQLite format 3\0" + bytes(range(100)), "is an SQLite database"),
    "pdf": (lambda _: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "is a PDF"),
    "binary": (lambda _: bytes(range(256)) * 9, "control characters"),
    "colours": (lambda _: b"\x1b[0m\x1b[01;35m000.png\x1b[0m\n", "control characters"),
    "gzip of text": (lambda _: gzip.compress(b"000.png\n001.png\n" * 99), "no tar"),
    "bzip2 of a photograph": (lambda work: bz2.compress((work / "000.png").read_bytes()), "no tar"),
}


@pytest.mark.parametrize("kind", NO_LISTS)
def test_what_is_neither_tar_nor_list_is_refused_in_words(kind: str, work: Path, run: Run) -> None:
    make, words = NO_LISTS[kind]
    ended = run("-", stdin=make(work))
    assert (ended.code in (2, 3), ended.rows) == (True, []), ended.said
    assert (
        "Standard input is" in ended.said
        or "Standard input cannot be read as a tar" in ended.said
        or "has control" in ended.said
    )
    assert words in ended.said
    (work / "list").write_bytes(make(work))
    ended = run("--files-from", "list", "000.png")
    assert (ended.code, ended.done) == (3, ["000.png"]), ended.said
    assert "not readable: list " in ended.said


LISTS: dict[str, bytes] = {
    "lines": b"000.png\n001.png\n002.png\n",
    "without end": b"000.png\n001.png\n002.png",
    "Windows": b"000.png\r\n001.png\r\n002.png\r\n",
    "old Macs": b"000.png\r001.png\r002.png\r",
    "zeros": b"000.png\x00" + b"001.png\x00" + b"002.png\x00",
    "mark": b"\xef\xbb\xbf000.png\n001.png\r\n002.png\n",
    "UTF-16, little end": b"\xff\xfe" + "000.png\r\n001.png\r\n002.png\r\n".encode("utf-16-le"),
    "UTF-16, big end": b"\xfe\xff" + "000.png\r\n001.png\r\n002.png\r\n".encode("utf-16-be"),
    "UTF-16, unmarked": "000.png\r\n001.png\r\n002.png\r\n".encode("utf-16-le"),
    "UTF-16, unmarked, big end": "000.png\n001.png\n002.png".encode("utf-16-be"),
    "comments, blanks, quotes": b"# made by hand\n\n  000.png\n\"001.png\"\n   \n'002.png' \n#end\n",
    "spellings": b"./000.png\n000.png\n../work/001.png\nlink/002.png\n./link/../002.png\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("form", LISTS)
def test_lists_as_programs_write_them(form: str, work: Path, run: Run) -> None:
    (work / "link").symlink_to(work)
    text = LISTS[form]
    (work / "list").write_bytes(text)
    for arguments, stdin in ((["-"], text), (["--files-from", "list"], b""), (["--files-from", "-"], text)):
        ended = run(*arguments, stdin=stdin)
        assert (ended.code, ended.done) == (0, list(NAMES)), ended.said
        assert len(ended.rows) == len(NAMES)


@pytest.mark.slow
def test_a_list_and_its_folder_name_the_same_images(work: Path, run: Run) -> None:
    (work.parent / "link").symlink_to(work)
    assert run(work).done == list(NAMES)
    ended = run("-", stdin=b"".join(b"../link/%s\n" % name.encode() for name in NAMES))
    assert (len(ended.rows), "3 masks unchanged" in ended.said) == (3, True), ended.said


def test_a_file_of_the_very_name_comes_before_a_comment_or_quotes(work: Path, run: Run) -> None:
    odd = ("#1.png", '"q".png', " blank.png", "tab\tin.png")
    for name in odd:
        shutil.copy(work / "000.png", work / name)
    ended = run("-", stdin=b"\n".join(name.encode() for name in odd))
    assert (ended.code, ended.done) == (0, sorted(odd)), ended.said


def test_names_with_control_characters_are_taken_if_they_are_there(work: Path, run: Run) -> None:
    shutil.copy(work / "000.png", work / "new\nline\x1b[31m.png")
    ended = run("-", stdin=b"new\nline\x1b[31m.png\x00gone\x07.png\x00" + b"001.png\x00")
    assert (ended.code, ended.done) == (3, ["001.png", "new\nline\x1b[31m.png"]), ended.said
    assert "(list entries" in ended.said
    assert "gone\\x07.png" in ended.said


def test_a_line_that_is_no_path_is_named_and_the_rest_is_done(work: Path, run: Run) -> None:
    text = b"000.png\n" * 80 + b"x" * 5000 + b"\n\x02\x03\n" + b"001.png\n" + b"y" * 100_000
    ended = run("-", stdin=text)
    assert (ended.code, ended.done, len(ended.rows)) == (3, ["000.png", "001.png"], 2), ended.said
    assert "(list entries with control characters" in ended.said
    assert len(ended.said) < 3000


def test_a_name_that_acts_on_a_terminal_is_printed_escaped(work: Path, run: Run) -> None:
    (work / "a\x1b]0;title\x07\u202egnp.jpg").write_bytes(b"no image")
    ended = run(".")
    assert ended.code == 3
    assert "a\\x1b]0;title\\x07\\u202egnp.jpg" in ended.said
    assert any(row["path"].endswith("a\x1b]0;title\x07\u202egnp.jpg") for row in ended.rows)  # JSON escapes by itself
    assert "\\x1bnone" in run("\x1bnone").said


def test_a_folder_and_an_archive_in_a_list_are_opened(work: Path, run: Run) -> None:
    save_many(work / "sub" / "deep", 2)
    (work / "z.zip").write_bytes(a_zip(work))
    (work / "t.tar.gz").write_bytes(a_tar(work, "w:gz"))
    (work / "bad.zip").write_bytes(b"no zip")
    ended = run("-", stdin=b"sub\nsub/deep\nsub/deep/000.png\nz.zip\nt.tar.gz\nbad.zip\n")
    assert (ended.code, len(ended.done)) == (3, 8), ended.said
    assert {row["mask"] for row in ended.rows} == {
        "sub/deep/000.png", "sub/deep/001.png", *(f"{place}/{name}" for place in ("z", "t") for name in NAMES),
    }  # fmt: skip
    assert "bad.zip cannot be read" in ended.said


@pytest.mark.slow
def test_masks_in_a_list_are_no_photographs(work: Path, run: Run) -> None:
    save_many(work / "other" / "sub", 2)
    assert run("other", out="theirs").code == 0
    for count in (5, 6):
        found = subprocess.run(
            ["find", ".", "-name", "*.png", "-print0"], capture_output=True, cwd=work, check=True
        ).stdout
        ended = run("-", stdin=found, out="m")
        assert (ended.code, len(ended.rows)) == (0, count), ended.said
        shutil.copy(work / "000.png", work / "new.png")
    assert ended.said.count("output folder ") == 2
    assert "1 mask, 0 failed, 5 unchanged" in ended.said
    ended = run("-", stdin=b"m\ntheirs\n000.png\n", out="m")
    assert ended.code == 0, ended.said


@pytest.mark.slow
@pytest.mark.parametrize("name", ["m/000.png", "theirs/sub/000.png"])
def test_a_mask_that_is_named_is_refused(name: str, work: Path, run: Run) -> None:
    save_many(work / "other" / "sub", 1)
    assert run("other", out="theirs").code == 0
    assert run("000.png", out="m").code == 0
    ended = run(name, out="m")
    assert (ended.code, "expected" in ended.said) == (2, True), ended.said


@pytest.mark.slow
def test_urls_in_a_list_are_fetched(work: Path, run: Run, web: str, web_folder: Path) -> None:
    (web_folder / "a").mkdir()
    for name in NAMES:
        shutil.copy(work / name, web_folder / "a" / name)
    lines = [f"{web}/a/{name}?token=x/y" for name in NAMES[:2]]
    lines += [f"{web}/a/none.png", "http://127.0.0.1:9/b.png", "nosuch://x/c.png", f"file://{work}/002.png"]
    ended = run("-", stdin="\n".join(lines).encode())
    assert (ended.code, len(ended.rows), len(ended.done)) == (3, 6, 3), ended.said
    host = web.removeprefix("http://")
    assert {f"{host}/a/000.png", f"{host}/a/001.png"} <= {row["mask"] for row in ended.rows}
    assert all(row["error"] for row in ended.rows if row["status"] != "done")
    ended = run("-", stdin="\n".join(lines).encode())
    assert "3 failed, 3 unchanged" in ended.said


def shell(work: Path, null: Path, line: str, out: str = "../masks") -> tuple[int, str]:
    words = f"{sys.executable} -c '{MAIN}'"
    ended = subprocess.run(
        ["bash", "-c", f"{words} run {line} --out {out} --model {null} --device cpu"],
        capture_output=True, cwd=work, check=False, text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    "line",
    [
        "--files-from <(ls *.png)",
        "<(ls *.png)",
        "<(tar c *.png)",
        "<(tar cz *.png; sleep 0.3)",
        "<(sleep 0.5; tar c *.png)",
        "- < <(printf '000.png\\n001'; sleep 0.5; printf '.png\\n'; sleep 0.3; echo 002.png)",
        "/dev/stdin < <(tar c *.png)",
        "--files-from /dev/stdin < <(ls *.png)",
    ],
)
def test_pipes_are_read_once(line: str, work: Path, null: Path) -> None:
    code, said = shell(work, null, line)
    assert (code, "3 masks, 0 failed" in said) == (0, True), said


def test_two_tars_by_pipes_are_told_apart(work: Path, null: Path) -> None:
    save_many(work / "b", 2)
    code, said = shell(work, null, "<(tar c *.png) <(cd b && tar c *.png)")
    assert (code, "5 masks, 0 failed" in said) == (0, True), said


def test_a_named_pipe_is_read_when_somebody_writes(work: Path, run: Run) -> None:
    os.mkfifo(work / "pipe")

    def write() -> None:
        time.sleep(0.5)
        (work / "pipe").write_bytes(b"000.png\n001.png\n")

    writer = threading.Thread(target=write)
    writer.start()
    ended = run("--files-from", "pipe")
    writer.join()
    assert (ended.code, ended.done) == (0, ["000.png", "001.png"]), ended.said


@pytest.mark.slow
def test_a_named_pipe_that_nobody_writes_to_holds_up_nothing(work: Path, run: Run, null: Path) -> None:
    os.mkfifo(work / "pipe")
    script = f"import batch.sources.lists.stream as s; s.WAIT_FOR_WRITER_SECONDS = 0.2; {MAIN}"
    words: list[str | Path] = [
        sys.executable,
        "-c",
        script,
        "run",
        "pipe",
        "000.png",
        "--out",
        "../masks",
        "--model",
        null,
    ]
    ended = subprocess.run(words, capture_output=True, cwd=work, check=False, text=True, timeout=120)
    assert ended.returncode == 3, ended.stderr
    assert "Nothing was written to the pipe pipe" in ended.stderr
    assert "1 mask, " in ended.stderr


@pytest.mark.parametrize("line", ["- < /dev/null", "--files-from <(true)", "- < <(tar c -T /dev/null)", "- < <(echo)"])
def test_nothing_by_a_stream_is_a_source_without_images(line: str, work: Path, null: Path) -> None:
    code, said = shell(work, null, line)
    assert (code, "no images: " in said) == (3, True), said


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("- 0>/dev/null", "Standard input cannot be read"),
        ("- --files-from /dev/stdin", "twice"),
    ],
)
def test_a_standard_input_that_cannot_be_read_is_refused(line: str, words: str, work: Path, null: Path) -> None:
    code, said = shell(work, null, line)
    assert (code, words in said) == (2, True), said


def test_a_terminal_is_not_waited_for(work: Path, run: Run) -> None:
    ours, theirs = pty.openpty()
    try:
        ended = run("-", stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (ended.code, "is a terminal" in ended.said) == (2, True), ended.said


@pytest.mark.parametrize(("form", "mode"), [(tarfile.GNU_FORMAT, "w:xz"), (tarfile.PAX_FORMAT, "w:bz2")])
def test_tars_of_all_compressions_come_by_standard_input(form: int, mode: str, work: Path, run: Run) -> None:
    ended = run("-", stdin=a_tar(work, mode, format=form))
    assert (ended.code, ended.done) == (0, list(NAMES)), ended.said


def test_a_tar_without_magic_is_a_tar(work: Path, null: Path) -> None:
    code, said = shell(work, null, "- < <(tar c --format=v7 *.png)")
    assert (code, "3 masks, 0 failed" in said) == (0, True), said


def test_a_list_that_is_a_folder_or_not_there_leaves_the_others(work: Path, run: Run) -> None:
    ended = run("--files-from", "..", "--files-from", "none.txt", "--files-from", "/proc/self/mem", "000.png")
    assert (ended.code, ended.done) == (3, ["000.png"]), ended.said
    assert "not readable: .. is a folder; expected a list" in ended.said
    assert "not readable: none.txt does not exist" in ended.said
    assert "not readable: /proc/self/mem cannot be read: Input/output error" in ended.said


def test_what_may_not_be_read_is_called_so(work: Path, null: Path) -> None:
    bound: list[str | Path] = []
    if os.geteuid() == 0:  # who may read everything, unless without these capabilities
        if shutil.which("setpriv") is None:
            pytest.skip("root may read everything")
        bound = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    (work / "closed").mkdir()
    shutil.copy(work / "000.png", work / "closed" / "a.png")
    (work / "list").write_text("000.png\n")
    (work / "more").write_text("closed/a.png\n")
    for path in (work / "closed", work / "list"):
        path.chmod(0)
    options: list[str | Path] = ["--out", "../masks", "--model", null, "--device", "cpu"]
    lists = ["--files-from", "list", "--files-from", "more"]
    words = [*bound, sys.executable, "-c", MAIN, "run", "closed/a.png", *lists, "000.png", *options]
    ended = subprocess.run(words, capture_output=True, cwd=work, check=False, text=True, timeout=120)
    (work / "closed").chmod(0o700)
    if "setpriv:" in ended.stderr:
        pytest.skip("capabilities cannot be given away here")
    assert (ended.returncode, "1 mask, 1 failed" in ended.stderr) == (3, True), ended.stderr
    assert "closed/a.png cannot be reached: Permission denied" in ended.stderr
    assert "list cannot be read: Permission denied" in ended.stderr


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full"])
def test_a_device_without_end_holds_up_nothing(work: Path, null: Path, device: str) -> None:
    line = command("run", device, "000.png", "--out", "../masks", "--model", null, "--device", "cpu")
    ended = subprocess.run(line, capture_output=True, cwd=work, check=False, text=True, timeout=120)
    assert (ended.returncode, "is a device; expected a pipe or a file" in ended.stderr) == (3, True), ended.stderr
    with open(device, "rb") as stdin:
        line = command("run", "-", "000.png", "--out", "../other", "--model", null, "--device", "cpu")
        ended = subprocess.run(line, stdin=stdin, capture_output=True, cwd=work, check=False, text=True, timeout=120)
    assert ended.returncode == 3, ended.stderr


def test_a_pipe_comes_after_the_other_sources(work: Path, null: Path) -> None:
    (work / "many").mkdir()
    for number in range(70):
        os.link(work / "000.png", work / "many" / f"{number}.png")
    line = command("run", "-", "many", "--out", "../masks", "--model", null, "--device", "cpu")
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=work)
    assert process.stdin is not None
    process.stdin.write(b"# a list, of which more is to come\n" * 20)
    process.stdin.flush()
    deadline = time.monotonic() + 120
    while len(list((work.parent / "masks").rglob("[!.]*.png"))) < 32:  # the loop fills its chunks before it works
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.communicate(b"001.png\n", timeout=120)
    assert process.returncode == 0
    assert len(list((work.parent / "masks").rglob("[!.]*.png"))) == 71


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_with_a_mark_is_read(work: Path, run: Run, encoding: str) -> None:
    """The other forms are tried by a slow test."""
    (work / "list").write_bytes("\r\n".join(NAMES).encode(encoding))
    ended = run("--files-from", "list")
    assert (ended.code, len(ended.done)) == (0, len(NAMES)), ended.said
