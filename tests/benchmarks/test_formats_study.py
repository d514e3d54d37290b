"""The study of formats: its own files are right, it finds nothing wrong in the reader, and it sees faults."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from benchmarks.studies import formats
from benchmarks.support.formats import children
from benchmarks.support.formats.cells import LOSSLESS, picture, turned
from benchmarks.support.formats.collection import Compared, compared
from benchmarks.support.formats.colours import from_cmyk, from_space, in_space, to_cmyk
from benchmarks.support.formats.decoders import Attempt, Task, attempted
from benchmarks.support.formats.fuzz import spoiled
from benchmarks.support.formats.jpeg_writer import Form, jpeg
from benchmarks.support.formats.matrices import MATRICES, QUICK, all_cells
from benchmarks.support.formats.png_cells import RGB, png
from benchmarks.support.formats.tiff_writer import Layout, tiff

PLANTED = "tests.support.planted_readers"
KINDS = [word for name in MATRICES if name != "bombs" for word in ("--matrix", name)]


def _study(out: Path, *options: str) -> Result:
    return CliRunner().invoke(formats.main, [*options, "--out", str(out)])


@pytest.fixture
def linux_only() -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("reads /proc")


def test_pillow_reads_what_the_writers_write() -> None:
    ycc = np.asarray(Image.fromarray(picture()).convert("YCbCr"))
    for suffix, data, worst in (
        (".tif", tiff(picture(), Layout(order=">", rows=7)), 0),
        (".png", png(picture(), RGB, 8, interlaced=True, parts=2), 0),
        (".jpg", jpeg(ycc, Form([(1, 1)] * 3, restart=2)), 12),
    ):
        found = attempted(Task(data, suffix, "Pillow"), None).pixels  # type: ignore[arg-type]  # no reader is asked
        assert found is not None
        assert np.abs(found.astype(int) - picture()).max() <= worst


def test_turns_are_those_of_pillow() -> None:
    names = [
        None,
        "FLIP_LEFT_RIGHT",
        "ROTATE_180",
        "FLIP_TOP_BOTTOM",
        "TRANSPOSE",
        "ROTATE_270",
        "TRANSVERSE",
        "ROTATE_90",
    ]
    for orientation, name in enumerate(names, 1):
        image = Image.fromarray(picture())
        expected = np.asarray(image.transpose(Image.Transpose[name]) if name else image)
        assert np.array_equal(turned(picture(), orientation), expected)


def test_colours_come_back() -> None:
    assert np.abs(from_cmyk(to_cmyk(picture())).astype(int) - picture()).max() <= 1
    primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
    assert np.abs(from_space(in_space(picture(), primaries, 2.2), primaries, 2.2).astype(int) - picture()).max() <= 3


def test_a_bound_sees_a_shift_of_one_pixel() -> None:
    assert LOSSLESS.holds(picture(), picture())
    assert not LOSSLESS.holds(np.roll(picture(), 1, axis=1), picture())
    assert not LOSSLESS.holds(picture()[:-1], picture())


def test_spoiled_files_differ_and_come_again() -> None:
    data = png(picture(), RGB, 8)
    files = {spoiled(data, np.random.default_rng(seed)) for seed in range(50)}
    assert len(files) > 45
    assert spoiled(data, np.random.default_rng(3)) == spoiled(data, np.random.default_rng(3))


def test_foreign_files_are_judged_by_those_that_agree() -> None:
    def read(level: int, size: tuple[int, int] = (9, 9)) -> Attempt:
        return Attempt("read", "", np.full((4, 4, 3), level, np.uint8), size)

    def outcome(**others: Attempt) -> Compared:
        return compared("f.png", {"seglab": read(100), **others})

    assert outcome(a=read(100), b=read(101)).outcome == "agrees"
    assert outcome(a=read(30), b=read(31)).outcome == "differs"
    assert outcome(a=read(30), b=read(31), c=read(99)).outcome == "agrees with c alone"
    assert outcome(a=read(30), b=read(190)).outcome == "disputed"
    assert outcome(a=read(100, (5, 9)), b=read(100, (5, 9))).outcome == "size"
    assert outcome(a=Attempt("refused", "no")).outcome == "alone"


@pytest.mark.slow
def test_nothing_is_wrong(tmp_path: Path, linux_only: None) -> None:
    pytest.importorskip("pydicom")
    ended = _study(tmp_path, *KINDS, "--quick", "--others", "here")
    assert ended.exit_code == 0, ended.stderr
    figures = json.loads((tmp_path / "formats.json").read_text())
    assert figures["cells"] > 400
    assert set(figures["counts"]) == {"TIFF", "PNG", "JPEG", "DICOM", "others"}
    assert all(counts.get("wrong", 0) == 0 for counts in figures["counts"].values())
    assert sum(counts["right"] for counts in figures["counts"].values()) > 0.85 * figures["cells"]


@pytest.mark.slow
def test_small_files_that_ask_for_much_take_little(tmp_path: Path, linux_only: None) -> None:
    pytest.importorskip("pydicom")
    ended = _study(tmp_path, "--matrix", "bombs", "--others", "none")
    assert ended.exit_code == 0, ended.stderr
    assert json.loads((tmp_path / "formats.json").read_text())["cells"] > 35


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["bgr", "mirrored", "darker"])
def test_wrong_pixels_are_seen(tmp_path: Path, fault: str, linux_only: None) -> None:
    options = ["--matrix", "png", "--quick", "--others", "none", "--reader", f"{PLANTED}:{fault}"]
    assert _study(tmp_path, *options).exit_code == 1
    listed = json.loads((tmp_path / "formats.json").read_text())["not_right"]
    wrong = [cell["group"] for cell in listed if cell["verdict"] == "wrong"]
    assert wrong.count("RGB") == 8
    assert wrong.count("orientation") >= QUICK // 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "said"), [("dies", "crash: SIGSEGV"), ("eats", "memory: "), ("raises", "error: KeyError")]
)
def test_a_reader_that_fails_is_seen(tmp_path: Path, fault: str, said: str, linux_only: None) -> None:
    ended = _study(tmp_path, "--matrix", "others", "--quick", "--others", "none", "--reader", f"{PLANTED}:{fault}")
    assert ended.exit_code == 1
    listed = json.loads((tmp_path / "formats.json").read_text())["not_right"]
    found = [cell["why"] for cell in listed if cell["group"] == "GIF"]
    assert len(found) == QUICK
    assert all(why.startswith(said) for why in found)


@pytest.mark.slow
def test_spoiled_files_that_crash_are_kept(tmp_path: Path, linux_only: None) -> None:
    ended = _study(tmp_path, "--matrix", "others", "--fuzz", "60", "--reader", f"{PLANTED}:dies")
    assert ended.exit_code == 1
    assert all(path.read_bytes().startswith(b"GIF8") for path in (tmp_path / "spoiled").iterdir())
    assert len(list((tmp_path / "spoiled").iterdir())) >= 1


@pytest.mark.slow
def test_a_folder_of_files(tmp_path: Path, linux_only: None) -> None:
    folder = tmp_path / "in" / "below"
    folder.mkdir(parents=True)
    Image.fromarray(picture()).save(folder / "a.png")
    (folder / "b.jpg").write_bytes(b"no picture")
    out = tmp_path / "out"
    assert _study(out, "--files", str(tmp_path / "in")).exit_code == 0
    outcomes = {file["name"]: file["outcome"] for file in json.loads((out / "formats-files.json").read_text())["files"]}
    assert outcomes == {"below/a.png": "agrees", "below/b.jpg": "refused"}
    assert _study(out, "--files", str(tmp_path / "in"), "--reader", f"{PLANTED}:bgr").exit_code == 1
    assert (out / "formats-files.png").is_file()


@pytest.mark.slow
def test_a_file_that_hangs_ends(linux_only: None) -> None:
    limits = children.Limits(seconds=5.0)
    tasks = [("slow", Task(b"GIF8", ".gif")), ("fast", Task(b"", ".png"))]
    found = dict(children.run_all(tasks, _sleeps, limits, processes=1))
    assert found["slow"].state == "hang"
    assert found["fast"].state == "refused"


def _sleeps(data: bytes) -> None:
    import time

    from seglab.errors import ImageError

    if data:
        time.sleep(60 if data.startswith(b"GIF8") else 0)
    raise ImageError("Nothing came; expected a file. Send one.")


@pytest.mark.slow
def test_cells_have_names_of_their_own() -> None:
    cells = all_cells(["png", "others"], None)
    assert set(MATRICES) == {"tiff", "png", "jpeg", "dicom", "others", "bombs"}
    assert len({(cell.matrix, cell.group, cell.name) for cell in cells}) == len(cells) > 400
