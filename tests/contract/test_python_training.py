"""``seglab.train`` and ``seglab.validate``: runs and scores from Python are those of the commands."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, assert_type

import pytest
from click.testing import CliRunner, Result

import seglab
from seglab.cli import main
from seglab.errors import ConfigError, DataError

SETTINGS: dict[str, Any] = {
    "arch": "unet-scratch", "widths": (4, 8), "decoder_channels": [], "size": 32, "batch": 4, "workers": 0,
    "precision": "fp32", "split": "seeded", "lr": 0.02,
}  # fmt: skip
"""What makes a network tiny, as Python has it."""


def command(*words: object) -> Result:
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic pairs; read-only."""
    root = tmp_path_factory.mktemp("sets") / "small"
    assert command("synth", "--out", root, "--count", "12", "--size", "80x60", "--seed", "5").exit_code == 0
    return root


@pytest.fixture(scope="module")
def runs(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one seed: by the command in ``a``, from Python in ``b``; read-only."""
    folder = tmp_path_factory.mktemp("runs")
    words = [f"{key}={json.dumps(value) if not isinstance(value, str) else value}" for key, value in SETTINGS.items()]
    changes = [word for change in (*words, "epochs=2") for word in ("--set", change)]
    done = command("train", "--data", small_set, "--out", folder / "a", "--device", "cpu", *changes)
    assert done.exit_code == 0, done.output
    run = seglab.train(small_set, out=folder / "b", device="cpu", epochs=2, **SETTINGS)
    assert run.folder == folder / "b"
    return folder


def test_training_is_that_of_the_command(runs: Path) -> None:
    for name in ("log.csv", "split.json", "scores.csv", "scores.json"):
        assert (runs / "a" / name).read_bytes() == (runs / "b" / name).read_bytes(), name
    assert {path.name for path in (runs / "a").iterdir()} == {path.name for path in (runs / "b").iterdir()}


def test_scores_are_those_of_the_command(runs: Path, small_set: Path) -> None:
    told = json.loads(command("validate", runs / "a", "--data", small_set, "--device", "cpu", "--json", "-").stdout)
    found = seglab.validate(runs / "b" / "best.pt", [small_set], device="cpu")
    assert found.summary == told["scores"]
    assert (found.dice, found.hd95, found.images) == tuple(told["scores"][key] for key in ("dice", "hd95", "count"))
    assert found.intervals["dice"] == tuple(told["intervals"]["dice"])
    assert len(found.rows) == found.images
    assert found.failed == ()
    assert f"dice={found.dice:.4f}" in repr(found)


def test_a_run_knows_its_data_for_validation(runs: Path, small_set: Path) -> None:
    assert seglab.validate(runs / "b", device="cpu").dice == seglab.validate(runs / "a", small_set, device="cpu").dice
    named = seglab.validate(runs / "b", images=small_set / "images", masks=small_set / "masks", part="all")
    assert named.images == 12
    assert seglab.validate(runs / "b", part="training", boundary=False).hd95 is None


def test_a_run_tells_its_epochs(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "b", tmp_path / "run")
    run = seglab.train(resume=tmp_path / "run", epochs=3)
    assert_type(run.best, Path)
    assert_type(run.dice, float)
    assert run.best == tmp_path / "run" / "best.pt"
    assert [epoch.epoch for epoch in run.epochs] == [1, 2, 3]
    assert run.dice == max(epoch.val_dice for epoch in run.epochs)
    assert run.is_finished
    assert (run.recipe.epochs, run.recipe.widths) == (3, (4, 8))
    assert f"dice={run.dice:.4f}" in repr(run)
    assert seglab.validate(run).dice == seglab.validate(run.best).dice
    assert len(seglab.train(resume=run, epochs=4).epochs) == 4


def test_true_resumes_the_run_in_out(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "b", tmp_path / "run")
    with pytest.raises(ConfigError, match="already holds a run"):
        seglab.train("anything", out=tmp_path / "run")
    assert len(seglab.train(out=tmp_path / "run", resume=True, epochs=3).epochs) == 3


def test_pictures_are_drawn_where_they_are_asked_for(runs: Path, tmp_path: Path) -> None:
    found = seglab.validate(runs / "b", figures=tmp_path / "pictures", device="cpu")
    assert len(list((tmp_path / "pictures").rglob("*.*"))) > found.images
    (tmp_path / "mine.png").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"holds pictures that seglab did not draw \(mine.png\)"):
        seglab.validate(runs / "b", figures=tmp_path)


def test_only_what_is_verbose_prints(
    small_set: Path, runs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seglab.train(small_set, out=tmp_path / "a", device="cpu", epochs=1, **SETTINGS)
    seglab.validate(tmp_path / "a", device="cpu")
    assert capfd.readouterr() == ("", "")
    seglab.train(small_set, out=tmp_path / "b", device="cpu", epochs=1, verbose=True, **SETTINGS)
    out, err = capfd.readouterr()
    assert "epoch 1/1: loss" in err
    assert str(tmp_path / "b" / "best.pt") in out
    command("validate", runs / "a")  # commands are as loud as before


def test_data_are_refused_as_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError) as caught:
        seglab.train(tmp_path / "set", out=tmp_path / "run")
    told = command("train", "--data", tmp_path / "set", "--out", tmp_path / "run")
    said = str(caught.value).replace("images=DIR masks=DIR", "--images DIR --masks DIR")
    assert (told.exit_code, told.stderr.strip()) == (1, f"Error: {said}")


def test_truths_that_cannot_be_scored_are_named(runs: Path, tmp_path: Path) -> None:
    assert command("synth", "--out", tmp_path / "set", "--count", "25", "--size", "40x30").exit_code == 0
    broken = tmp_path / "set" / "images" / "synth_00003.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    found = seglab.validate(runs / "b", tmp_path / "set", part="all", boundary=False)
    assert found.images == 24
    assert [Path(each.path).name for each in found.failed] == ["synth_00003.jpg"]
    assert "synth_00003" in found.failed[0].reason
    for path in broken.parent.glob("synth_0000*.jpg"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"10 of 25 images could not be scored; .* The first: .*synth_00000\.jpg"):
        seglab.validate(runs / "b", tmp_path / "set", part="all", boundary=False)


@pytest.mark.slow
def test_a_run_that_was_interrupted_goes_on(small_set: Path, tmp_path: Path) -> None:
    script = (
        "import json, seglab, sys\n"
        "data, out, settings = sys.argv[1:]\n"
        "seglab.train(data, out=out, device='cpu', epochs=500, verbose=True, **json.loads(settings))\n"
    )
    line = [sys.executable, "-c", script, str(small_set), str(tmp_path / "run"), json.dumps(SETTINGS)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for said in process.stderr:
            if said.startswith("epoch 2/"):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    assert rest.rstrip().endswith("KeyboardInterrupt")
    kept = len((tmp_path / "run" / "log.csv").read_text().splitlines()) - 1
    assert 2 <= kept < 500
    run = seglab.train(resume=tmp_path / "run", epochs=kept + 1)
    assert len(run.epochs) == kept + 1


def test_torch_is_loaded_when_it_is_needed() -> None:
    script = (
        "import seglab, sys; seglab.train, seglab.validate\n"
        "print('torch' in sys.modules)\n"
        "try: seglab.train('nowhere', out='r', epoch=1)\n"
        "except seglab.errors.ConfigError: print('torch' in sys.modules)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.stdout.split(), ended.stderr) == (["False", "False"], "")
