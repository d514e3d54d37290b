"""Choice of a TIFF's page with the photograph: not a thumbnail, a mask, a single channel, or a camera's raw data.

Several pages may be one image, because ImageJ and OME (https://www.openmicroscopy.org/Schemas/OME/2016-06) store
channels so. Stacks, volumes, time series and fluorescence are refused.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from seglab.errors import ImageError
from seglab.images.decoders.tiff.directory import Chain, Directory, read_chain, subdirectories, unsupported
from seglab.images.decoders.tiff.plan import size_of

NEW_SUBFILE_TYPE, SUBFILE_TYPE, DESCRIPTION = 254, 255, 270
REDUCED, TRANSPARENCY_MASK, DEPTH_MAP = 1, 4, 8
OLD_REDUCED = 2
RAW = {32803: "a colour filter array", 34892: "linear raw data"}
SENSOR_TAGS = frozenset({33421, 33422, 50706})
"""Of a camera's raw data: the pattern of its filters; the DNG version."""
MICROSCOPES = {
    33628: "a MetaMorph stack", 33629: "a MetaMorph stack", 34361: "a FluoView stack", 34412: "a Zeiss LSM file",
}  # fmt: skip
IMAGEJ_METADATA, IMAGEJ_COUNTS = 50839, 50838
SHAPE = 0.02
"""Pages of the same proportions, within this part, may be copies of one another."""
SMALLER = 2
"""A first page that is at least so many times smaller than another of the same proportions is its thumbnail."""
PIXELS = re.compile(r"<(?:\w+:)?Pixels\b([^>]*)>(.*?)</(?:\w+:)?Pixels>", re.DOTALL)
ATTRIBUTE = re.compile(r'\b(\w+)\s*=\s*"([^"]*)"')
CHANNEL = re.compile(r"<(?:\w+:)?Channel\b([^>]*)>")
PLACES = re.compile(r"<(?:\w+:)?TiffData\b([^>]*)>")
PURE_OME = ("-16776961", "16711935", "65535")
"""Red, green and blue as OME writes them: signed numbers, red in the high byte, alpha in the low one."""
NAMES = (("red", "r"), ("green", "g"), ("blue", "b"))
GREY_AS_COLOURS = "three grey pages read as red, green and blue"


@dataclass(frozen=True)
class Photograph:
    """The pages that are the photograph: one, or red, green and blue, all alike."""

    pages: tuple[Directory, ...]
    remarks: tuple[str, ...] = ()


def photograph(data: bytes) -> Photograph:
    """Choose a file's photograph. Raises :class:`ImageError` where it has none, or more than one can be."""
    chain = read_chain(data)
    first = chain.pages[0]
    below = list(subdirectories(first))
    _require_developed(data, [*chain.pages, *below])
    _require_no_microscope(first)
    channels = _channels(chain)
    if channels:
        return Photograph(channels, (GREY_AS_COLOURS,))
    return _one_of(chain, below)


def is_reduced(page: Directory) -> bool:
    """Return whether the page is marked as a smaller copy of another."""
    return bool(page.number(NEW_SUBFILE_TYPE, 0) & REDUCED) or page.number(SUBFILE_TYPE, 0) == OLD_REDUCED


def _is_beside(page: Directory) -> bool:
    """Return whether the page is a mask or depth map of another page, or has no pixels."""
    kind = page.number(NEW_SUBFILE_TYPE, 0)
    return bool(kind & (TRANSPARENCY_MASK | DEPTH_MAP)) or page.number(262, 1) == TRANSPARENCY_MASK or 256 not in page


def _area(page: Directory) -> int:
    width, height = size_of(page)
    return width * height


def _one_of(chain: Chain, below: list[Directory]) -> Photograph:
    whole = [page for page in chain.pages if not is_reduced(page) and not _is_beside(page)]
    full = [page for page in below if not is_reduced(page) and not _is_beside(page)]
    if is_reduced(chain.pages[0]) and full:
        return Photograph((max(full, key=_area),), _pages_remark(len(whole) + 1, chain))
    if not whole:
        chosen = max([*chain.pages, *below], key=_area)
        return Photograph((chosen,), ("marked as a smaller copy or a mask, and nothing else is in the file",))
    first = whole[0]
    if first is chain.pages[0] and full:
        first = max([first, *full], key=_area)
    larger = next((page for page in whole[1:] if _is_thumbnail(first, page)), None)
    if larger is not None:
        return Photograph((larger,), (f"read from page {chain.pages.index(larger) + 1}; the first is a smaller copy",))
    others = [page for page in whole[1:] if not _is_thumbnail(page, first)]
    return Photograph((first,), _pages_remark(1 + len(others), chain))


def _pages_remark(count: int, chain: Chain) -> tuple[str, ...]:
    broken = ("its list of pages breaks off",) if chain.is_broken else ()
    if count < 2:
        return broken
    return (f"the first of {'more than ' if chain.is_longer else ''}{count} pages", *broken)


def _is_alike(page: Directory, other: Directory) -> bool:
    """Return whether two pages have the same aspect ratio."""
    (width, height), (wide, high) = size_of(page), size_of(other)
    if min(width, height, wide, high) <= 0:
        return False
    return abs(width * high / (height * wide) - 1) < SHAPE + 1 / min(height, high)


def _is_thumbnail(page: Directory, of: Directory) -> bool:
    """Return whether an unmarked page is a small copy of another, or a level of its pyramid."""
    return _is_alike(page, of) and size_of(of)[0] >= SMALLER * size_of(page)[0]


