"""Several processes: they share a batch, its statistics, and come to the same curve as one."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from seglab.cli import main
from seglab.errors import ConfigError
from seglab.networks.checkpoints import load_checkpoint
from seglab.synth import write_set
from seglab.training.distributed import GlobalBatchNorm2d, leave_out_idle, normalise_globally, shards, share_of

WORLD = 2
MODULE = [sys.executable, "-m", "seglab.cli"]


@given(st.integers(1, 60), st.integers(2, 12), st.integers(1, 4))
def test_every_image_of_a_batch_goes_to_one_process(images: int, batch: int, world: int) -> None:
    if min(batch, images) < world:
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


def test_weights_without_a_part_in_the_output_are_left_out() -> None:
    """Else gradients that never come would be waited for: the network learns, and the second step fails."""
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    network[0].register_parameter("idle", nn.Parameter(torch.ones(4)))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    leave_out_idle(network, 8)
    assert [name for name, parameter in network.named_parameters() if not parameter.requires_grad] == ["0.idle"]
    assert all(parameter.grad is None for parameter in network.parameters())
    assert network.training
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key


KINDS: dict[str, Callable[[], nn.BatchNorm2d]] = {
    "plain": lambda: nn.BatchNorm2d(3),
    "without weights": lambda: nn.BatchNorm2d(3, affine=False, momentum=None),
    "without memory": lambda: nn.BatchNorm2d(3, track_running_stats=False),
    "timm": lambda: BatchNormAct2d(3),  # with ReLU
}


def _normalised(layer: nn.Module, part: torch.Tensor) -> dict[str, Any]:
    part = part.clone().requires_grad_()
    y = layer(part)
    y.pow(3).sum().backward()
    return {"y": y.detach(), "grad": part.grad, "state": layer.state_dict()}


def _normalise_part(rank: int, meeting: str, x: torch.Tensor, out: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORLD)
    results = {}
    for kind, make in KINDS.items():
        layer = nn.Sequential(make())
        normalise_globally(layer, torch.device("cpu"))
        results[kind] = _normalised(layer, x[rank::WORLD])
    torch.save(results, f"{out}{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_global_batch_normalisation_is_that_of_the_joined_batch(tmp_path: Path) -> None:
    """Uneven parts, values far from zero; outputs, input gradients and running statistics."""
    torch.manual_seed(0)
    x = torch.randn(5, 3, 4, 6) * 2 + 30
    torch.multiprocessing.spawn(  # type: ignore[no-untyped-call, attr-defined]
        _normalise_part, (str(tmp_path / "meeting"), x, str(tmp_path / "part")), nprocs=WORLD
    )
    parts = [torch.load(tmp_path / f"part{rank}.pt", weights_only=True) for rank in range(WORLD)]
    for kind, make in KINDS.items():
        whole = _normalised(nn.Sequential(make()), x)
        for rank in range(WORLD):
            part = parts[rank][kind]
            torch.testing.assert_close(part["y"], whole["y"][rank::WORLD], atol=1e-5, rtol=1e-4, msg=kind)
            torch.testing.assert_close(part["grad"], whole["grad"][rank::WORLD], atol=1e-4, rtol=1e-3, msg=kind)
            assert list(part["state"]) == list(whole["state"])
            for key, value in whole["state"].items():
                torch.testing.assert_close(part["state"][key], value, atol=1e-5, rtol=1e-5, msg=f"{kind} {key}")


SMALL = (
    "arch=unet-scratch",
    "widths=[4,8]",
    "size=32",
    "batch=4",
    "epochs=2",
    "workers=0",
    "lr=0.01",
    "split=seeded",
    "precision=fp32",
)


def call(data: Path, out: Path, *options: str) -> list[str]:
    changes = [word for change in SMALL for word in ("--set", change)]
    return ["train", "--data", str(data), "--device", "cpu", "--out", str(out), *changes, *options]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """13 pairs; 10 of them train: in batches of 4, the last one is uneven as well."""
    root = tmp_path_factory.mktemp("archive")
    write_set(root, 13, [(48, 48)], seed=3)
    return root


def curve(run: Path) -> list[list[float]]:
    return [list(map(float, row.values())) for row in csv.DictReader((run / "log.csv").read_text().splitlines())]


@pytest.mark.slow
def test_two_processes_have_the_curve_of_one(archive: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    result = CliRunner().invoke(main, call(archive, one))
    assert result.exit_code == 0, result.output
    done = subprocess.run([*MODULE, *call(archive, two, "--devices", "2")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best.pt") == 1
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}
    for mine, shared in zip(curve(one), curve(two), strict=True):
        assert mine == pytest.approx(shared, rel=1e-3, abs=1e-4)
    weights, others = (load_checkpoint(run / "last.pt").state for run in (one, two))
    assert weights.keys() == others.keys()
    for key, value in weights.items():
        torch.testing.assert_close(value, others[key], atol=2e-2, rtol=2e-2, msg=key)


@pytest.mark.slow
def test_two_processes_stop_by_the_hours_and_go_on_from_the_folder(archive: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = call(archive, run, "--devices", "2", "--set", "epochs=2", "--hours", "1e-9")
    resume = ["train", "--resume", str(run), "--device", "cpu", "--devices", "2"]
    for expected, command in ((1, words), (2, resume)):
        done = subprocess.run([*MODULE, *command], capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count(": used ") == 1
        assert len(curve(run)) == expected


@pytest.mark.slow
def test_processes_that_fail_all_end_with_one_message(archive: Path, tmp_path: Path) -> None:
    """The loss of both is no number; started as the console script."""
    script = Path(sys.executable).with_name("seglab")
    start = [str(script)] if script.exists() else MODULE
    options = ("--devices", "2", "--set", "optimiser=sgd", "--set", "lr=1e30")
    done = subprocess.run(
        [*start, *call(archive, tmp_path / "run", *options)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("Error") == 1
    assert "The training loss became" in done.stderr
    assert "a lower learning rate" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_data_that_is_missing_is_said_once(tmp_path: Path) -> None:
    command = [*MODULE, *call(tmp_path / "gone", tmp_path / "run", "--devices", "2")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("Error") == 1


def test_machines_must_know_where_to_meet(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(main, call(archive, tmp_path / "run", "--nodes", "2"))
    assert result.exit_code == 2
    assert "MASTER_ADDR, MASTER_PORT, NODE_RANK not set" in result.output


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the second process in /proc")
def test_a_killed_process_ends_the_training(archive: Path, tmp_path: Path) -> None:
    command = [*MODULE, *call(archive, tmp_path / "run", "--devices", "2", "--set", "epochs=9999")]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while not (tmp_path / "run" / "last.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    (second,) = [pid for pid in children if "--devices" in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(int(second), signal.SIGKILL)
    _, talk = first.communicate(timeout=60)
    assert first.returncode == 1, talk
    assert "ended with code -9" in talk
    assert "--resume" in talk


def on_two_machines(archive: Path, runs: list[Path], said: Path) -> list[int]:
    """Train on two machines that meet at a port that was free a moment ago; return their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with said.open("wb") as file:
        processes = [
            subprocess.Popen(
                [*MODULE, *call(archive, run, "--nodes", "2")],
                env=os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": str(rank)},
                stderr=file,
            )
            for rank, run in enumerate(runs)
        ]
    if processes[0].wait(timeout=300):
        processes[1].kill()
    return [process.wait(timeout=300) for process in processes]


