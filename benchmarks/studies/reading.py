"""Speed and accuracy of reading: ``read_fitted`` compared with its earlier form (Pillow's resize, smooth chroma).

``python -m benchmarks.studies.reading [--data DIR]`` prints two Markdown tables: milliseconds and the median ratio for
photographs of four sizes, made from real images, both ways in turn in one thread; and Dice of the bundled model's masks
to those of the exact path (whole decode, resize in the graph).
"""

from __future__ import annotations

import io
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from batch.steps.masks import mask_of
from benchmarks.support.places import DATA, machine
from export.runtime.bundled import bundled_model
from export.runtime.masks import agreement
from export.runtime.model import Model
from export.runtime.opening import open_model
from seglab.cli_support import begin_command
from seglab.data.finding.layouts import find_file_pairs
from seglab.images.pixels.orientation import orientation_of, upright
from seglab.images.pixels.resize import OVERSAMPLING
from seglab.images.reader import Photo, read_fitted, read_image

SIZES = ((450, 600), (768, 1024), (1536, 2048), (2848, 4288))
QUALITY = 90
SETS = ("originals", "isic2018")

Read = Callable[[bytes, int], Photo]


def read_before(data: bytes, size: int) -> Photo:
    """Read a JPEG as the first release did."""
    with Image.open(io.BytesIO(data), formats=("JPEG", "MPO")) as header:
        orientation = orientation_of(header.info.get("exif"))
    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    least = OVERSAMPLING * size
    factor = next((factor for factor in (8, 4, 2) if min(height, width) >= factor * least), 1)
    wanted = {"min_height": -(-height // factor), "min_width": -(-width // factor), "min_factor": factor}
    pixels = upright(simplejpeg.decode_jpeg(data, "RGB", **(wanted if factor > 1 else {})), orientation)  # (h, w, 3)
    image = Image.frombuffer("RGB", pixels.shape[1::-1], pixels, "raw", "RGB", 0, 1)
    small = image.resize((size, size), Image.Resampling.BILINEAR)
    whole = (width, height) if orientation >= 5 else (height, width)
    return Photo(np.frombuffer(bytearray(small.tobytes()), np.uint8).reshape(size, size, 3), whole)


WAYS: dict[str, Read] = {"before": read_before, "now": read_fitted}


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=DATA, help="Folder with originals/ and isic2018/.")
@click.option("--images", default=100, show_default=True, help="Most images of each set.")
@click.option("--rounds", default=15, show_default=True, help="Rounds for each photograph and way.")
def main(data: Path, images: int, rounds: int) -> None:
    """Measure and print."""
    begin_command()
    files = [path for name in SETS for path in chosen(data / name, images)]
    if not files:
        raise click.ClickException(f"{data} holds no images; expected {' and '.join(SETS)}. Name another --data.")
    model = open_model(bundled_model(), "cpu", batch=1)
    size = model.contract.size
    click.echo(f"{machine()}; one thread, bytes in memory, network of {size}.\n")
    click.echo("| pixels | before, ms | now, ms | median ratio |\n" + "|" + " --- |" * 4)
    for height, width in SIZES:
        photographs = [photograph(path, height, width) for path in files[:: max(1, len(files) // 8)][:8]]
        before, now, ratio = timed(photographs, size, rounds)
        click.echo(f"| {width}x{height} | {before:.2f} | {now:.2f} | {ratio:.2f} |")
    click.echo("\n| way | images | mean Dice to the exact path | worst |\n" + "|" + " --- |" * 4)
    dices = list(agreements(model, files))
    for column, way in enumerate(WAYS):
        found = [row[column] for row in dices]
        click.echo(f"| {way} | {len(found)} | {statistics.fmean(found):.5f} | {min(found):.4f} |")


def chosen(root: Path, images: int) -> list[Path]:
    """Return images of a set, evenly spaced over it; none where the set is not there."""
    pairs = find_file_pairs(root) if root.is_dir() else []
    places = np.linspace(0, len(pairs) - 1, min(images, len(pairs)), dtype=int)
    return [pairs[place].image for place in places if pairs[place].image.suffix == ".jpg"]


def photograph(path: Path, height: int, width: int) -> bytes:
    """Return an image as a camera would have taken it at another size: a JPEG with chroma at half the resolution."""
    pixels = cv2.resize(read_image(path), (width, height), interpolation=cv2.INTER_AREA)  # (H, W, 3)
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), QUALITY, "RGB", "420"))


def timed(photographs: Sequence[bytes], size: int, rounds: int) -> tuple[float, float, float]:
    """Return the median milliseconds of both ways, and the median of their ratios, pair by pair in random order."""
    pairs: list[dict[str, float]] = []
    for _ in range(rounds):
        for data in photographs:
            seconds = {}
            for way in random.sample(list(WAYS), len(WAYS)):
                start = time.perf_counter()
                WAYS[way](data, size)
                seconds[way] = time.perf_counter() - start
            pairs.append(seconds)
    before, now = ([1000 * pair[way] for pair in pairs] for way in WAYS)
    ratios = [new / old for old, new in zip(before, now, strict=True)]
    return statistics.median(before), statistics.median(now), statistics.median(ratios)


def agreements(model: Model, files: Sequence[Path]) -> Iterator[list[float]]:
    """Yield for each image the Dice of each way's mask to the exact one."""
    for path in files:
        data = path.read_bytes()
        exact = model.mask(read_image(data)[None])[0]  # (H, W)
        masks = [mask_by(read, model, data) for read in WAYS.values()]
        yield [agreement(mask, exact)[1] for mask in masks]


def mask_by(read: Read, model: Model, data: bytes) -> NDArray[np.uint8]:
    """Return the mask ``(H, W)`` of an image that is read and made smaller before the network sees it."""
    photo = read(data, model.contract.size)
    return mask_of(model.prob(photo.pixels[None])[0], model.contract.threshold, photo.size)


if __name__ == "__main__":
    main()