def _require_developed(data: bytes, pages: list[Directory]) -> None:
    kinds = [RAW[kind] for page in pages if (kind := page.number(262, 1)) in RAW]
    is_raw = bool(kinds) or _is_cr2(data) or any(SENSOR_TAGS & page.entries.keys() for page in pages)
    if is_raw:
        raise ImageError(
            f"A camera's raw photograph ({next(iter(kinds), 'DNG or CR2')}); expected a developed one. Export it as "
            "JPEG, PNG or TIFF."
        )


def _is_cr2(data: bytes) -> bool:
    """Return whether this is a Canon raw file (CR2), whose first directory is at offset 16."""
    return data.startswith(b"II*\0\x10\0\0\0CR\x02\0")


def _require_no_microscope(page: Directory) -> None:
    name = next((name for tag, name in MICROSCOPES.items() if tag in page), None)
    if name:
        raise _stack(name)


def _stack(what: str) -> ImageError:
    return ImageError(f"{what[0].upper()}{what[1:]}; expected one photograph. Save the right image as RGB.")


def _channels(chain: Chain) -> tuple[Directory, ...]:
    """Return the three pages that are red, green and blue; none where the first page is an image of its own."""
    text = chain.pages[0].text(DESCRIPTION)
    if text.startswith("ImageJ="):
        return _of_imagej(chain, text)
    if "<OME" in text[:2000] or ":OME" in text[:2000]:
        return _of_ome(chain, text)
    if text.startswith("{"):
        return _of_shape(chain, text)
    return ()


def _of_imagej(chain: Chain, text: str) -> tuple[Directory, ...]:
    said = dict(line.partition("=")[::2] for line in text.splitlines())
    images, channels = _count(said.get("images")), _count(said.get("channels"))
    slices, frames = _count(said.get("slices")), _count(said.get("frames"))
    if max(slices, frames) > 1 or (images > 1 and images != channels):
        raise _stack(f"an ImageJ stack of {max(images, slices * frames * channels)} images")
    if channels == 1 or chain.pages[0].number(277, 1) in (3, 4):
        return ()
    if channels != 3 or said.get("mode") != "composite" or not _are_pure(chain.pages[0]):
        raise _stack(f"an ImageJ image of {channels} channels (mode {said.get('mode', 'not said')})")
    return _three(chain, "an ImageJ image")


def _are_pure(page: Directory) -> bool:
    """Return whether ImageJ shows the three channels in red, green and blue, which is its default."""
    counts = page.whole_numbers(IMAGEJ_COUNTS)
    content = page.raw(IMAGEJ_METADATA)
    if not counts or b"luts" not in content[: counts[0]].replace(b"stul", b"luts"):
        return True
    tables = [content[-768 * (3 - k) :][:768] for k in range(3)]
    ramp = bytes(range(256))
    expected = [bytes(256) * k + ramp + bytes(256) * (2 - k) for k in range(3)]
    return all(table in content for table in expected) or tables == expected


def _of_ome(chain: Chain, text: str) -> tuple[Directory, ...]:
    pixels = PIXELS.search(text)
    if pixels is None:
        return ()
    said = dict(ATTRIBUTE.findall(pixels[1]))
    depth, times, channels = (_count(said.get(f"Size{axis}")) for axis in "ZTC")
    if depth * times > 1:
        raise _stack(f"an OME-TIFF of {depth} slices and {times} time points")
    samples = chain.pages[0].number(277, 1)
    if channels == samples or channels == 1:
        return ()
    given = [dict(ATTRIBUTE.findall(channel)) for channel in CHANNEL.findall(pixels[2])]
    if channels != 3 or samples != 1 or not _are_primaries(given) or not _are_in_order(pixels[2]):
        raise _stack(f"an OME-TIFF of {channels} channels that are not clearly red, green and blue")
    return _three(chain, "an OME-TIFF")


def _are_primaries(channels: list[dict[str, str]]) -> bool:
    """Return whether names or colours say that three channels are red, green and blue."""
    if len(channels) != 3:
        return False
    names = [channel.get("Name", "").strip().lower() for channel in channels]
    colours = tuple(channel.get("Color", "") for channel in channels)
    if any(names):
        return all(name in known for name, known in zip(names, NAMES, strict=True))
    return colours == PURE_OME


def _are_in_order(content: str) -> bool:
    """Return whether the channels are in one file, in its order of pages."""
    places = [dict(ATTRIBUTE.findall(place)) for place in PLACES.findall(content)]
    pairs = [(place.get("FirstC", "0"), place.get("IFD", "0")) for place in places]
    return "FileName=" not in content and all(channel == page for channel, page in pairs)


def _of_shape(chain: Chain, text: str) -> tuple[Directory, ...]:
    """Refuse what tifffile describes as one array of several pages: channels, slices or times."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    shape = said.get("shape") if isinstance(said, dict) else None
    is_one = chain.pages[0].number(277, 1) != 1 or len(chain.pages) == 1
    if isinstance(shape, list) and len(shape) > 2 and not is_one:
        raise _stack(f"a stack of shape {' x '.join(str(size)[:12] for size in shape[:6])}")
    return ()


def _three(chain: Chain, name: str) -> tuple[Directory, ...]:
    """Return the three grey pages of one image."""
    pages = chain.pages[:3]
    if len(pages) < 3 or len({(*size_of(page), tuple(page.whole_numbers(258))) for page in pages}) > 1:
        raise _stack(f"{name} whose three channels are not three pages alike")
    if any(page.number(277, 1) != 1 or page.number(262, 1) != 1 for page in pages):
        raise unsupported(f"{name} whose channels are not grey")
    return pages


def _count(text: str | None) -> int:
    return int(text) if text and text.strip().isdecimal() and len(text) < 10 else 1
