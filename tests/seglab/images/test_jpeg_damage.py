"""Untidy files are read, with a remark, where all pixels are there; where one is missing they are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from seglab.errors import ImageError
from seglab.images.decoders import jpeg
from seglab.images.decoders.base import Request
from tests.support.jpegs import (
    ARITHMETIC,
    KINDS,
    as_mode,
    by_pillow,
    encoded,
    inserted,
    joined,
    photograph,
    samples_at,
    segment,
    segments,
    without,
)

END = b"\xff\xd9"


COPIES: dict[str, Callable[[bytes, int], bytes]] = {
    "cut": lambda data, at: data[:at],
    "zeros": lambda data, at: data[:at] + bytes(len(data) - at),
    "more zeros": lambda data, at: data[:at] + bytes(len(data) - at + 4096),
    "ones": lambda data, at: data[:at] + b"\xff" * (len(data) - at),
    "closed": lambda data, at: data[:at].rstrip(b"\xff") + END,
}


def pixels(data: bytes, at_least: int | None = None) -> np.ndarray:
    return np.asarray(jpeg.decode(data, Request(at_least)).pixels)


def remarks(data: bytes) -> str:
    return "; ".join(jpeg.decode(data, Request()).remarks)


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_cut_is_refused(kind: str, copy: str) -> None:
    _refused_wherever_it_is_cut(KINDS[kind](), copy, 5)


@pytest.mark.parametrize("copy", [copy for copy in COPIES if copy != "closed"])
@pytest.mark.parametrize("kind", ARITHMETIC)
def test_what_was_cut_and_is_coded_arithmetically_is_refused(kind: str, copy: str) -> None:
    _refused_wherever_it_is_cut(ARITHMETIC[kind](), copy, 5)


@pytest.mark.slow
@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_cut_anywhere_is_refused(kind: str, copy: str) -> None:
    _refused_wherever_it_is_cut(KINDS[kind](), copy, 150)


def _refused_wherever_it_is_cut(data: bytes, copy: str, count: int) -> None:
    first, last = samples_at(data), len(data) - 3
    places = {int(place) for place in np.linspace(first, last, count)} | {last - 1}
    for place in places:
        spoiled = COPIES[copy](data, place)
        for at_least in (None, 16):
            outcome = _outcome(spoiled, at_least)
            between_scans = copy == "closed" and "fine detail may be missing" in outcome
            assert outcome.startswith("Damaged image: ") or between_scans, place


def _outcome(data: bytes, at_least: int | None) -> str:
    try:
        return "; ".join(jpeg.decode(data, Request(at_least)).remarks)
    except ImageError as error:
        return str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_marker_alone_may_be_missing(kind: str) -> None:
    data = KINDS[kind]()
    whole = pixels(data)
    for tail in (b"", b"\xff", bytes(3), bytes(5000)):
        assert np.array_equal(pixels(data[:-2] + tail), whole)
        assert "end marker (FFD9)" in remarks(data[:-2] + tail)
    assert np.array_equal(pixels(data[:-2], 16), pixels(data, 16))


def _many() -> Iterator[bytes]:
    for seed in range(3000):
        yield encoded(np.random.default_rng(seed).integers(0, 255, (8, 8), np.uint8))


def test_zeros_that_only_a_marker_separates_from_samples_are_their_last() -> None:
    data = next(data for data in _many() if data[-4:-2] == b"\xff\0")
    assert np.array_equal(pixels(data[:-2] + bytes(600)), pixels(data))


UNTIDY: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "stray before DQT": (lambda data: inserted(data, 0xDB, b"\0\0"), "2 stray bytes"),
    "stray before SOF": (lambda data: inserted(data, 0xC0, b"abc"), "3 stray bytes"),
    "stray before SOS": (lambda data: inserted(data, 0xDA, b"\xff\0\x12"), "3 stray bytes"),
    "fill bytes": (lambda data: inserted(data, 0xDA, b"\xff\xff\xff"), ""),
    "JFIF of another version": (lambda data: data.replace(b"JFIF\0\1\1", b"JFIF\0\7\1", 1), "JFIF version, 7.01"),
    "JFIF too short": (lambda data: inserted(without(data, 0xE0), 0xDB, segment(0xE0, b"JFIF\0\1")), ""),
    "Adobe's transform": (
        lambda data: inserted(without(data, 0xE0), 0xDB, segment(0xEE, b"Adobe\0\x64\0\0\0\0\x05")), "transform, 5"
    ),
    "profile without a piece": (
        lambda data: inserted(data, 0xDB, segment(0xE2, b"ICC_PROFILE\0\1\3" + bytes(40))), "profile is damaged"
    ),
    "profile of nothing": (lambda data: inserted(data, 0xDB, segment(0xE2, b"ICC_PROFILE\0\1\1")), "profile is dam"),
    "EXIF broken off": (lambda data: inserted(data, 0xDB, segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12")), ""),
    "bytes before the end": (lambda data: data[:-2] + b"garbage of a camera" + END, "after its samples"),
    "zeros before the end": (lambda data: data[:-2] + bytes(3000) + END, "after its samples"),
    "bytes behind the end": (lambda data: data + b"trailer" * 100, ""),
    "parameters of a scan": (lambda data: data[: samples_at(data) - 3] + b"\0\0\0" + data[samples_at(data) :], ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNTIDY)
def test_untidy_files_are_read_whole(kind: str) -> None:
    change, remark = UNTIDY[kind]
    data = encoded(photograph())
    for at_least in (None, 32):
        assert np.array_equal(pixels(change(data), at_least), pixels(data, at_least))
    assert remark in remarks(change(data))
    assert bool(remark) == bool(remarks(change(data)))


def test_untidy_in_several_ways_and_in_an_odd_sampling() -> None:
    data = as_mode("CMYK", subsampling=2)
    parts, rest = segments(data)
    spoiled = joined([b"12" + parts[0], *parts[1:-1], b"34" + parts[-1]], rest[:-2] + bytes(70))
    assert np.array_equal(pixels(spoiled), by_pillow(data))
    assert "4 stray bytes" in remarks(spoiled)


def test_untidy_and_cut_is_damaged() -> None:
    data = inserted(encoded(photograph()), 0xDB, b"\0\0")
    with pytest.raises(ImageError, match="Damaged image"):
        pixels(data[:-400] + END)
    with pytest.raises(ImageError, match="Damaged image"):
        pixels(data[:-2] + b"no end, and not nothing: some other file's bytes")


def test_a_colour_that_is_in_no_scan_is_damage() -> None:
    data = encoded(photograph(), progressive=True)
    first = data.index(b"\xff\xda")
    components = bytearray(data)
    components[first + 5 : first + 11] = b"\x01\0\x01\0\x01\0"
    with pytest.raises(ImageError, match="Damaged image"):
        pixels(bytes(components))


def test_passes_that_are_missing_are_remarked_or_damage() -> None:
    data = encoded(photograph(), progressive=True)
    last = data.rindex(b"\xff\xc4")
    assert "fine detail may be missing" in remarks(data[:last] + END)
    for tail in (b"", bytes(900)):
        with pytest.raises(ImageError, match="last passes are missing"):
            pixels(data[:last] + tail)


def test_samples_that_are_left_over_between_scans_are_damage() -> None:
    data = encoded(photograph(), progressive=True)
    second = data.index(b"\xff\xc4", data.index(b"\xff\xda"))
    assert np.array_equal(pixels(data[:second] + b"\x12\x34" + data[second:]), pixels(data))
    with pytest.raises(ImageError, match=r"one of its scans has \d+ surplus bytes"):
        pixels(data[:second] + b"\x12\x34" * 50 + data[second:])
