"""Memory: what happens where it runs out, and that it does not grow with the archive."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from batch.running import read_ahead
from batch.running.runner import Runner
from batch.settings import RunSettings
from batch.sources.bytes import HeldBytes
from batch.sources.image_ref import ImageRef, Origin, SourceReport
from export.errors import DeviceError
from export.runtime.engines.failures import is_out_of_memory
from tests.support.archive import StandIn, as_model, run_with_report, save_many, spot
from tests.support.artefact import tiny_model

OUT_OF_MEMORY = """
import resource, sys
import numpy as np
from pathlib import Path
from batch.sources.bytes import FileBytes
from batch.steps.inference import Inference
from batch.steps.task import Task
from batch.steps.work import Work
from export.runtime.opening import open_model

model = open_model(Path(sys.argv[1]), "cpu", batch=256)
size = model.contract.size
pixels = np.random.default_rng(0).integers(0, 256, (256, size, size, 3), np.uint8)
expected = [model.prob(pixels[:8]), model.prob(pixels[-8:])]
model.use_batch(256)  # gives back what the calls took
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (32 << 20), resource.RLIM_INFINITY))
works = [Work(Task(row, "", "", FileBytes("")), pixels=image) for row, image in enumerate(pixels)]
inference = Inference(model, device="cpu", exact=False)
inference(works)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
print(*inference.notes, sep="\\n")
assert not any(work.error for work in works)
np.testing.assert_allclose([work.prob for work in works[:8]], expected[0], atol=1e-5)
np.testing.assert_allclose([work.prob for work in works[-8:]], expected[1], atol=1e-5)
assert model.batch < 256
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on address space")
def test_a_model_that_runs_out_of_memory_goes_on_with_half_the_batch(tmp_path: Path) -> None:
    """A real one: onnxruntime's own allocation fails."""
    model = tiny_model(tmp_path / "tiny.onnx")
    ended = subprocess.run([sys.executable, "-c", OUT_OF_MEMORY, model], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("cpu ran out of memory: 128 images per call instead of 256\n")


class Small(StandIn):
    """A device that holds ``most`` images."""

    def __init__(self, most: int) -> None:
        super().__init__(batch=8)
        self.most = most

    def prob(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self.batch > self.most:
            raise DeviceError("cuda:0", "CUDA out of memory", out_of_memory=True)
        return super().prob(batch)


def test_the_run_says_so_and_loses_nothing(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 20)
    results, runner = run_with_report(tmp_path / "in", tmp_path / "out", Small(2))
    assert [result.status.value for result in results] == ["done"] * 20
    assert runner.report.notes == [
        "cpu ran out of memory: 4 images per call instead of 8",
        "cpu ran out of memory: 2 images per call instead of 4",
    ]


def test_a_device_that_cannot_hold_one_image_ends_the_run(tmp_path: Path) -> None:
    save_many(tmp_path / "in", 9)
    with pytest.raises(DeviceError, match="CUDA out of memory"):
        run_with_report(tmp_path / "in", tmp_path / "out", Small(0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Failed to allocate memory for requested buffer of size 56623104", True),
        ("CUDA failure 2: out of memory ; GPU=0", True),
        ("CUDNN_STATUS_ALLOC_FAILED", True),
        ("Available memory of 1024 is smaller than requested bytes of 256", True),
        ("std::bad_alloc", True),
        ("Exception from src/inference: can't alloc", True),
        ("Failed to allocate 150994944 bytes of memory", True),
        ("libopenvino.so: failed to map segment: Cannot allocate memory", True),
        ("Got invalid dimensions for input", False),
    ],
)
def test_words_for_no_memory(text: str, expected: bool) -> None:
    assert is_out_of_memory(RuntimeError(text)) is expected


class Held:
    """Images in memory, as they come out of a stream; counts how far it was read."""

    report = SourceReport()

    def __init__(self, count: int, size: int) -> None:
        self.read, self._count = 0, count
        buffer = io.BytesIO()
        Image.fromarray(spot(48, 64)).save(buffer, "BMP")
        self._data = buffer.getvalue() + bytes(size)  # what follows the image is no concern of the decoder's

    def __iter__(self) -> Iterator[ImageRef]:
        for number in range(self._count):
            self.read += 1
            yield ImageRef(f"-/{number}", f"{number}.bmp", Origin("-"), len(self._data), 1, HeldBytes(self._data, 1))


@pytest.mark.parametrize("limit", [500_000, 10**9])
def test_a_stream_is_read_ahead_only_by_so_many_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(read_ahead, "MOST_HELD_BYTES", limit)
    (tmp_path / "in").mkdir()
    run = Runner(RunSettings(tmp_path / "in", tmp_path / "out"), as_model(StandIn(batch=4)))
    source = Held(60, 100_000)
    run.sources = source  # type: ignore[assignment]
    ahead = [source.read - taken for taken, _ in enumerate(run)]
    assert len(ahead) == 60
    assert (max(ahead) <= 5 + 1 + 4) is (limit == 500_000)  # under way, at hand, and said together
    assert run.report.done == 60


def test_an_image_of_a_stream_that_is_larger_than_all_may_be_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "MOST_HELD_BYTES", 1000)
    (tmp_path / "in").mkdir()
    run = Runner(RunSettings(tmp_path / "in", tmp_path / "out"), as_model(StandIn(batch=4)))
    source = Held(5, 100_000)
    run.sources = source  # type: ignore[assignment]
    ahead = [source.read - taken for taken, _ in enumerate(run)]
    assert run.report.done == 5
    assert max(ahead) <= 2  # one by one
