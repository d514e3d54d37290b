"""Images that crash, hang or eat whoever reads them cost themselves and nothing else, whatever the output."""

from __future__ import annotations

import re
import signal
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.archive import archived_masks, masks_below, seg_batch
from tests.support.artefact import blobs
from tests.support.faults import (
    PATIENCE,
    counts,
    ended,
    everything_below,
    faulty,
    happened,
    healthy,
    png,
    reasons,
    run_words,
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
    "hang": r"It took longer than \d s, twice",
    "clutch": r"It took longer than \d s, twice",
}
FATAL = ("crash", "kill", "exit", "free")
OTHERS = ("raise", "panic", "memory")
HANGING = ("hang", "clutch")


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


@pytest.mark.slow
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
        "report.html",
        "ledger.sqlite",
    }
    assert not everything_below(tmp_path / "tmp")
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


@pytest.mark.slow
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
    seconds = "1" if reason == SAID["hang"] else "20"
    code, said = ended(tmp_path, *run_words(source, tmp_path / "out", model_file, "--timeout", seconds))
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
    code, said = ended(tmp_path, *run_words(source, tmp_path / "out", model_file, *options, "--timeout", "2"))
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
        hidden = {path.name for path in folders[name].iterdir() if path.name.startswith(".")}
        assert hidden == {".seg-batch", ".seg-batch.lock"}
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
        code, said = ended(tmp_path, *run_words(source, tmp_path / "out", model_file, "--timeout", "2"), **options)
    assert code == 3, said
    require_reasons(tmp_path / "out", *bad)
    whole = undisturbed(folder, tmp_path / "whole", model_file)
    named = {Path(name).name: mask for name, mask in masks_below(tmp_path / "out").items()}
    assert named == without(whole, *bad)


@pytest.mark.slow
def test_images_and_masks_at_urls(model_file: Path, tmp_path: Path, s3: Any) -> None:
    bad = ("crash", "clutch", "panic")
    images = faulty(*bad)
    for name, data in images.items():
        s3.pipe(f"photos/in/{name}", data)
    state, words = tmp_path / "ledger", ("--timeout", "3", "--ledger", tmp_path / "ledger")
    code, said = ended(tmp_path, *run_words("s3://photos/in", "s3://masks/out", model_file, *words))
    assert code == 3, said
    require_reasons(state, *bad)
    whole = undisturbed(write_images(tmp_path / "in", images), tmp_path / "whole", model_file)
    there = {path.removeprefix("masks/out/"): s3.cat(path) for path in s3.find("masks/out")}
    assert {name: mask for name, mask in there.items() if name.endswith(".png")} == without(whole, *bad)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["crash:1", "kill:1", "after-exit:1", "free:1", "hang:1", "late:1"])
def test_what_passes_costs_nothing(model_file: Path, tmp_path: Path, fault: str) -> None:
    """A process that dies once, or a moment later, while another image is read: all images get their masks."""
    source = write_images(tmp_path / "in", faulty(fault, count=40))
    code, said = ended(tmp_path, *run_words(source, tmp_path / "out", model_file, "--timeout", "3"))
    assert code == 0, said
    assert happened(tmp_path, fault.removeprefix("after-").partition(":")[0]) == 1
    assert masks_below(tmp_path / "out") == undisturbed(source, tmp_path / "whole", model_file)


@pytest.mark.slow
def test_a_machine_that_sleeps_is_no_hang(model_file: Path, tmp_path: Path) -> None:
    source = write_images(tmp_path / "in", healthy(40, fault="slow"))
    with started(tmp_path, *run_words(source, tmp_path / "out", model_file, "--timeout", "5", "--no-report")) as run:
        run.in_time("slow", tmp_path)
        run.kill(signal.SIGSTOP)
        time.sleep(8)  # longer than the time-out, which counts a gap as 1 s: 4 s are left for a loaded machine
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


@pytest.mark.slow
def test_a_worker_that_starts_when_the_output_was_taken_away_says_so(model_file: Path, tmp_path: Path) -> None:
    source, out = write_images(tmp_path / "in", healthy(300, fault="nap")), tmp_path / "out"
    words = run_words(source, out, model_file, "--processes", "2")
    with started(tmp_path, *words, start_seconds=2) as run:
        wait_for(lambda: len(list(out.glob("*.png"))) > 2, PATIENCE, lambda: run.said)
        run.process.send_signal(signal.SIGSTOP)  # it would notice itself
        out.rename(tmp_path / "moved")
        time.sleep(4)
        run.process.send_signal(signal.SIGCONT)
        assert run.wait() == 1
        assert "Traceback" not in run.said
        assert "moved" in run.said
