"""Parts of what a person sees: short reasons, masks to look at, paths, progress in logs, groups of options."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from batch.cli import main
from batch.commands.run import GROUPS, run
from batch.commands.screen import highlights
from batch.commands.screen.highlights import Highlights
from batch.commands.screen.paper import Paper
from batch.executors.blame import GIVEN_UP, crashed, hung
from batch.figures import Figures
from batch.ledger.records import Result, Status
from batch.reporting.reasons import LONGEST_REASON, short_reason
from batch.reporting.shown_paths import ShownPaths
from batch.sources.bytes import FileBytes, require_bounded, too_large_unpacked
from batch.sources.image_ref import Origin
from batch.steps.task import Task
from seglab import cli_support, progress_log
from seglab.errors import ImageError
from seglab.images.refusals import failed, unknown
from seglab.terminal import cut, shortened

READ = "expected JPEG, PNG, TIFF, BMP, WebP, GIF, AVIF, HEIC, JPEG 2000 or DICOM"
TASK = Task(1, "a.jpg", "a.png", FileBytes("a.jpg"))


@pytest.mark.parametrize(
    ("reason", "short"),
    [
        ("The file is empty; expected an image. Copy it again from the original.", "empty file"),
        (str(unknown(b"Just a text.")), "not an image: text"),
        (str(unknown(bytes(100))), "not an image: only zeros"),
        (str(unknown(b"\x01\x02\x03\x04" * 9)), "not an image"),
        (str(unknown(b"PK\x03\x04" + bytes(60))), "not an image: zip"),
        (str(unknown(b"8BPS\x00\x01" + bytes(60))), "Photoshop file is not read"),
        (str(failed(b"\xff\xd8\xff\xe0", ValueError("it broke"))), "damaged JPEG"),
        (str(failed(b"\xff\xd8\xff\xe0", ValueError("unsupported marker"))), "unsupported JPEG"),
        (str(failed(b"\xff\xd8\xff\xe0", MemoryError())), "not enough memory"),
        ("Damaged image: a PNG; it ends after 10 bytes, before its IEND chunk. Get it again.", "damaged PNG"),
        ("Damaged image: its directory lists 0 of 1 strips or tiles. Expected a whole TIFF.", "damaged TIFF"),
        ("Damaged image: its last passes are missing. Expected a whole file; copy it again.", "damaged image"),
        ("Damaged DICOM: its pixels break off. Expected a whole file; copy it again.", "damaged DICOM"),
        ("The last 90 of 100 bytes are zeros instead of image data; expected a whole file.", "zeros at its end"),
        ("The image has 30000 x 30000 = 900 million pixels; at most 400 million are decoded. Save a smaller copy.",
         "too many pixels: 30000 x 30000"),
        ("Signed samples of 16 bits down to -168; expected none below 0. Save the image.", "samples below zero"),
        ("An animation of 3 pictures; expected one. Save the right one as its own file.", "animation of 3 pictures"),
        ("An ImageJ stack of 3 images; expected one photograph. Save it as RGB.", "ImageJ stack of 3 images"),
        ("A hierarchical JPEG; expected a baseline, progressive or lossless JPEG.", "hierarchical JPEG"),
        ("A DICOM object of CT Image Storage; expected a photograph. Leave it out.",
         "DICOM of CT Image Storage"),
        ("A DICOM video (MPEG2); expected one photograph. Export one of its frames.", "DICOM video"),
        ("A DICOM file of 8 frames; expected one photograph. Export its frames one by one.", "DICOM file of 8 frames"),
        ("A camera's raw photograph (a colour filter array); expected a developed one.", "raw photograph of a camera"),
        ("An HTML page came instead of an image: a login or error page.", "HTML page instead of an image"),
        ("Not a regular file; expected an image file. Remove it from the source.", "not a file"),
        ("The file cannot be read: Permission denied. Check the path and its permissions.",
         "cannot be read: Permission denied"),
        ("The file changed while it was read. Run again when it is complete.", "changed while it was read"),
        (too_large_unpacked(5 * 2**30), "too large unpacked: 5 GiB"),
        ("The archive ends inside this file. Get the archive again.", "archive ends too early"),
        ("It cannot be read from the archive: it ends too early. Get the archive again.", "archive ends too early"),
        ("The archive cannot be read: Input/output error. Check it.", "archive unreadable: Input/output error"),
        ("It is encrypted in the archive. Unpack the archive first, and name the folder.", "encrypted in its archive"),
        ("It is compressed by deflate64, which is not supported; expected deflate.", "compressed by deflate64"),
        ("It is a hard link to nowhere.png, which does not come before it in the archive. Get the archive.",
         "link inside an archive"),
        ("It cannot be fetched: the server answered 404 Not Found. Run again to retry.",
         "cannot be fetched: the server answered 404 Not..."),
        ("It has 10 bytes; the listing said 12. Run again to retry.", "changed since it was listed"),
        ("The mask a.png cannot be written: File name too long. Rename the image, or change --name.",
         "mask cannot be written: File name too long"),
        ("The mask p1.png cannot be written: a file of that name exists, and no run made it. Move it away.",
         "name of its mask is taken"),
        ("The picture o/p1.jpg cannot be written: a file of that name exists, and no run made it. Move it away.",
         "name of its picture is taken"),
        ("The mask ../a.png cannot be written: its name leads out of the output. Rename the image.",
         "name of its mask leads out"),
        ("The mask a.png cannot be written: it was changed after a run wrote it. Move it away.", "its mask was edited"),
        ("Its mask cannot be read: No such file. Run `seg-batch verify`.", "mask cannot be read: No such file"),
        (crashed(TASK, "killed by signal 11").error, "crashed its decoder twice"),
        (hung(TASK, 120).error, "took longer than 120 s twice"),
        (GIVEN_UP, "two runs were killed on it"),
        ("", "no reason is known"),
    ],
)  # fmt: skip
def test_reasons_have_a_short_form(reason: str, short: str) -> None:
    assert short_reason(reason) == short
    assert len(short.split()) <= 8


def test_files_that_are_too_large_have_a_short_form() -> None:
    with pytest.raises(ImageError) as caught:
        require_bounded(3 * 2**30, 2**30)
    assert short_reason(str(caught.value)) == "file too large: 3 GiB"


def test_a_reason_that_nobody_foresaw_is_cut_at_a_word() -> None:
    short = short_reason("Something " * 20 + "; expected nothing of that kind. Do as you like.")
    assert len(short) <= LONGEST_REASON
    assert short.endswith("Something...")
    assert short_reason("Odd\x1b[31m thing") == "Odd\\x1b[31m thing"


@pytest.mark.parametrize(
    ("text", "width", "found"), [("a b c", 5, "a b c"), ("abc def ghi", 10, "abc..."), ("", 5, "")]
)
def test_texts_are_cut_at_a_word(text: str, width: int, found: str) -> None:
    assert cut(text, width) == found


def test_paths_are_shortened_in_the_middle() -> None:
    assert shortened("folder/photo_1.jpg", 12) == "fol..._1.jpg"
    assert shortened("short.jpg", 9) == "short.jpg"


def test_a_table_leaves_room_for_the_reasons() -> None:
    lines = list(Paper(60).table([("x" * 90, "empty file"), ("a.jpg", "r" * 20)]))
    assert [len(line) for line in lines] == [60 - 10, 60]


def done(path: str, *, area: int = 50, box: tuple[int, int, int, int] = (2, 2, 8, 8), confidence: float = 0.9,
         suitable: float | None = 0.9) -> Result:  # fmt: skip
    figures = Figures(10, 10, area, box if area else None, confidence, suitable)
    return Result(path, "m", Status.DONE, figures)


def looks(*results: Result) -> list[tuple[str, str]]:
    found = Highlights()
    for result in results:
        found.add(result)
    return list(found.looks())


def test_nothing_remarkable_is_nothing_to_look_at() -> None:
    assert looks(done("a"), done("b", confidence=0.8), done("c", box=(0, 0, 8, 8)), done("d", suitable=None)) == []


def test_the_plainest_of_each_kind_is_to_be_looked_at() -> None:
    assert looks(
        done("a", confidence=0.7), done("b", confidence=0.61), done("c", confidence=0.61), done("d", area=0),
        done("e", suitable=0.4), done("f", suitable=0.1, area=0), done("g", box=(0, 0, 10, 8)),
    ) == [
        ("f", "unlike dermoscopy (1 more)"),
        ("d", "no lesion found"),
        ("b", "least certain (0.61) (2 more)"),
    ]  # fmt: skip
    assert looks(done("g", box=(0, 0, 10, 8)), done("h")) == [("g", "lesion cut by the frame")]


def test_failures_are_bounded_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(highlights, "MOST_REASONS", 3)
    found = Highlights()
    for number in reversed(range(20)):
        found.add(Result(f"{number:02}", "m", Status.FAILED, error=f"Reason {number}; expected none."))
    assert [path for path, _ in found.failures] == ["00", "01", "02", "03", "04"]
    assert len(found.reasons) == 4
    assert found.more_failures()[0] == 15


def test_paths_are_shown_below_their_source() -> None:
    one = ShownPaths([Origin("photos", "/data/photos")])
    assert (one.of("/data/photos/a/b.jpg"), one.of("/data/photographs/a.jpg")) == ("a/b.jpg", "/data/photographs/a.jpg")
    two = ShownPaths([Origin("photos", "/data/photos"), Origin("photos/x", "/data/photos/x")])
    assert two.of("/data/photos/x/b.jpg") == "photos/x/b.jpg"


def test_a_log_gets_lines_of_progress(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress_log, "LOG_SECONDS", 0.0)
    with cli_support.progress(None, "segment", " images") as bar:
        bar.update()
        bar.total = 1200
        bar.set_postfix_str("3 failed")
        bar.update(9)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("segment: 1, ")
    assert second.startswith("segment: 10 of 1,200, 3 failed, ")
    assert second.endswith(" images/s")


@pytest.mark.parametrize(("rate", "text"), [(0.042, "0.042"), (7.26, "7.3"), (118.4, "118"), (12345.6, "12,346")])
def test_rates_are_read_at_a_glance(rate: float, text: str) -> None:
    assert progress_log.rate_text(rate) == text


def test_a_log_gets_no_line_too_soon(capsys: pytest.CaptureFixture[str]) -> None:
    with cli_support.progress(10, "segment", " images") as bar:
        for _ in range(10):
            bar.update()
    assert (bar.n, capsys.readouterr().err) == (10, "")


def test_every_option_of_a_run_has_its_group() -> None:
    options = [param.name for param in run.params if isinstance(param, click.Option)]
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(filter(None, options)) == sorted(grouped)


def test_every_option_of_a_run_takes_one_line() -> None:
    shown = CliRunner().invoke(main, ["run", "--help"], terminal_width=80).stdout
    options = shown[shown.index("What is read:") :].splitlines()
    assert all(len(line) <= 80 for line in options)
    assert all(line.startswith("  -") or line.endswith(":") for line in options if line), shown
