"""Images that crash, hang or eat whoever reads them cost themselves and nothing else, whatever the output."""

from __future__ import annotations

import io
import os
import re
import signal
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.archive import archived_masks, masks_below, seg_batch
from tests.support.artefact import blobs
from tests.support.faults import (
    PATIENCE,
    counts,
    ended,
    everything_below,
    happened,
    healthy,
    png,
    reasons,
    started,
    tar_of,
    wait_for,
    write_images,
)

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc")

ENDED = re.escape("The process that read it ended twice (")
SAID = {
    "crash": rf"{ENDED}signal 11\)",
    "kill": rf"{ENDED}signal 9\)",
    "exit": rf"{ENDED}exit code 3\)",
    "free": rf"{ENDED}signal 11\)",
    "raise": "RuntimeError: a decoder fails",
    "panic": ".*a decoder in another language panics",
    "memory": "MemoryError",
    "hang": "It took longer than 1 s, twice",
    "clutch": "It took longer than 1 s, twice",
}
FATAL = ("crash", "kill", "exit", "free")
OTHERS = ("raise", "panic", "memory")
HANGING = ("hang", "clutch")


def faulty(*faults: str, count: int = 16) -> dict[str, bytes]:
    """Return healthy images and, among them, one of each fault, called by it."""
    images = healthy(count)
    for number, fault in enumerate(faults):
        pixels = blobs(np.random.default_rng(100 + number), 50, 60)[0]
        images[f"{3 * number:03}-{fault.replace(':', '_')}.png"] = png(pixels, fault)
    return dict(sorted(images.items()))


def run_words(source: str | Path, out: Path, model: Path, *options: str | Path) -> tuple[str | Path, ...]:
    return ("run", source, "--out", out, "--model", model, "--device", "cpu", *options)


def undisturbed(source: Path, out: Path, model: Path, *options: str | Path) -> dict[str, bytes]:
    """Return the masks of all images, made without faults: the files are good ones."""
    done = seg_batch(*run_words(source, out, model, *options))
    assert done.returncode == 0, done.stderr
    return masks_below(out) if out.is_dir() else archived_masks(out)


def without(masks: dict[str, bytes], *faults: str) -> dict[str, bytes]:
    return {name: mask for name, mask in masks.items() if not any(f"-{fault}." in name for fault in faults)}


def require_reasons(out: Path, *faults: str) -> None:
    found = reasons(out)
    assert {re.sub(r"^\d+-|\.png$", "", name) for name in found} == set(faults)
    for name, reason in found.items():
        assert re.match(SAID[re.sub(r"^\d+-|\.png$", "", name)], reason), f"{name}: {reason}"


