"""Runs that start from a package's weights: which normalisation they get, what is said, what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch
from click.testing import CliRunner, Result

from seglab.cli import main
from seglab.networks import build
from seglab.networks.checkpoints import load_checkpoint
from seglab.synth import write_set
from tests.support.weight_packages import write_package

LITE0 = "tu-tf_efficientnet_lite0"
HALF = (0.5, 0.5, 0.5)
TINY = [
    "--device", "cpu", "--set", "precision=fp32", "--set", "size=32", "--set", "batch=4", "--set", "workers=0",
    "--set", "split=seeded", "--set", "augment=none", "--set", f"encoder={LITE0}", "--set", "encoder_weights=package",
    "--set", "decoder_channels=[8, 8, 8]", "--set", "epochs=1", "--set", "lr=1e-9",
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic pairs; read-only."""
    root = tmp_path_factory.mktemp("sets") / "plain"
    write_set(root, 8, [(60, 80)], seed=5)
    return root


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with one of random weights; read-only."""
    torch.manual_seed(4)
    state = smp.encoders.get_encoder(LITE0, weights=None, depth=5).state_dict()
    kept = {f"_{name}": value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    root = tmp_path_factory.mktemp("site")
    write_package(root, LITE0, kept)
    return root


def train(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, words)])


def test_a_run_keeps_what_its_weights_learned_with(
    data: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(site)
    run = tmp_path / "run"
    begun = train("--data", data, "--out", run, *TINY)
    assert begun.exit_code == 0, begun.output
    assert "were trained on pixels normalised" not in begun.stderr
    checkpoint = load_checkpoint(run / "best.pt")
    assert (checkpoint.mean, checkpoint.std) == (HALF, HALF)
    assert checkpoint.training["recipe"]["normalise"] == "inception"
    assert json.loads((run / "settings.json").read_text())["recipe"]["normalise"] == "inception"
    stem = torch.load(next(site.glob("*/models/*.pth")), weights_only=True)["_model.conv_stem.weight"]
    assert torch.allclose(checkpoint.state["encoder.model.conv_stem.weight"], stem, atol=1e-6)  # the rate is next to 0


@pytest.mark.slow
def test_such_a_run_goes_on_without_the_package(
    data: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.syspath_prepend(site)
        assert train("--data", data, "--out", run, *TINY).exit_code == 0
    monkeypatch.setattr(build, "packaged_weights", lambda *_: pytest.fail("looked for the package"))
    resumed = train("--resume", run, "--device", "cpu", "--set", "epochs=2")
    assert resumed.exit_code == 0, resumed.output
    checkpoint = load_checkpoint(run / "last.pt")
    assert (len(checkpoint.training["history"]), checkpoint.mean) == (2, HALF)


def test_another_normalisation_is_said_and_used(
    data: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(site)
    begun = train("--data", data, "--out", tmp_path / "run", *TINY, "--set", "normalise=unit")
    assert begun.exit_code == 0, begun.output
    assert (
        "encoder_weights=package were trained on pixels normalised by mean 0.5, 0.5, 0.5 and deviation 0.5, 0.5, 0.5; "
        "this run has normalise=unit. For the same normalisation: --set normalise=inception"
    ) in begun.stderr
    assert load_checkpoint(tmp_path / "run" / "best.pt").mean == (0.0, 0.0, 0.0)


def test_another_encoder_is_refused_before_anything_is_written(data: Path, tmp_path: Path) -> None:
    refused = train("--data", data, "--out", tmp_path / "run", *TINY, "--set", "encoder=resnet18")
    assert refused.exit_code == 2
    assert "no weights for the encoder resnet18; expected one of tu-tf_efficientnet_lite0" in refused.stderr
    assert not (tmp_path / "run").exists()
