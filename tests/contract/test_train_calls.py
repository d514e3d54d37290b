"""``seglab train`` in its short form, what it says first, and the split that ``seglab inspect`` checks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from seglab.cli import main

SMALL = ("--set", "arch=unet-scratch", "--set", "widths=[4]", "--set", "size=32", "--set", "decoder_channels=[]")
QUICK = (*SMALL, "--set", "workers=0", "--set", "precision=fp32", "--set", "batch=4", "--device", "cpu")


def seglab(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten synthetic pairs; read-only."""
    root = tmp_path_factory.mktemp("sets") / "plain"
    assert seglab("synth", "--out", root, "--count", 10, "--size", "64x48").exit_code == 0
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A run of two epochs by the short form, read-only, and what the command said."""
    out = tmp_path_factory.mktemp("runs") / "short"
    done = seglab("train", data, "--out", out, "--epochs", 2, *QUICK)
    assert done.exit_code == 0, done.output
    return out, done


def parts_of(run: Path) -> dict[str, list[str]]:
    split = json.loads((run / "split.json").read_text())
    return {part: split[part] for part in ("training", "validation", "test")}


def test_the_short_form_is_the_long_one(data: Path, run: tuple[Path, Result], tmp_path: Path) -> None:
    long = seglab("train", "--data", data, "--out", tmp_path / "long", "--set", "epochs=2", *QUICK)
    assert long.exit_code == 0, long.output
    assert parts_of(tmp_path / "long") == parts_of(run[0])
    assert (tmp_path / "long" / "log.csv").read_text() == (run[0] / "log.csv").read_text()
    again = seglab("train", data, "--data", data, "--resume", run[0], "--epochs", 2, "--set", "epochs=2")
    assert again.exit_code == 0, "the same said twice is no contradiction"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("one", "--data", "two"), "Data sets are named twice: one and --data two. Name all of them in one way."),
        (("one", "--epochs", 3, "--set", "epochs=4"), "--epochs says 3, but --set says epochs=4; expected one number."),
        (("one", "--epochs", 0), "0 is not in the range"),
        ((), "No data was named. Name a data set"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, words: tuple[object, ...], message: str) -> None:
    refused = seglab("train", *words, "--out", tmp_path / "run")
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert not (tmp_path / "run").exists()


def test_the_first_lines_say_what_is_trained_and_where(run: tuple[Path, Result]) -> None:
    out, done = run
    lines = done.stderr.splitlines()
    begin = next(place for place, line in enumerate(lines) if line.startswith("epoch 1/2: "))
    first = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[begin - 4 : begin]}
    assert list(first) == ["split", "network", "training", "run"]
    assert "images train, " in first["split"]
    assert first["network"].startswith("unet-scratch, ")
    assert first["network"].endswith(" 32 x 32 pixels")
    assert first["training"] == "2 epochs, batches of 4; cpu, fp32"
    assert first["run"] == str(out)
    assert max(len(line) for line in lines[begin - 4 :] if str(out) not in line and "`suitable`" not in line) <= 80
    assert lines[-1] == f"Next: seg-export onnx {out} --out model.onnx"


@pytest.mark.parametrize("has_parts", [False, True])
def test_inspect_looks_at_the_split_that_train_uses(data: Path, tmp_path: Path, *, has_parts: bool) -> None:
    source = data
    if has_parts:
        source = tmp_path / "parts"
        for place, image in enumerate(sorted((data / "images").iterdir())):
            part = source / ("train" if place < 7 else "val")
            for folder, file in (("images", image), ("masks", data / "masks" / f"{image.stem}.png")):
                (part / folder).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, part / folder)
    looked = seglab("inspect", source, "--json", tmp_path / "found.json")
    assert looked.exit_code == 0, looked.output
    found = json.loads((tmp_path / "found.json").read_text())
    trained = seglab("train", source, "--out", tmp_path / "run", "--epochs", 1, *QUICK)
    assert trained.exit_code == 0, trained.output
    assert {part: len(ids) for part, ids in parts_of(tmp_path / "run").items()} == found["pairs"]
    assert f"split     {found['split']}: " in trained.stderr
    assert [line for line in trained.stderr.splitlines() if ": used " in line] == found["used"]
    assert not has_parts or found["pairs"]["training"] == 7


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["absent.pth", "nobodys-weights"])
def test_weights_to_begin_from_need_no_others(data: Path, tmp_path: Path, weights: str) -> None:
    """``absent.pth`` cannot be read and ``nobodys-weights`` not be fetched; nobody needs them beside ``init``."""
    smp = ("--set", "arch=unet", "--set", "encoder=resnet18", "--set", "decoder_channels=[4,4]")
    call = ("train", data, "--epochs", 1, *QUICK, *smp)
    first = tmp_path / "first"
    assert seglab(*call, "--out", first).exit_code == 0
    fetched = ("--set", f"encoder_weights={weights}")
    alone = seglab(*call, *fetched, "--out", tmp_path / "alone")
    assert alone.exit_code in (1, 2), "they are no weights"
    begun = seglab(*call, *fetched, "--out", tmp_path / "begun", "--set", f"init={first / 'best.pt'}")
    assert begun.exit_code == 0, begun.output
    resumed = seglab("train", "--resume", tmp_path / "begun", "--epochs", 2)
    assert resumed.exit_code == 0, resumed.output