def test_what_ends_its_process_costs_itself(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", faulty(*FATAL, *OTHERS))
    code, said = ended(tmp_path, *run_words(source, tmp_path / "out", model_file))
    assert code == 3, said
    require_reasons(tmp_path / "out", *FATAL, *OTHERS)
    whole = undisturbed(source, tmp_path / "whole", model_file)
    assert masks_below(tmp_path / "out") == without(whole, *FATAL, *OTHERS)
    assert counts(tmp_path / "out") == {"done": 16, "failed": 7, "pending": 0}
    assert everything_below(tmp_path / "out") == set(masks_below(tmp_path / "out")) | {
        ".seg-batch",
        ".seg-batch.lock",
        "ledger.sqlite",
    }
    assert not everything_below(tmp_path / "tmp")
    assert happened(tmp_path, "panic") == 1  # what a process survives is not tried again
    assert seg_batch("verify", tmp_path / "out").returncode == 0


@pytest.mark.slow
def test_the_next_run_tries_it_once_more_and_does_it_when_it_is_good(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", faulty("crash", count=4))
    words = run_words(source, tmp_path / "out", model_file)
    assert ended(tmp_path, *words)[0] == 3
    assert ended(tmp_path, *words)[0] == 3
    assert happened(tmp_path, "crash") == 3  # the second run tried it once, alone
    require_reasons(tmp_path / "out", "crash")
    (source / "000-crash.png").write_bytes(png(blobs(np.random.default_rng(1), 40, 50)[0]))
    code, said = ended(tmp_path, *words)
    assert code == 0, said
    assert counts(tmp_path / "out") == {"done": 5, "failed": 0, "pending": 0}


def test_what_hangs_is_ended(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", faulty(*HANGING))
    code, said = ended(tmp_path, *run_words(source, tmp_path / "out", model_file, "--timeout", "1"))
    assert code == 3, said
    require_reasons(tmp_path / "out", *HANGING)
    assert masks_below(tmp_path / "out") == without(undisturbed(source, tmp_path / "whole", model_file), *HANGING)


@pytest.mark.parametrize(
    ("colour", "reason"),
    [
        ((255, 0, 255), SAID["crash"]),
        pytest.param((0, 255, 255), SAID["hang"], marks=pytest.mark.slow),
        pytest.param((255, 255, 0), "The model failed on this image: RuntimeError", marks=pytest.mark.slow),
    ],
)
def test_the_model_fails_on_one_image_of_a_batch(
    model_file: Path, tmp_path: Path, colour: tuple[int, int, int], reason: str
) -> None:
    images = healthy(16)
    images["bad.png"] = png(np.full((64, 64, 3), colour, np.uint8))
    source = write_images(tmp_path / "in", images)
    code, said = ended(tmp_path, *run_words(source, tmp_path / "out", model_file, "--timeout", "1"))
    assert code == 3, said
    found = reasons(tmp_path / "out")
    assert set(found) == {"bad.png"}
    assert re.match(reason, found["bad.png"])
    assert counts(tmp_path / "out") == {"done": 16, "failed": 1, "pending": 0}


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("--processes", "1"),
        ("--processes", "1", "--batch", "64"),
        ("--processes", "3", "--workers", "4"),
        ("--processes", "2", "--batch", "1", "--workers", "1"),
        ("--exact",),
        ("--checksum",),
        ("--postprocess", "largest,fill", "--mask-bits", "1"),
    ],
    ids=" ".join,
)
def test_every_way_of_working_gives_the_masks_of_a_run_without_faults(
    model_file: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    bad = ("crash", "exit", "hang", "raise")
    source = write_images(tmp_path / "in", faulty(*bad, count=40))
    code, said = ended(tmp_path, *run_words(source, tmp_path / "out", model_file, *options, "--timeout", "1"))
    assert code == 3, said
    require_reasons(tmp_path / "out", *bad)
    assert masks_below(tmp_path / "out") == without(undisturbed(source, tmp_path / "whole", model_file, *options), *bad)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_of_masks_with_pictures(model_file: Path, tmp_path: Path, kind: str) -> None:
    bad = ("crash", "exit")
    source = write_images(tmp_path / "in", faulty(*bad))
    folders = {name: tmp_path / name for name in ("overlays", "probs", "whole-overlays", "whole-probs")}
    pictures = ("--overlays", folders["overlays"], "--probs", folders["probs"])
    code, said = ended(tmp_path, *run_words(source, tmp_path / f"out.{kind}", model_file, *pictures))
    assert code == 3, said
    require_reasons(tmp_path / f"out.{kind}", *bad)
    whole_pictures = ("--overlays", folders["whole-overlays"], "--probs", folders["whole-probs"])
    whole = undisturbed(source, tmp_path / f"whole.{kind}", model_file, *whole_pictures)
    assert archived_masks(tmp_path / f"out.{kind}") == without(whole, *bad)
    for name in ("overlays", "probs"):
        there = {path.stem: path.read_bytes() for path in folders[name].iterdir() if path.name[0] != "."}
        expected = {path.stem: path.read_bytes() for path in folders[f"whole-{name}"].iterdir() if path.name[0] != "."}
        assert there == {stem: data for stem, data in expected.items() if not stem.endswith(bad)}
        assert len([path for path in folders[name].iterdir() if path.name.startswith(".")]) == 1  # its mark
    assert not (tmp_path / f"out.{kind}.part").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "pipe", "list"])
