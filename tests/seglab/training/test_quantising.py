"""`seglab train --set quantise=int8`: a network learns on with the rounding of int8."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from seglab.cli import main
from seglab.evaluation.original import Predictor
from seglab.networks.checkpoints import load_checkpoint
from seglab.networks.quantised import Quantised
from seglab.synth import synthesise, write_set
from tests.support import train_command


def train(archive: Path, out: Path, *changes: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
    return train_command.train(archive, out, "seed=2", "lr=0.01", *changes, options=options)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive")
    write_set(root, 24, [(48, 64)], seed=5)
    return root


@pytest.fixture(scope="module")
def first(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in fp32."""
    out = tmp_path_factory.mktemp("runs") / "first"
    code, output = train(archive, out, "epochs=2", "precision=fp32")
    assert code == 0, output
    return out


@pytest.fixture(scope="module")
def run(archive: Path, first: Path) -> Path:
    """A run of two epochs that goes on from it with int8's rounding."""
    out = first.parent / "int8"
    code, output = train(archive, out, "epochs=2", f"init={first}/best.pt", "quantise=int8")
    assert code == 0, output
    return out


def test_it_learns_in_fp32_with_ranges_from_the_training_images(run: Path) -> None:
    checkpoint = load_checkpoint(run / "best.pt")
    assert checkpoint.training["precision"] == "fp32"
    assert len(checkpoint.network.ranges) == 9
    assert json.loads((run / "settings.json").read_text())["recipe"]["quantise"] == "int8"
    assert not any("running_var" in name for name in checkpoint.state)


def test_its_weights_are_learned_with_the_rounding(run: Path, first: Path) -> None:
    image = synthesise(48, 64, seed=3).image
    twin, rounded = (Predictor(load_checkpoint(run / "best.pt"), simulates=on).prob(image) for on in (False, True))
    assert 0 < np.abs(twin - rounded).mean() < 0.1
    assert isinstance(Predictor(load_checkpoint(run / "best.pt")).networks[0].network, Quantised)
    before = Predictor(load_checkpoint(first / "best.pt")).prob(image)
    assert np.abs(before - rounded).max() > 1e-3


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(archive: Path, first: Path, run: Path) -> None:
    out = first.parent / "stopped"
    code, output = train(
        archive, out, "epochs=2", f"init={first}/best.pt", "quantise=int8", options=("--hours", "1e-6")
    )
    assert (code, "Stopped after epoch" in output) == (0, True), output
    result = CliRunner().invoke(main, ["train", "--resume", str(out)])
    assert result.exit_code == 0, result.output
    one, other = (load_checkpoint(path / "last.pt") for path in (out, run))
    assert one.network == other.network
    for name, tensor in one.state.items():
        assert torch.equal(tensor, other.state[name]), name


def test_it_goes_on_from_a_network_that_has_ranges_already(archive: Path, run: Path, first: Path) -> None:
    out = first.parent / "further"
    code, output = train(archive, out, "epochs=1", f"init={run}", "quantise=int8")
    assert code == 0, output
    assert load_checkpoint(out / "best.pt").network.ranges == load_checkpoint(run / "best.pt").network.ranges


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("quantise=int8",), "init is empty"),
        (("quantise=int8", "init={first}", "precision=bf16"), "with precision=bf16; expected fp32"),
        (("quantise=int8", "init={first}", "compile=true"), "with compile=true; expected fp32"),
        (("init={run}",), "was trained with the rounding of int8"),
        (("quantise=int8", "init={first}", "widths=[6,8]"), "holds another network"),
        (("quantise=int4",), "quantise is 'int4'; expected one of none, int8"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    archive: Path, first: Path, run: Path, tmp_path: Path, changes: tuple[str, ...], said: str
) -> None:
    named = [change.format(first=f"{first}/best.pt", run=f"{run}/best.pt") for change in changes]
    code, output = train(archive, tmp_path / "out", *named)
    assert code in (1, 2)
    assert said in output
