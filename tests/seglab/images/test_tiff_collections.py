"""TIFFs of other projects' test suites: read as independent decoders read them, or refused by name."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError
from seglab.images.reader import read_photo

FLOWERS = ("minisblack", "rgb-contig", "rgb-planar", "separated-contig", "separated-planar")


@pytest.fixture(scope="module")
def collections(data_dir: Path) -> Path:
    folder = data_dir / "formats"
    if not folder.is_dir():
        pytest.skip(f"no files of other projects at {folder}")
    return folder


def by_pillow(path: Path) -> NDArray[np.uint8] | None:
    """RGB of a file of 8 bits as Pillow reads it; None where it does not, or turns it into something else."""
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            if image.mode not in ("1", "L", "RGB") or max(image.tag_v2.get(258, (1,))) > 8:  # type: ignore[attr-defined]
                return None
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError):
        return None


@pytest.mark.real
def test_files_of_other_projects_are_read_right_or_refused_by_name(collections: Path) -> None:
    paths = sorted(path for path in collections.rglob("*") if path.suffix.lower() in (".tif", ".tiff"))
    read, alike, different, broken = 0, 0, list[str](), list[str]()
    for path in paths:
        try:
            found = read_photo(path).pixels
        except ImageError as error:
            broken += [path.name] * ("\n" in str(error))
            continue
        read += 1
        reference = by_pillow(path)
        if reference is not None and "ojpeg" not in path.name and path.name != "smallliz.tif":
            alike += 1
            if reference.shape != found.shape or np.abs(found.astype(int) - reference).max() > 2:
                different.append(path.name)
    assert different == []
    assert broken == []
    assert read > 150
    assert alike > 40


@pytest.mark.real
@pytest.mark.parametrize("kind", FLOWERS)
def test_one_flower_in_every_depth(collections: Path, kind: str) -> None:
    folder = collections / "image-tiff" / "tests" / "libtiffpic" / "depth"
    whole = read_photo(folder / f"flower-{kind}-16.tif").pixels.astype(int)
    others = sorted(folder.glob(f"flower-{kind}-*.tif"))
    assert len(others) > 1
    for path in others:
        bits = int(path.stem.rpartition("-")[2])
        difference = np.abs(read_photo(path).pixels - whole).mean()
        assert difference < max(1, 200 / 2**bits), path.name
