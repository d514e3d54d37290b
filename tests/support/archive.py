"""What the tests of batch share: a stand-in model whose masks can be worked out by hand, and small image files."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from batch.ledger.records import Result
from batch.running.runner import Runner
from batch.settings import RunSettings
from export.contract import Contract
from export.runtime.device import Device
from export.runtime.model import Model
from export.runtime.session import Seen

SIZE = 32
SKIN, LESION = 230, 40


class StandIn:
    """A model that takes dark for lesion: p = 1 - grey / 255. ``before`` is called with each batch."""

    def __init__(self, sha256: str = "a" * 64, batch: int = 4, threshold: float = 0.5, size: int = SIZE) -> None:
        self.contract = Contract(
            arch="none", encoder=None, size=size, mean=(0, 0, 0), std=(1, 1, 1), threshold=threshold, opset=20,
            checkpoint_sha256="",
        )  # fmt: skip
        self.device = Device("cpu", "stand-in 1.0", "stand-in", "fp32", "for tests")
        self.path = Path("stand-in.onnx")
        self.sha256 = sha256
        self.batch = batch
        self.whole_device = self.device
        self.before: Callable[[NDArray[np.uint8]], None] = lambda images: None

    def use_batch(self, batch: int) -> None:
        self.batch = batch

    def seen(self, batch: NDArray[np.uint8]) -> Seen:
        return Seen(self.prob(batch))

    def seen_whole(self, images: NDArray[np.uint8]) -> Seen:
        return Seen(*self.prob_and_mask(images))

    def prob(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.before(batch)
        assert batch.shape[1:] == (self.contract.size, self.contract.size, 3)
        return np.asarray(1 - batch.mean(axis=3) / 255, np.float32)

    def prob_and_mask(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        size = (self.contract.size, self.contract.size)
        small = np.stack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in images])
        probs = self.prob(small)
        height, width = images.shape[1:3]
        whole = np.stack([cv2.resize(prob, (width, height), interpolation=cv2.INTER_LINEAR) for prob in probs])
        return probs, np.where(whole >= self.contract.threshold, np.uint8(255), np.uint8(0))


def as_model(stand_in: StandIn) -> Model:
    return cast(Model, stand_in)


def spot(height: int, width: int, box: tuple[int, int, int, int] | None = None) -> NDArray[np.uint8]:
    """Skin with a dark rectangle: RGB ``(H, W, 3)``; ``box`` is x0, y0, x1, y1, by default the middle."""
    image = np.full((height, width, 3), SKIN, np.uint8)
    x0, y0, x1, y1 = box or (width // 4, height // 4, width - width // 4, height - height // 4)
    image[y0:y1, x0:x1] = LESION
    return image


def save(path: Path, image: NDArray[np.uint8] | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(spot(48, 64) if image is None else image).save(path, **options)
    return path


def save_many(folder: Path, count: int) -> list[Path]:
    """Write images that all differ in size and spot."""
    rng = np.random.default_rng(count)
    paths = []
    for number in range(count):
        height, width = (int(side) for side in rng.integers(40, 120, 2))
        x0, y0 = int(rng.integers(0, width // 2)), int(rng.integers(0, height // 2))
        image = spot(height, width, (x0, y0, x0 + width // 2, y0 + height // 2))
        paths.append(save(folder / f"{number:03}.png", image))
    return paths


def run_all(
    source: Path | Sequence[str], out: Path | str, model: StandIn | None = None, **settings: Any
) -> list[Result]:
    """Run with a stand-in and return the results by path."""
    return run_with_report(source, out, model, **settings)[0]


def run_with_report(
    source: Path | Sequence[str], out: Path | str, model: StandIn | None = None, **settings: Any
) -> tuple[list[Result], Runner]:
    sources = (str(source),) if isinstance(source, Path) else tuple(source)
    runner = Runner(RunSettings(sources, out, **settings), as_model(model or StandIn()))
    return sorted(runner, key=lambda result: result.path), runner


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Read a mask by Pillow, as anyone would."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def masks_below(out: Path) -> dict[str, bytes]:
    """Return the masks of an output folder, as bytes by name."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("[!.]*.png"))}


def archived_masks(archive: Path) -> dict[str, bytes]:
    """Return the members of a zip or tar, as bytes by name; no name may occur twice."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            assert file.testzip() is None
            names = file.namelist()
            found = {name: file.read(name) for name in names}
    else:
        with tarfile.open(archive, "r:") as tar:
            infos = tar.getmembers()
            names = [info.name for info in infos]
            found = {info.name: cast(IO[bytes], tar.extractfile(info)).read() for info in infos}
    assert len(names) == len(found)
    return dict(sorted(found.items()))


def command(*arguments: str | Path | bytes) -> list[str | Path | bytes]:
    """Return the command line that runs ``seg-batch`` in this interpreter."""
    return [sys.executable, "-c", "from batch.cli import main; main()", *arguments]


def seg_batch(*arguments: str | Path | bytes) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, check=False, errors="backslashreplace")
