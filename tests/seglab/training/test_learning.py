"""What a network can learn from besides the truth, and how: through `seglab train`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglab.evaluation.original import Predictor
from seglab.networks.build import build_network, require_single_fits
from seglab.networks.checkpoints import NetworkSpec, load_checkpoint, save_checkpoint
from seglab.networks.teacher import Teacher
from seglab.synth import write_set
from tests.support import train_command


def train(archive: Path, out: Path, *changes: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
    return train_command.train(archive, out, "epochs=1", "precision=fp32", *changes, options=options)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive")
    write_set(root, 16, [(48, 64)], seed=5)
    return root


@pytest.fixture(scope="module")
def run(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch."""
    out = tmp_path_factory.mktemp("runs") / "run"
    code, output = train(archive, out)
    assert code == 0, output
    return out


def test_every_new_setting_trains_together_and_is_kept(archive: Path, tmp_path: Path) -> None:
    changes = [
        "loss=bce+lovasz", "clip=1", "accumulate=2", "zoom_out=0.5", "gamma=0.3", "blur=1", "jpeg=30", "noise=5",
        "rotate=20", "elastic=2",
    ]  # fmt: skip
    code, output = train(archive, tmp_path / "run", *changes)
    assert code == 0, output
    recipe = json.loads((tmp_path / "run" / "settings.json").read_text())["recipe"]
    assert (recipe["loss"], recipe["accumulate"], recipe["jpeg"], recipe["noise"]) == ("bce+lovasz", 2, 30, 5.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("loss=hinge", "expected one of bce, dice, focal, tversky, jaccard, lovasz, or a sum of them"),
        ("accumulate=0", "expected more than 0"),
        ("clip=-1", "expected 0 or more"),
        ("jpeg=101", "expected a quality from 1 to 100"),
        ("zoom_out=3", "expected at most 1"),
        ("soft_weight=0", "expected more than 0 and at most 1"),
        ("freeze_encoder=1", "unet-scratch has no encoder"),
        ("teacher=gone.pt", "gone.pt does not exist"),
    ],
)
def test_what_cannot_be_is_refused(archive: Path, tmp_path: Path, change: str, message: str) -> None:
    code, output = train(archive, tmp_path / "run", change)
    assert code in (1, 2), output
    assert message in output.replace("\n", " ")


def test_soft_masks_change_what_is_learned(archive: Path, run: Path, tmp_path: Path) -> None:
    ids = json.loads((run / "split.json").read_text())["training"]
    soft = tmp_path / "soft"
    soft.mkdir()
    for id in ids[1:]:
        Image.fromarray(np.full((48, 64), 128, np.uint8)).save(soft / f"{id}.png")
    code, output = train(archive, tmp_path / "run", options=("--soft-masks", str(soft)))
    assert code == 1
    assert f"soft masks for {len(ids) - 1} of {len(ids)} training images, none for {ids[0]};" in output
    np.save(soft / f"{ids[0]}.npy", np.full((32, 32), 0.5, np.float16))
    code, output = train(archive, tmp_path / "run", options=("--soft-masks", str(soft)))
    assert code == 0, output
    recipe = json.loads((tmp_path / "run" / "settings.json").read_text())["recipe"]
    assert recipe["soft_masks"] == str(soft)
    one, other = (load_checkpoint(folder / "last.pt").state for folder in (run, tmp_path / "run"))
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_a_teacher_is_asked_as_it_would_predict(run: Path) -> None:
    checkpoint = load_checkpoint(run / "best.pt")
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    prob = Teacher(run / "best.pt", torch.device("cpu"), "none").prob(pixels)
    assert prob.shape == (1, 1, 32, 32)
    assert np.abs(prob[0, 0].numpy() - Predictor(checkpoint).prob(image)).max() < 1e-6
    assert Teacher(run / "best.pt", torch.device("cpu"), "none").prob(pixels.repeat(1, 1, 2, 2)).shape[-1] == 64


def test_a_teacher_that_saw_the_judges_is_named(archive: Path, run: Path, tmp_path: Path) -> None:
    teacher = f"teacher={run / 'best.pt'}"
    code, output = train(archive, tmp_path / "same", teacher)
    assert code == 0, output
    assert "was trained on" not in output
    code, output = train(archive, tmp_path / "other", teacher, "split=seeded", "val_share=0.5")
    assert code == 0, output
    judges = json.loads((tmp_path / "other" / "split.json").read_text())["validation"]
    seen = set(judges) & set(json.loads((run / "split.json").read_text())["training"])
    assert seen
    assert f"was trained on {len(seen)} of the {len(judges)} images that validate or test here" in output


def test_a_teacher_that_learned_without_hairs_is_refused(archive: Path, run: Path, tmp_path: Path) -> None:
    save_checkpoint(dataclasses.replace(load_checkpoint(run / "best.pt"), hair="dullrazor"), tmp_path / "t.pt")
    code, output = train(archive, tmp_path / "run", f"teacher={tmp_path / 't.pt'}")
    assert code == 2
    assert "Add --set hair=dullrazor" in output


def test_the_sheet_shows_the_first_examples_and_changes_nothing(archive: Path, run: Path, tmp_path: Path) -> None:
    sheet = np.asarray(Image.open(run / "batch.jpg"))
    assert sheet.shape[2] == 3
    assert min(sheet.shape[:2]) >= 600
    code, _ = train(archive, tmp_path / "run")
    assert code == 0
    for name in ("batch.jpg", "last.pt"):
        assert (run / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name


def test_one_image_a_step_is_refused_where_it_cannot_be_learned_from(archive: Path, tmp_path: Path) -> None:
    deeplab = ["arch=deeplabv3plus", "encoder=resnet18", "size=64", "batch=1"]
    code, output = train(archive, tmp_path / "run", *deeplab)
    assert code == 2
    assert "cannot be trained on single images of 64 x 64" in output
    assert "Raise batch" in output
    code, output = train(archive, tmp_path / "run", "batch=1")
    assert code == 0, output


def test_trying_a_single_image_leaves_the_network_as_it_is() -> None:
    spec = NetworkSpec("unet-scratch", options={"widths": [4, 8]})
    network = build_network(spec).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    require_single_fits(network, spec, 16)
    assert not network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
