"""Files of other projects' test suites, against their own reference pictures and each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError
from seglab.images.reader import read_photo

pytestmark = pytest.mark.real

UNLIKE = {
    "pal4rlecut.bmp": "pixels that no run sets are transparent in the reference, and the palette's first colour here",
    "pal4rletrns.bmp": "the same",
    "rgb24prof2.bmp": "its profile is not applied in the reference",
}
GAMMAS = ("03", "04", "05", "07", "10")


@pytest.fixture(scope="module")
def formats(data_dir: Path) -> Path:
    folder = data_dir / "formats"
    if not folder.is_dir():
        pytest.skip(f"no files of other suites at {folder}")
    return folder


def reference(path: Path) -> NDArray[np.int16]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.int16)


def test_bitmaps_are_as_their_references(formats: Path) -> None:
    references = formats / "image-rs" / "tests" / "reference" / "bmp" / "images"
    found = sorted(references.rglob("*.bmp.png"))
    wrong = []
    for path in found:
        name = path.name.removesuffix(".png")
        source = (
            formats / "image-rs" / "tests" / "images" / "bmp" / "images" / path.relative_to(references).parent / name
        )
        if name in UNLIKE or not source.exists():
            continue
        if np.abs(read_photo(source).pixels - reference(path)).max() > 1:
            wrong.append(name)
    assert len(found) > 20
    assert wrong == []


@pytest.mark.parametrize(("kind", "bound"), [("n0g16", 4), ("n2c08", 10)])
def test_one_picture_of_many_gammas_looks_the_same(formats: Path, kind: str, bound: int) -> None:
    """Each has its number in its middle; the rest is one picture."""
    folder = formats / "pngsuite-libspng" / "tests" / "images"
    pictures = [read_photo(folder / f"g{gamma}{kind}.png").pixels.astype(np.int16) for gamma in GAMMAS]
    for picture in pictures[1:]:
        assert np.abs(picture - pictures[0])[:18].max() <= bound


def test_every_file_is_read_or_refused_in_one_line(formats: Path) -> None:
    suffixes = {".png", ".bmp", ".gif", ".webp", ".avif", ".jp2", ".j2k", ".ico", ".tga", ".hdr", ".qoi", ".pnm"}
    said = [refusal(path) for path in sorted(formats.rglob("*")) if path.suffix.lower() in suffixes]
    refused = [words for words in said if words]
    assert len(said) - len(refused) > 450
    assert len(refused) > 80
    assert [words for words in refused if not words.isprintable() or not words.endswith(".")] == []


def refusal(path: Path) -> str:
    try:
        read_photo(path)
    except ImageError as error:
        return str(error)
    return ""
