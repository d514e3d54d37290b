"""What offices put into archives: pages of text, slides, charts and pictures of a screen, drawn with Pillow."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

TEXT = (
    "patient lesion of the left upper arm was excised with a margin and sent to pathology in formalin report dated "
    "clinic name date of birth insurance number diagnosis naevus consent form signature phone page benign follow up "
    "in six months physician referred by department invoice total amount bank transfer please reply until Monday"
)
WORDS = TEXT.split()
LINE = 1.35
"""Height of a line of text, in sizes of its letters."""


def page(rng: Generator) -> Pixels:
    """Return a page of text, ``(H, W, 3)``: printed, or scanned (yellowish, turned a little, blurred)."""
    width, height = int(rng.integers(500, 900)), int(rng.integers(600, 1200))
    is_scan = bool(rng.integers(2))
    paper = _colour(rng.integers((225, 215, 190), (256, 246, 230))) if is_scan else (255, 255, 255)
    image = Image.new("RGB", (width, height), paper)
    _write_lines(rng, image, (40, 40, width - 40, height - 40), int(rng.integers(12, 30)), (20, 20, 30))
    if is_scan:
        turned = image.rotate(float(rng.normal(0, 2)), fillcolor=paper, resample=Image.Resampling.BILINEAR)
        image = turned.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.5))))
    return np.asarray(image)


def slide(rng: Generator) -> Pixels:
    """Return a slide of a talk: a coloured ground, a title, lines of text, at times a shape."""
    width, height = (960, 540) if rng.integers(2) else (800, 600)
    ground = _colour(rng.integers(0, 256, 3))
    ink: Colour = (255, 255, 255) if sum(ground) < 380 else (10, 10, 40)
    image = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width, int(rng.integers(0, 90))), fill=_colour(rng.integers(0, 256, 3)))
    draw.text((40, 30), " ".join(rng.choice(WORDS, 4)), fill=ink, font=_font(44))
    _write_lines(rng, image, (60, 150, int(width * rng.uniform(0.5, 1)), height - 40), int(rng.integers(18, 34)), ink)
    if rng.integers(2):
        x, y, radius = int(rng.integers(width // 2, width)), int(rng.integers(200, height)), int(rng.integers(40, 160))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(rng.integers(0, 256, 3)))
    return np.asarray(image)


def screen(rng: Generator) -> Pixels:
    """Return a picture of a screen: windows with title bars, menus, text and buttons over a desktop."""
    width, height = (1280, 720) if rng.integers(2) else (1024, 768)
    image = Image.new("RGB", (width, height), _colour(rng.integers(0, 256, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(1, 4))):
        x, y = int(rng.integers(0, width // 2)), int(rng.integers(0, height // 2))
        right, bottom = int(rng.integers(x + 250, width)), int(rng.integers(y + 200, height))
        is_dark = bool(rng.integers(2))
        draw.rectangle(
            (x, y, right, bottom), fill=(35, 35, 40) if is_dark else (245, 245, 245), outline=(120, 120, 120)
        )
        draw.rectangle((x, y, right, y + 28), fill=_colour(rng.integers(0, 256, 3)))
        ink: Colour = (220, 220, 220) if is_dark else (30, 30, 30)
        _write_lines(rng, image, (x + 12, y + 40, right - 12, bottom - 50), int(rng.integers(11, 18)), ink)
        draw.rectangle((right - 110, bottom - 40, right - 20, bottom - 12), fill=_colour(rng.integers(80, 256, 3)))
    return np.asarray(image)


def chart(rng: Generator) -> Pixels:
    """Return a chart: bars or a line, with axes and a legend."""
    width, height = 800, 600
    image = Image.new("RGB", (width, height), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    count, colour = int(rng.integers(4, 20)), _colour(rng.integers(0, 220, 3))
    values = rng.uniform(0.1, 1, count) * 440
    step = 680 / count
    tops = [(80 + index * step, 540 - value) for index, value in enumerate(values)]
    if rng.integers(2):
        for x, y in tops:
            draw.rectangle((x, y, x + 0.7 * step, 540), fill=colour)
    else:
        draw.line(tops, fill=colour, width=4)
    draw.line((80, 60, 80, 540, 760, 540), fill=(0, 0, 0), width=2)
    draw.text((90, 20), " ".join(rng.choice(WORDS, 5)), fill=(0, 0, 0), font=_font(24))
    return np.asarray(image)


def _write_lines(rng: Generator, image: Image.Image, box: tuple[int, int, int, int], size: int, ink: Colour) -> None:
    """Fill a box ``(x0, y0, x1, y1)`` with lines of words that end where it does."""
    draw, font = ImageDraw.Draw(image), _font(size)
    left, y, right, bottom = box
    letters = max(1, int((right - left) / (0.55 * size)))
    while y + LINE * size <= bottom:
        if rng.uniform() > 0.08:  # else the end of a paragraph
            text = " ".join(rng.choice(WORDS, letters // 4 + 1))[: max(4, int(letters * rng.uniform(0.6, 1)))]
            draw.text((left, y), text, fill=ink, font=font)
        y += int(LINE * size)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _colour(values: NDArray[np.int64]) -> Colour:
    red, green, blue = map(int, values)
    return red, green, blue
