"""Runs of ``seglab train`` as a user has them: stopped, moved, gone on with, begun twice, on a full disk."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seglab.cli import main
from seglab.networks.checkpoints import load_checkpoint, save_checkpoint
from seglab.synth import write_set
from seglab.training import lock
from seglab.training.lock import held
from tests.seglab.training.test_loop import killed_in_epoch

TINY = [
    "--device", "cpu", "--set", "precision=fp32", "--set", "size=32", "--set", "batch=4", "--set", "workers=0",
    "--set", "split=seeded",
    "--set", "arch=unet-scratch", "--set", "widths=[4,8]", "--set", "decoder_channels=[]", "--set", "augment=none",
]  # fmt: skip
PAIRS = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic pairs; read-only."""
    root = tmp_path_factory.mktemp("sets") / "plain"
    write_set(root, PAIRS, [(60, 80), (80, 60)], seed=5)
    return root


@pytest.fixture(scope="module")
def two_epochs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs, to copy; read-only."""
    run = tmp_path_factory.mktemp("runs") / "two"
    done = begin(data, run, "--set", "epochs=2")
    assert done.exit_code == 0, done.output
    return run


@pytest.fixture
def run(two_epochs: Path, tmp_path: Path) -> Path:
    """A copy of that run."""
    return Path(shutil.copytree(two_epochs, tmp_path / "run"))


def seglab(*words: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, words)))


def begin(data: Path, out: Path, *options: str) -> Result:
    return seglab("train", "--data", data, "--out", out, *TINY, *options)


def resume(run: Path, *options: str | Path) -> Result:
    return seglab("train", "--resume", run, "--device", "cpu", *options)


def epochs_of(run: Path) -> int:
    return len(load_checkpoint(run / "last.pt").training["history"])


def assert_equal_weights(one: Path, other: Path) -> None:
    for name in ("best.pt", "last.pt"):
        ours, theirs = load_checkpoint(one / name), load_checkpoint(other / name)
        assert ours.state.keys() == theirs.state.keys()
        assert all(torch.equal(ours.state[key], theirs.state[key]) for key in ours.state), name
    assert (one / "log.csv").read_bytes() == (other / "log.csv").read_bytes()


# Going on


@pytest.mark.slow
def test_a_run_goes_on_by_its_folder_alone_to_equal_weights(data: Path, tmp_path: Path) -> None:
    assert begin(data, tmp_path / "whole", "--set", "epochs=3").exit_code == 0
    parts = tmp_path / "parts"
    for call in range(1, 4):
        hours = ("--hours", "1e-9")
        done = begin(data, parts, "--set", "epochs=3", *hours) if call == 1 else resume(parts, *hours)
        assert done.exit_code == 0, done.output
        assert epochs_of(parts) == call
        assert (f"seglab train --resume {parts}" in done.stderr) == (call < 3)
    assert_equal_weights(parts, tmp_path / "whole")
    assert (parts / "best.pt").read_bytes() == (tmp_path / "whole" / "best.pt").read_bytes()
    again = resume(parts)
    assert again.exit_code == 0, again.output
    assert "is finished after 3 epochs" in again.stderr


def test_enough_hours_stop_nothing(data: Path, tmp_path: Path) -> None:
    assert begin(data, tmp_path / "run", "--set", "epochs=2", "--hours", "5").exit_code == 0
    assert epochs_of(tmp_path / "run") == 2
    assert begin(data, tmp_path / "other", "--hours", "0").exit_code == 2


def test_data_that_moved_are_the_same_data(data: Path, tmp_path: Path) -> None:
    here, there = Path(shutil.copytree(data, tmp_path / "here")), tmp_path / "there"
    run = tmp_path / "run"
    assert begin(here, run, "--set", "epochs=2", "--hours", "1e-9").exit_code == 0
    here.rename(there)
    gone = resume(run)
    assert gone.exit_code == 2
    assert f"are no longer there ({here}). Name their folder: --data DIR" in gone.stderr
    moved = seglab("train", "--data", there, "--out", run, *TINY, "--set", "epochs=2", "--resume")
    assert moved.exit_code == 0, moved.output
    assert "are now called there (before: here)" in moved.stderr
    assert begin(data, tmp_path / "whole", "--set", "epochs=2").exit_code == 0
    assert_equal_weights(run, tmp_path / "whole")
    assert resume(run, "--set", "epochs=3").exit_code == 0, "it knows the new place"


def test_sets_with_the_same_numbers_may_be_renamed(data: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        write_set(tmp_path / name, 6, [(40, 50)], seed=seed)
    both = ["--data", str(tmp_path / "a"), "--data", str(tmp_path / "b")]
    run = tmp_path / "run"
    done = seglab("train", *both, "--out", run, *TINY, "--set", "epochs=1")
    assert done.exit_code == 0, done.output
    kept = load_checkpoint(run / "last.pt").training["split"]
    if not any("/" in id for id in kept["training"]):
        pytest.skip("ids are not told apart by set yet")
    (tmp_path / "b").rename(tmp_path / "c")
    moved = resume(run, "--data", tmp_path / "c", "--data", tmp_path / "a", "--set", "epochs=2")
    assert moved.exit_code == 0, moved.output
    alone = seglab("validate", run, "--data", tmp_path / "a", "--device", "cpu", "--json", "-")
    expected = sum(id.startswith("a/") for id in kept["validation"])
    assert json.loads(alone.stdout)["scores"]["count"] == expected if expected else alone.exit_code == 1


def test_other_data_are_refused(run: Path, data: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    write_set(others, PAIRS, [(60, 80), (80, 60)], seed=99)
    assert {path.name for path in (others / "images").iterdir()} == {path.name for path in (data / "images").iterdir()}
    same_names = resume(run, "--data", others, "--set", "epochs=3")
    assert same_names.exit_code == 1
    assert "but other pixels" in same_names.stderr

    fewer = Path(shutil.copytree(data, tmp_path / "fewer"))
    for folder in ("images", "masks"):
        next(iter(sorted((fewer / folder).iterdir()))).unlink()
    lacking = resume(run, "--data", fewer, "--set", "epochs=3")
    assert lacking.exit_code == 1
    assert f"lack 1 of the {PAIRS} images" in lacking.stderr

    more = Path(shutil.copytree(data, tmp_path / "more"))
    for folder in ("images", "masks"):
        first = next(iter(sorted((more / folder).iterdir())))
        shutil.copy(first, first.with_stem("zzz"))
    assert resume(run, "--data", more, "--set", "epochs=3").exit_code == 0, "an image more changes nothing"


@pytest.mark.parametrize("way", ["limit", "exclude", "report", "split-file"])
def test_what_a_run_was_divided_by_is_not_needed_to_go_on(
    way: str, data: Path, two_epochs: Path, tmp_path: Path
) -> None:
    own, run = Path(shutil.copytree(data, tmp_path / "plain")), tmp_path / "run"
    first = sorted((own / "images").iterdir())[0]
    file = tmp_path / "file"
    options: tuple[str, ...] = ("--set", "limit=3")
    if way == "exclude":
        file.write_text(f"{first.stem}\n")
        options = ("--exclude", str(file))
    elif way == "report":
        first.write_bytes(first.read_bytes()[:100])
        options = ("--inspect", "report")
    elif way == "split-file":
        shutil.copy(two_epochs / "split.json", file)
        first.unlink()
        (own / "masks" / f"{first.stem}.png").unlink()
        options = ("--split-file", str(file), "--set", "limit=3")
    begun = begin(own, run, "--set", "epochs=1", *options)
    assert begun.exit_code == 0, begun.output
    assert ("names 1 image that is not in the data" in begun.stderr) == (way == "split-file")
    before = load_checkpoint(run / "last.pt").training["split"]
    command = json.loads((run / "settings.json").read_text())["command"]
    if way == "split-file":  # told again, with images that the data lack and others beyond the limit
        again = begin(own, run, "--set", "epochs=2", *options, "--resume")
        assert again.exit_code == 0, again.output
    file.unlink(missing_ok=True)
    alone = resume(run, "--set", "epochs=3")
    assert alone.exit_code == 0, alone.output
    assert load_checkpoint(run / "last.pt").training["split"] == before
    assert json.loads((run / "settings.json").read_text())["command"] == command


def test_what_takes_images_out_of_a_run_is_refused(run: Path, data: Path, tmp_path: Path) -> None:
    split = json.loads((run / "split.json").read_text())
    (tmp_path / "ids").write_text(f"{split['training'][0]}\n")
    excluded = resume(run, "--set", "epochs=3", "--exclude", tmp_path / "ids")
    assert (excluded.exit_code, "names 1 image that this run uses" in excluded.stderr) == (2, True)
    moved = split | {"training": split["training"][1:], "validation": [*split["validation"], split["training"][0]]}
    (tmp_path / "moved.json").write_text(json.dumps(moved))
    other = resume(run, "--set", "epochs=3", "--split-file", tmp_path / "moved.json")
    assert (other.exit_code, "differs from the split of this run" in other.stderr) == (2, True)
    lacking = split | {"training": [*split["training"], "x", "y"]}
    (tmp_path / "lacking.json").write_text(json.dumps(lacking))
    refused = begin(data, tmp_path / "new", "--split-file", str(tmp_path / "lacking.json"))
    assert refused.exit_code == 1
    assert f"names {PAIRS + 2} images, and 2 of them are not in the data" in refused.stderr


def test_soft_masks_that_lack_an_image_are_found_before_the_pairs_are_looked_at(data: Path, tmp_path: Path) -> None:
    own, soft = Path(shutil.copytree(data, tmp_path / "plain")), tmp_path / "soft"
    shutil.copytree(own / "masks", soft)
    for path in soft.iterdir():
        path.with_suffix(".npy").touch()
        path.unlink()
    sorted((own / "images").iterdir())[0].write_bytes(b"")
    assert "The data have errors" in begin(own, tmp_path / "run", "--soft-masks", str(soft)).stderr
    for path in soft.iterdir():
        path.unlink()
    refused = begin(own, tmp_path / "run", "--soft-masks", str(soft))
    assert refused.exit_code == 1
    assert "has soft masks for 0 of" in refused.stderr


def test_more_epochs_and_another_rate_are_said(run: Path) -> None:
    done = resume(run, "--set", "epochs=3", "--set", "lr=0.0005", "--set", "batch=2")
    assert done.exit_code == 0, done.output
    for line in ("From epoch 3: epochs (2 before, 3 now).", "lr (0.001 before, 0.0005 now)", "batch (4 before, 2 now)"):
        assert line in done.stderr
    assert "cosine schedule is stretched to 3 epochs" in done.stderr
    assert epochs_of(run) == 3
    (change,) = load_checkpoint(run / "last.pt").training["changes"]
    assert change == {"from_epoch": 3, "changed": {"epochs": [2, 3], "batch": [4, 2], "lr": [0.001, 0.0005]}}
    again = resume(run)
    assert "before" not in again.stderr, "changes are said once"


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_another_rate_is_the_rate_of_the_next_epoch(data: Path, tmp_path: Path, schedule: str) -> None:
    run = tmp_path / "run"
    assert begin(data, run, "--set", "epochs=1", "--set", f"schedule={schedule}").exit_code == 0
    assert resume(run, "--set", "epochs=2", "--set", "lr=0.0002").exit_code == 0
    rates = [row["lr"] for row in load_checkpoint(run / "last.pt").training["history"]]
    assert rates == pytest.approx([0.001, 0.0002])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("seed=3", "seed (0 before, 3 now)"),
        ("size=64", "size (32 before, 64 now)"),
        ("widths=[8,16]", "widths"),
        ("split=fifth", "split ('seeded' before, 'fifth' now)"),
        ("epochs=1", "already has 2 epochs"),
        ("lr=inf", "lr is inf; expected a finite number"),
    ],
)
def test_what_cannot_change_is_refused_by_name(run: Path, change: str, message: str) -> None:
    before = (run / "last.pt").read_bytes()
    refused = resume(run, "--set", change)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert (run / "last.pt").read_bytes() == before


def test_a_run_that_kept_no_ids_goes_on_where_its_data_are_named(run: Path, data: Path) -> None:
    """As seglab wrote it before checkpoints had the split, and settings the command."""
    for name in ("last.pt", "best.pt"):
        checkpoint = load_checkpoint(run / name)
        del checkpoint.training["split"], checkpoint.training["data"]["fingerprint"]
        save_checkpoint(checkpoint, run / name)
    settings = json.loads((run / "settings.json").read_text())
    del settings["command"]
    (run / "settings.json").write_text(json.dumps(settings))
    nowhere = resume(run)
    assert nowhere.exit_code == 2
    assert "are not named in its files. Name their folder: --data DIR" in nowhere.stderr
    assert seglab("validate", run, "--data", data, "--device", "cpu").exit_code == 0, "split.json lies beside it"
    gone_on = seglab("train", "--data", data, "--out", run, *TINY, "--set", "epochs=3", "--resume")
    assert gone_on.exit_code == 0, gone_on.output
    assert len(load_checkpoint(run / "last.pt").training["split"]["training"]) > 0
    assert resume(run, "--set", "epochs=4").exit_code == 0


def test_a_checkpoint_of_a_newer_version_is_named(run: Path) -> None:
    checkpoint = load_checkpoint(run / "last.pt")
    checkpoint.training["recipe"]["warp"] = 3
    save_checkpoint(checkpoint, run / "last.pt")
    refused = resume(run)
    assert refused.exit_code == 1
    assert "last.pt was written by another version of seglab, probably a newer one" in refused.stderr
    assert "'warp'" in refused.stderr
    values = torch.load(run / "best.pt", weights_only=True)
    torch.save(values | {"aura": 1}, run / "best.pt")
    unknown = seglab("validate", run, "--device", "cpu")
    assert unknown.exit_code == 1
    assert "does not know (aura): a newer version wrote it" in unknown.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--resume"], "does not say which run. Name its folder"),
        (["--resume", "one", "--out", "two"], "are different folders"),
        (["--resume", "nowhere"], "does not exist. Check the folder"),
        (["--out", "x"], "No data was named. Name a data set"),
        (["--data", "x"], "Missing option '--out'"),
    ],
)
def test_calls_that_say_too_little_or_too_much(words: list[str], message: str) -> None:
    result = seglab("train", *words)
    assert result.exit_code == 2
    assert message in result.stderr


# Stopped


def test_a_stop_in_the_first_epoch_advises_what_works(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seglab.training.steps import Steps

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Steps, "train", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        stopped = begin(data, run, "--set", "epochs=1")
        assert stopped.exit_code == 130
        assert "run the same command again to start anew" in stopped.stderr
        assert "--resume" not in stopped.stderr
    assert "No epoch is finished yet." in (run / "report.html").read_text()
    assert begin(data, run, "--set", "epochs=1").exit_code == 0
    with monkeypatch.context() as patch:
        patch.setattr(Steps, "train", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        later = resume(run, "--set", "epochs=2")
        assert later.exit_code == 130
        assert f"Interrupted after epoch 1; continue with: seglab train --resume {run}" in later.stderr


def test_tensorboard_has_every_epoch_whatever_stopped_the_run(run: Path) -> None:
    (events,) = (run / "tensorboard").iterdir()
    events.write_bytes(events.read_bytes()[:-7])  # torn in its last record
    assert resume(run, "--set", "epochs=3").exit_code == 0
    read = EventAccumulator(str(run / "tensorboard"))
    read.Reload()
    log = load_checkpoint(run / "last.pt").training["history"]
    for name in ("train_loss", "val_dice", "seconds"):
        assert [event.step for event in read.Scalars(name)] == [1, 2, 3], name
    assert [event.value for event in read.Scalars("val_loss")] == pytest.approx([row["val_loss"] for row in log])


def test_a_best_checkpoint_that_a_kill_left_behind_is_made_up_for(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert begin(data, run, "--set", "epochs=1").exit_code == 0
    whole = (run / "best.pt").read_bytes()
    (run / "best.pt").unlink()
    assert resume(run).exit_code == 0
    assert (run / "best.pt").read_bytes() == whole


# Two at once, and places that cannot be written


def test_a_folder_that_a_run_writes_to_is_refused(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    with held(run), held(tmp_path / "new"):
        for refused in (resume(run, "--set", "epochs=3"), begin(data, tmp_path / "new")):
            assert refused.exit_code == 1
            assert "Another run is writing to" in refused.stderr
    assert epochs_of(run) == 2
    assert not (tmp_path / "new").exists(), "nothing was written there"


def test_a_folder_with_somebody_elses_weights_is_left_alone(data: Path, tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_text("mine")
    refused = begin(data, tmp_path)
    assert refused.exit_code == 2
    assert "holds files that do not belong to a run (best.pt)" in refused.stderr


def test_places_that_cannot_be_written_are_one_line(data: Path, run: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    validate = ("validate", run, "--device", "cpu", "--part", "all")
    for result in (
        begin(data, file),
        begin(data, file / "run"),
        begin(data, tmp_path / ("x" * 300)),
        seglab(*validate, "--csv", tmp_path),
        seglab(*validate, "--json", file / "s.json"),
        seglab(*validate, "--figures", file),
        seglab(*validate, "--csv", tmp_path / f"{'y' * 260}.csv"),
    ):
        assert result.exit_code == 1, result.output
        assert isinstance(result.exception, SystemExit)
        (line,) = result.stderr.splitlines()
        assert line.startswith("Error: ")
        assert "xpected" in line
    assert file.read_text() == "x"


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As ``ulimit -f``: what is larger cannot be written by this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_too_large_for_its_disk_is_one_line_and_the_run_goes_on(run: Path, two_epochs: Path) -> None:
    with files_of_at_most((run / "last.pt").stat().st_size // 2):
        full = resume(run, "--set", "epochs=3")
    assert full.exit_code == 1
    assert "last.pt: the file would be larger than this process may write" in full.stderr.splitlines()[-1]
    assert (run / "last.pt").read_bytes() == (two_epochs / "last.pt").read_bytes()
    assert not [path for path in run.iterdir() if path.name.endswith(".tmp.pt")]
    assert resume(run, "--set", "epochs=3").exit_code == 0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare for a /dev/shm of its own")
@pytest.mark.parametrize(
    ("mounted", "options", "message"),
    [
        ("/dev/shm", ("workers=2", "size=256"), "--set workers=0"),
        ("OUT", ("workers=0", "size=256"), "no space is left on its disk"),
    ],
)
def test_a_full_disk_and_little_shared_memory_are_one_line(
    data: Path, tmp_path: Path, repo_root: Path, mounted: str, options: tuple[str, ...], message: str
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    place = str(out) if mounted == "OUT" else mounted
    words = [word for option in options for word in ("--set", option)]
    call = [sys.executable, "-m", "seglab.cli", "train", "--data", str(data), "--out", str(out), *TINY, *words]
    mount = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=64k none {place} && exec "$@"', "sh"]
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mounts of one's own here")
    done = subprocess.run([*mount, *call], capture_output=True, text=True, check=False, cwd=repo_root)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert message in done.stderr.splitlines()[-1]


# Losses that are no numbers


def test_a_loss_that_is_no_number_keeps_nothing_and_advises_what_works(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    wild = ("--set", "optimiser=sgd", "--set", "schedule=constant", "--set", "epochs=1")
    for batch in (64, 4):  # the first step spoils the weights: only validation, or another step, shows it
        failed = begin(data, run, *wild, "--set", f"batch={batch}", "--set", "lr=1e38")
        assert failed.exit_code == 1
        assert "expected a finite number. Nothing of that epoch was kept: start again" in failed.stderr
        assert ("validation loss" in failed.stderr) == (batch == 64)
        assert not list(run.glob("*.pt"))
    advised = failed.stderr.partition("--set lr=")[2].split()[0]
    assert begin(data, run, *wild, "--set", f"lr={advised}").exit_code == 0

    kept = {name: (run / name).read_bytes() for name in ("best.pt", "last.pt", "log.csv")}
    later = resume(run, "--set", "epochs=2", "--set", "lr=1e38", "--set", "batch=64")
    assert later.exit_code == 1
    assert f"continue from epoch 1 with a lower learning rate: seglab train --resume {run} --set lr=" in later.stderr
    assert kept == {name: (run / name).read_bytes() for name in kept}
    assert resume(run, "--set", "epochs=2", "--set", f"lr={advised}").exit_code == 0
    assert epochs_of(run) == 2


def test_curves_have_every_epoch_before_a_loss_that_is_no_number(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seglab.errors import DivergedError
    from seglab.training.steps import Steps

    train = Steps.train

    def spoiled(self: Steps, examples: Any, number: int, track: Any) -> float:
        if number == 2:
            raise DivergedError("as it is")
        return train(self, examples, number, track)

    monkeypatch.setattr(Steps, "train", spoiled)
    assert begin(data, tmp_path / "run", "--set", "epochs=3").exit_code == 1
    assert (tmp_path / "run" / "curves.png").exists()


def test_weights_that_are_no_numbers_are_named(run: Path, tmp_path: Path) -> None:
    from export.cli import main as export

    checkpoint = load_checkpoint(run / "best.pt")
    name = next(iter(checkpoint.state))
    checkpoint.state[name][:] = float("nan")
    save_checkpoint(checkpoint, run / "best.pt")
    for result in (
        seglab("validate", run, "--device", "cpu"),
        CliRunner().invoke(export, ["onnx", str(run), "--out", str(tmp_path / "m.onnx")]),
    ):
        assert result.exit_code == 1
        assert f"weights that are not numbers (NaN in {name})" in result.stderr


def blank(root: Path, value: int, count: int = 6) -> Path:
    """Pairs whose truth is all ``value``."""
    rng = np.random.default_rng(1)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(root / "images" / f"{number}.png"), rng.integers(0, 255, (40, 40, 3), np.uint8))
        cv2.imwrite(str(root / "masks" / f"{number}.png"), np.full((40, 40), value, np.uint8))
    return root


def test_scores_of_one_are_an_error(run: Path, tmp_path: Path) -> None:
    for value, said in ((0, "is empty"), (255, "fills the image")):
        result = seglab(
            "validate", run, "--data", blank(tmp_path / str(value), value), "--part", "all", "--device", "cpu"
        )
        assert result.exit_code == 1
        assert f"The truth of all 6 images {said}" in result.stderr
        assert "1.0000" not in result.stdout
    learned = begin(tmp_path / "0", tmp_path / "learned", "--set", "epochs=4", "--set", "lr=0.5", "--inspect", "off")
    assert learned.exit_code == 1
    assert "validation Dice 1.0000" not in learned.output


# What is read again of a run


def test_validate_needs_nothing_but_the_run(run: Path, tmp_path: Path) -> None:
    (run / "split.json").unlink()
    result = seglab("validate", run, "--device", "cpu", "--json", "-")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    kept = load_checkpoint(run / "best.pt").training["split"]
    assert report["split"] == "checkpoint"
    assert report["scores"]["count"] == len(kept["validation"])
    assert report["checkpoint"]["file"] == "best.pt"


def test_validate_does_not_take_the_names_of_other_pictures_for_its_own(run: Path, data: Path, tmp_path: Path) -> None:
    others = tmp_path / "plain"
    write_set(others, PAIRS, [(60, 80), (80, 60)], seed=99)
    call = ("validate", run, "--device", "cpu", "--json", "-", "--data")
    refused = seglab(*call, others)
    assert refused.exit_code == 1
    assert "other pixels or truth masks" in refused.stderr
    assert seglab(*call, others, "--part", "all").exit_code == 0
    assert seglab(*call, others, "--split", run / "split.json").exit_code == 0, "its user says so"
    moved = Path(shutil.copytree(data, tmp_path / "moved"))
    assert json.loads(seglab(*call, moved).stdout)["split"] == "checkpoint"


def test_validate_goes_on_after_a_broken_image(run: Path, data: Path, tmp_path: Path) -> None:
    spoiled = Path(shutil.copytree(data, tmp_path / "spoiled"))
    first = load_checkpoint(run / "best.pt").training["split"]["validation"][0]
    (image,) = (spoiled / "images").glob(f"{first}.*")
    image.write_bytes(image.read_bytes()[:200])
    part = seglab("validate", run, "--data", spoiled, "--device", "cpu", "--json", "-")
    assert part.exit_code == (3 if json.loads(part.stdout)["scores"]["count"] else 1)
    table, figures = tmp_path / "s.csv", tmp_path / "figures"
    outputs = ("--json", "-", "--csv", table, "--figures", figures)
    result = seglab("validate", run, "--data", spoiled, "--part", "all", "--device", "cpu", *outputs)
    assert result.exit_code == 3, result.output
    report = json.loads(result.stdout)
    assert [entry["image"] for entry in report["failed"]] == [image.stem]
    assert report["scores"]["count"] == PAIRS - 1
    assert f"Not scored: {image}" in result.stderr
    assert len(table.read_text().splitlines()) == PAIRS
    assert len(list(figures.glob("dice*.jpg"))) == PAIRS - 1


def test_pictures_are_called_after_ids_and_never_overwritten(run: Path, data: Path, tmp_path: Path) -> None:
    root, long = tmp_path / "long", "n" * 240
    for folder, image in (("images", "images"), ("masks", "masks")):
        (root / folder).mkdir(parents=True)
        for number, path in enumerate(sorted((data / image).iterdir())[:4]):
            shutil.copy(path, root / folder / f"{number}_{long}{path.suffix}")
    call = ("validate", run, "--data", root, "--part", "all", "--device", "cpu", "--figures", tmp_path / "f")
    result = seglab(*call, "--csv", tmp_path / "s.csv")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "f").glob("dice*.jpg"))) == 4
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 5


def test_scores_are_kept_where_pictures_cannot_be_written(run: Path, tmp_path: Path) -> None:
    call = ("validate", run, "--part", "all", "--device", "cpu", "--figures", tmp_path / "f")
    with files_of_at_most(3000):
        result = seglab(*call, "--csv", tmp_path / "s.csv", "--json", tmp_path / "s.json")
    assert result.exit_code == 1
    assert "dice" in result.stderr.splitlines()[-1]
    assert len((tmp_path / "s.csv").read_text().splitlines()) == PAIRS + 1
    assert json.loads((tmp_path / "s.json").read_text())["scores"]["count"] == PAIRS


# Killed


@pytest.mark.slow
def test_a_run_killed_within_its_hours_goes_on_to_equal_weights(data: Path, tmp_path: Path, repo_root: Path) -> None:
    """``kill -9`` while readers work: the lock ends with the process, and nothing is torn."""
    run, whole = tmp_path / "run", tmp_path / "whole"
    settings = ["--set", "epochs=6", "--set", "workers=2", "--set", "ema=0.9"]
    call = ["train", "--data", str(data), *TINY, *settings, "--hours", "2"]
    killed_in_epoch(3, [*call, "--out", str(run)], repo_root)
    assert epochs_of(run) == 2
    again = ["train", "--resume", str(run), "--device", "cpu", "--hours", "2"]
    for words in (again, [*call, "--out", str(whole)]):
        command = [sys.executable, "-m", "seglab.cli", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=repo_root)
        assert done.returncode == 0, done.stderr
    assert_equal_weights(run, whole)
    read = EventAccumulator(str(run / "tensorboard"))
    read.Reload()
    assert [event.step for event in read.Scalars("val_dice")] == list(range(1, 7))
