"""Fixtures that several test files share."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import hypothesis
import pytest

from seglab.synth import write_set

pytest.register_assert_rewrite("tests.support")
pytest_plugins = ("tests.support.browser", "tests.support.storage", "tests.support.traces")
ROOT = Path(__file__).resolve().parent.parent

# No timed assertions (machines are shared); and a change must not fail on an example that has nothing to do with it:
# CI draws the same ones each time.
hypothesis.settings.register_profile(
    "seglab",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("seglab")

# Tests run side by side (pytest-xdist): threads of torch that share a core only wait for each other.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

# Where they were started in the background, Ctrl-C is ignored, also by all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What devices are measured to do is kept in a folder of the tests' own; subprocesses inherit it.
_cache = tempfile.TemporaryDirectory(prefix="seglab-tests-cache-")
os.environ["SEGLAB_CACHE"] = _cache.name

# Tests start thousands of processes: each begins sooner where it need not compile this package again.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    os.environ["PYTHONPYCACHEPREFIX"] = os.path.join(tempfile.gettempdir(), "seglab-tests-compiled")


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    folder = Path(os.environ.get("SEGLAB_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder}; set SEGLAB_DATA to the folder that holds isic2018/ and originals/")
    return folder.resolve()


@pytest.fixture(scope="session")
def synth_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small synthetic pairs of different shapes, images/ and masks/; read-only by agreement."""
    root = tmp_path_factory.mktemp("synth")
    write_set(root, 4, [(90, 120), (120, 90), (96, 96), (64, 160)], seed=20)
    return root


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model file of a tiny network that finds brown blobs; read-only by agreement."""
    from tests.support.artefact import tiny_model  # which loads torch

    return tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")