def test_every_source(model_file: Path, tmp_path: Path, kind: str) -> None:
    bad = ("crash", "kill", "hang", "raise")
    images = faulty(*bad)
    folder = write_images(tmp_path / "in", images)
    path = tmp_path / f"images.{kind}"
    options: dict[str, object] = {}
    source: str | Path = path
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in images.items():
                archive.writestr(name, data)
    elif kind == "list":
        path.write_text("".join(f"{folder / name}\n" for name in images))
        source = "-"
    else:
        path.write_bytes(tar_of(images, "w:gz" if kind == "tar.gz" else "w"))
        source = "-" if kind == "pipe" else path
    with path.open("rb") as stdin:
        options = {"stdin": stdin} if source == "-" else {}
        code, said = ended(tmp_path, *run_words(source, tmp_path / "out", model_file, "--timeout", "1"), **options)
    assert code == 3, said
    require_reasons(tmp_path / "out", *bad)
    whole = undisturbed(folder, tmp_path / "whole", model_file)
    named = {Path(name).name: mask for name, mask in masks_below(tmp_path / "out").items()}
    assert named == without(whole, *bad)


def bmp(side: int, seed: int = 0) -> bytes:
    """Return a BMP that is as large as its pixels, of few colours."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (seed % 200, 160, 140)).save(file, "BMP")
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--processes", "1", "--batch", "64"), ("--processes", "2"), ("--exact",)])
def test_a_stream_of_images_larger_than_what_is_held(
    model_file: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    images = {f"{number:03}.bmp": bmp(1774, number) for number in range(60)}  # 9.4 MB each, 566 MB together
    assert 9 * 2**20 < len(images["000.bmp"]) < 9.1 * 2**20
    (tmp_path / "large.tar.gz").write_bytes(tar_of(images, "w:gz"))
    code, said = ended(tmp_path, *run_words(tmp_path / "large.tar.gz", tmp_path / "out", model_file, *options))
    assert code == 0, said
    assert counts(tmp_path / "out") == {"done": 60, "failed": 0, "pending": 0}


@pytest.mark.slow
def test_a_stream_with_images_that_are_each_larger_than_what_is_held(model_file: Path, tmp_path: Path) -> None:
    images = {f"{number}.bmp": bmp(9600, number) for number in range(2)}  # 276 MB, 92 megapixels
    images |= healthy(20)
    images["large-crash.png"] = png(np.zeros((8200, 8200, 3), np.uint8), "after-crash")
    images["zz.bmp"] = bmp(9600)
    (tmp_path / "large.tar.gz").write_bytes(tar_of(images, "w:gz"))
    code, said = ended(tmp_path, *run_words(tmp_path / "large.tar.gz", tmp_path / "out", model_file))
    assert code == 3, said
    assert set(reasons(tmp_path / "out")) == {"large-crash.png"}
    assert counts(tmp_path / "out") == {"done": 23, "failed": 1, "pending": 0}


def test_what_came_before_a_pipe_pauses_is_done_meanwhile(model_file: Path, tmp_path: Path) -> None:
    data, out = tar_of(faulty("crash", count=9)), tmp_path / "out"
    read, write = os.pipe()
    with started(tmp_path, *run_words("-", out, model_file), stdin=read) as run, os.fdopen(write, "wb") as pipe:
        os.close(read)
        last = data.rindex(b"ustar") - 257  # where the header of the last member begins
        pipe.write(data[:last])
        pipe.flush()
        wait_for(lambda: counts(out).get("done", 0) == 8, PATIENCE, lambda: f"{counts(out)}; it said: {run.said}")
        wait_for(lambda: counts(out).get("failed", 0) == 1, PATIENCE, lambda: f"{counts(out)}; it said: {run.said}")
        pipe.write(data[last:])
        pipe.close()
        assert run.wait() == 3, run.said
    assert counts(out) == {"done": 9, "failed": 1, "pending": 0}


@pytest.fixture
def trickle() -> Iterator[list[threading.Thread]]:
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(PATIENCE)


@pytest.mark.slow
def test_a_pipe_that_pauses_in_the_middle_of_an_image(
    model_file: Path, tmp_path: Path, trickle: list[threading.Thread]
) -> None:
    data = tar_of(faulty("kill", "hang", count=30))
    read, write = os.pipe()

    def send() -> None:
        with os.fdopen(write, "wb", buffering=0) as pipe:
            for part in (data[: len(data) // 3], data[len(data) // 3 :]):
                pipe.write(part)
                time.sleep(5)

    trickle.append(threading.Thread(target=send))
    with started(tmp_path, *run_words("-", tmp_path / "out", model_file, "--timeout", "1"), stdin=read) as run:
        os.close(read)
        trickle[0].start()
        assert run.wait() == 3, run.said
    require_reasons(tmp_path / "out", "kill", "hang")
    assert counts(tmp_path / "out") == {"done": 30, "failed": 2, "pending": 0}


@pytest.mark.slow
def test_large_images_are_worked_on_one_at_a_time(model_file: Path, tmp_path: Path) -> None:
    images = healthy(20)
    large = np.full((8100, 8100, 3), 90, np.uint8)  # 65.6 megapixels
    images |= {f"large-{n}.png": png(large, fault, compress_level=1) for n, fault in enumerate(("", "", "after-exit"))}
    source = write_images(tmp_path / "in", images)
    code, said = ended(tmp_path, *run_words(source, tmp_path / "out", model_file, "--processes", "2"))
    assert code == 3, said
    assert set(reasons(tmp_path / "out")) == {"large-2.png"}
    assert counts(tmp_path / "out") == {"done": 22, "failed": 1, "pending": 0}


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["crash:1", "kill:1", "after-exit:1", "free:1", "hang:1", "late:1"])
def test_what_passes_costs_nothing(model_file: Path, tmp_path: Path, fault: str) -> None:
    """A process that dies once, or a moment later, while another image is read: all images get their masks."""
    source = write_images(tmp_path / "in", faulty(fault, count=40))
    code, said = ended(tmp_path, *run_words(source, tmp_path / "out", model_file, "--timeout", "1"))
    assert code == 0, said
    assert happened(tmp_path, fault.removeprefix("after-").partition(":")[0]) == 1
    assert masks_below(tmp_path / "out") == undisturbed(source, tmp_path / "whole", model_file)


@pytest.mark.slow
def test_a_machine_that_sleeps_is_no_hang(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(40, fault="slow"))
    with started(tmp_path, *run_words(source, tmp_path / "out", model_file, "--timeout", "2")) as run:
        run.in_time("slow", tmp_path)
        run.kill(signal.SIGSTOP)
        time.sleep(5)
        run.kill(signal.SIGCONT)
        assert run.wait() == 0, run.said
    assert happened(tmp_path, "slow") == 40  # none was tried again


@pytest.mark.slow
def test_only_images_that_crash(model_file: Path, tmp_path: Path) -> None:
    source = write_images(
        tmp_path / "in", {f"{n}-crash.png": data for n, data in enumerate(healthy(8, 0, "crash").values())}
    )
    code, said = ended(tmp_path, *run_words(source, tmp_path / "out", model_file))
    assert code == 3, said
    assert counts(tmp_path / "out") == {"done": 0, "failed": 8, "pending": 0}


@pytest.mark.slow
def test_more_crashes_than_max_failures_end_the_run(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", faulty("crash", "exit", count=4))
    code, said = ended(tmp_path, *run_words(source, tmp_path / "out", model_file, "--max-failures", "1"))
    assert code == 1, said
    assert "--max-failures" in said
