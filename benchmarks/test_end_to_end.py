"""From image files to mask files, with the networks loaded: the PyTorch loop and seg-batch in one run."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from batch.running.runner import Runner
from batch.settings import RunSettings
from benchmarks.support.archives import Archive
from benchmarks.support.original import OriginalLoop
from export.errors import DeviceError
from export.runtime.bundled import bundled_model
from export.runtime.opening import open_model
from seglab.networks.checkpoints import Checkpoint

ARCHIVES = ["600x450", "originals"]
LEAST_MEDIAN_DICE = 0.995
"""Of the masks to the original's. The median: one synthetic image that the network is in two minds about may be drawn
otherwise on another processor, and says nothing of the loop."""
LEAST_MEDIAN_DICE_OF_RIVAL = 0.97
"""OpenCV's area resize is not the resize that the network was trained with, but what a user would write."""
BATCH = 16


def measure(
    benchmark: BenchmarkFixture,
    archive: Archive,
    run: Callable[[Path], None],
    out: Path,
    rounds: int,
    least_median: float = LEAST_MEDIAN_DICE,
) -> None:
    """Time ``run`` into fresh folders, then judge the masks of the last round."""
    folders = (out / f"round-{number}" for number in itertools.count())
    used: list[Path] = []

    def fresh() -> tuple[tuple[Path], dict[str, object]]:
        used.append(next(folders))
        return (used[-1],), {}

    benchmark.pedantic(run, setup=fresh, rounds=rounds, warmup_rounds=1)  # type: ignore[no-untyped-call]
    quality = archive.judge(used[-1])
    benchmark.group = archive.name
    benchmark.extra_info.update(
        dataclasses.asdict(quality), archive=archive.name, images=len(archive.pairs), rounds=rounds
    )
    assert quality.median_dice_to_original >= least_median


@pytest.mark.parametrize("name", ARCHIVES)
def test_pytorch_loop(
    benchmark: BenchmarkFixture,
    archive_of: Callable[[str], Archive],
    checkpoint: Checkpoint,
    tmp_path: Path,
    rounds: int,
    name: str,
) -> None:
    archive = archive_of(name)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loop = OriginalLoop(checkpoint, device)
    benchmark.extra_info.update(label=f"PyTorch eager, DataLoader ({device})", precision="fp32", rival=True)
    measure(benchmark, archive, lambda out: loop.run(archive.images, out), tmp_path, rounds, LEAST_MEDIAN_DICE_OF_RIVAL)


@pytest.mark.parametrize("exact", [False, True], ids=["fast", "exact"])
@pytest.mark.parametrize("name", ARCHIVES)
def test_seg_batch(
    benchmark: BenchmarkFixture,
    archive_of: Callable[[str], Archive],
    tmp_path: Path,
    rounds: int,
    name: str,
    device: str,
    exact: bool,
) -> None:
    measure_seg_batch(benchmark, archive_of(name), bundled_model(), device, tmp_path, rounds, exact=exact)


@pytest.mark.parametrize("name", ARCHIVES)
def test_seg_batch_int8(
    benchmark: BenchmarkFixture,
    archive_of: Callable[[str], Archive],
    int8_model: Path,
    tmp_path: Path,
    rounds: int,
    name: str,
    device: str,
) -> None:
    measure_seg_batch(benchmark, archive_of(name), int8_model, device, tmp_path, rounds)


def measure_seg_batch(
    benchmark: BenchmarkFixture,
    archive: Archive,
    model_file: Path,
    device: str,
    tmp_path: Path,
    rounds: int,
    *,
    exact: bool = False,
) -> None:
    """Time the runner with an opened model; skip a device that cannot be had."""
    try:
        model = open_model(model_file, device, batch=BATCH)
    except DeviceError as error:
        pytest.skip(str(error))
    sources = tuple(str(path) for path in archive.images)

    def run(out: Path) -> None:
        settings = RunSettings(sources=sources, out=out, device=device, exact=exact, batch=BATCH)
        failed = [result for result in Runner(settings, model) if result.error]
        assert not failed

    name = model.device.name
    if exact:
        whole = model.whole_device.name
        name += " --exact" if whole == name else f" --exact (runs on {whole})"
    benchmark.extra_info.update(label=f"seg-batch {name}", precision=model.device.precision)
    measure(benchmark, archive, run, tmp_path, rounds)