@pytest.mark.slow
def test_two_machines_have_the_curve_of_one(archive: Path, tmp_path: Path) -> None:
    """Two machines on one, each with a command of its own."""
    runs = [tmp_path / "first", tmp_path / "second"]
    said = tmp_path / "said"
    codes = on_two_machines(archive, runs, said)
    if codes[0] and "EADDRINUSE" in said.read_text():  # another program took the port
        codes = on_two_machines(archive, runs, said)
    assert codes == [0, 0], said.read_text()
    assert not runs[1].exists()
    result = CliRunner().invoke(main, call(archive, tmp_path / "one"))
    assert result.exit_code == 0, result.output
    for mine, shared in zip(curve(tmp_path / "one"), curve(runs[0]), strict=True):
        assert mine == pytest.approx(shared, rel=1e-3, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("notices", "code"), [(True, 0), (False, -signal.SIGKILL)])
def test_a_process_that_hangs_while_another_failed_is_ended(notices: bool, code: int) -> None:
    script = f"""
import subprocess, sys, threading
from seglab.training import processes
processes.GRACE = {60.0 if notices else 1.0}
noticed = threading.Event()
child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
watch = threading.Thread(target=processes._watch, args=([child], noticed), daemon=True)
watch.start()
child.wait()
if {notices}: noticed.set()
watch.join(30)
raise SystemExit(watch.is_alive())
"""
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=False, timeout=300)
    assert ended.returncode == code
