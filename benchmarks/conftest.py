"""Options and fixtures of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.support.archives import Archive, originals, photos
from benchmarks.support.places import CHECKPOINT, DATA, INT8_MODEL
from seglab.evaluation.original import Predictor
from seglab.networks.checkpoints import Checkpoint, load_checkpoint

QUICK_IMAGES, FULL_IMAGES = 24, 256
QUICK_ORIGINALS, FULL_ORIGINALS = 4, 36


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="few images, one round: check that every benchmark works")
    parser.addoption(
        "--device", action="append", help="device of seg-batch (cpu, openvino, cuda); several may be given"
    )
    parser.addoption("--images", type=int, help="number of 600x450 images")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", metafunc.config.getoption("--device") or ["cpu", "openvino"])


@pytest.fixture(scope="session")
def quick(request: pytest.FixtureRequest) -> bool:
    """Return whether ``--quick`` was given."""
    return bool(request.config.getoption("--quick"))


@pytest.fixture(scope="session")
def rounds(quick: bool) -> int:
    """Timed rounds; the median counts."""
    return 1 if quick else 5


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    """The PyTorch original of the model in the package."""
    return load_checkpoint(CHECKPOINT)


@pytest.fixture(scope="session")
def int8_model() -> Path:
    """The same network in int8, as ``seg-export onnx CHECKPOINT --precision int8`` made it."""
    return INT8_MODEL


@pytest.fixture(scope="session")
def archive_of(
    request: pytest.FixtureRequest, quick: bool, checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Archive]:
    """Make (once) the archive of a name: ``600x450`` or ``originals``, which needs the real images."""
    made: dict[str, Archive] = {}

    def make(name: str) -> Archive:
        if name == "originals" and not DATA.is_dir():
            pytest.skip(f"no real images at {DATA}; set SEGLAB_DATA to the folder that holds originals/")
        if name not in made:
            root, predictor = tmp_path_factory.mktemp(name), Predictor(checkpoint)
            if name == "originals":
                made[name] = originals(DATA, root, QUICK_ORIGINALS if quick else FULL_ORIGINALS, predictor)
            else:
                count = request.config.getoption("--images") or (QUICK_IMAGES if quick else FULL_IMAGES)
                made[name] = photos(root, count, predictor)
        return made[name]

    return make
