"""Several processes: they share a batch, its statistics, and come to the same curve as one."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seglab.distributed import GlobalBatchNorm2d, normalise_globally, shards, share_of
from seglab.errors import ConfigError
from seglab.synth import write_set

WORLD = 2


@given(st.integers(4, 60), st.integers(2, 12), st.integers(1, 4))
def test_every_image_of_a_batch_goes_to_one_process(images: int, batch: int, world: int) -> None:
    if batch < world:
        with pytest.raises(ConfigError, match="Raise batch"):
            shards(range(images), batch, 0, world)
        return
    parts = [shards(range(images), batch, rank, world) for rank in range(world)]
    steps = {len(part) for part in parts}
    assert len(steps) == 1
    whole = [sorted(index for part in parts for index in part[step]) for step in range(steps.pop())]
    assert [index for step in whole for index in step] == list(range(sum(map(len, whole))))
    assert images - sum(map(len, whole)) < max(2, world)
    for step, indices in enumerate(whole):
        shares = [share_of(len(indices), batch, rank, world) for rank in range(world)]
        assert sum(shares) == pytest.approx(world)
        for rank, share in enumerate(shares):
            assert share == pytest.approx(len(parts[rank][step]) * world / len(indices))


def test_layers_that_cannot_be_shared_are_named() -> None:
    with pytest.raises(ConfigError, match="is a BatchNorm1d"):
        normalise_globally(nn.Sequential(nn.BatchNorm1d(3)), torch.device("cpu"))
    plain = nn.Sequential(nn.BatchNorm2d(3))
    names = list(plain.state_dict())
    assert isinstance(normalise_globally(plain, torch.device("cpu"))[0], GlobalBatchNorm2d)  # type: ignore[index]
    assert list(plain.state_dict()) == names


def _normalise_part(rank: int, meeting: str, x: torch.Tensor, out: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORLD)
    part = x[rank::WORLD].clone().requires_grad_()
    layer = nn.Sequential(nn.BatchNorm2d(x.shape[1]))
    normalise_globally(layer, torch.device("cpu"))
    y = layer(part)
    y.pow(3).sum().backward()
    torch.save({"y": y.detach(), "grad": part.grad, "state": layer.state_dict()}, f"{out}{rank}.pt")
    dist.destroy_process_group()


def test_global_batch_normalisation_is_that_of_the_joined_batch(tmp_path: Path) -> None:
    """Uneven parts, values far from zero; outputs, input gradients and running statistics."""
    torch.manual_seed(0)
    x = torch.randn(5, 3, 4, 6) * 2 + 30
    torch.multiprocessing.spawn(  # type: ignore[no-untyped-call, attr-defined]
        _normalise_part, (str(tmp_path / "meeting"), x, str(tmp_path / "part")), nprocs=WORLD
    )
    whole = x.clone().requires_grad_()
    layer = nn.Sequential(nn.BatchNorm2d(3))
    y = layer(whole)
    y.pow(3).sum().backward()
    assert whole.grad is not None
    for rank in range(WORLD):
        part = torch.load(tmp_path / f"part{rank}.pt", weights_only=True)
        torch.testing.assert_close(part["y"], y.detach()[rank::WORLD], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(part["grad"], whole.grad[rank::WORLD], atol=1e-4, rtol=1e-3)
        for key, value in layer.state_dict().items():
            torch.testing.assert_close(part["state"][key], value, atol=1e-5, rtol=1e-5)


def test_two_processes_have_the_curve_of_one(tmp_path: Path) -> None:
    """The same global batch; 10 images in batches of 4, so that the last one is uneven as well."""
    write_set(tmp_path / "data", 13, [(48, 48)], seed=3)
    command = [sys.executable, "-m", "seglab.cli", "train", "--data", str(tmp_path / "data"), "--device", "cpu"]
    changes = ("arch=unet-scratch", "widths=[4,8]", "size=32", "batch=4", "epochs=2", "workers=0", "lr=0.01")
    command += [word for change in (*changes, "split=seeded") for word in ("--set", change)]
    logs = []
    for devices in ("1", "2"):
        out = tmp_path / f"run{devices}"
        call = [*command, "--devices", devices, "--out", str(out)]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("best.pt") == 1
        rows = csv.DictReader((out / "log.csv").read_text().splitlines())
        logs.append([[float(value) for value in row.values()] for row in rows])
    for one, two in zip(*logs, strict=True):
        assert one == pytest.approx(two, rel=1e-3, abs=1e-4)
