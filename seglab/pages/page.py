"""One HTML file with everything inside: no script, no request to anywhere, readable in light and dark."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from importlib.resources import files
from typing import TYPE_CHECKING

from seglab.errors import printable

if TYPE_CHECKING:
    from jinja2 import Environment

GENERATOR = re.compile(rb'<meta name="generator" content="([^"]*)">')
HEAD = 1024
"""Bytes at the beginning of a page that hold its ``generator``, before any text of the user."""
NOT_A_DEVICE = "Not a medical device: for research, not for diagnosis."


@dataclass(frozen=True)
class Card:
    """A large number with a label. ``warns``: it is something to look at."""

    value: str
    label: str
    warns: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and values, as a list of two columns."""

    rows: Mapping[str, str]


@dataclass(frozen=True)
class Listing:
    """A table. Cells are texts, or several lines each. ``numeric``: columns that are right-aligned."""

    head: Sequence[str]
    rows: Sequence[Sequence[str | Sequence[str]]]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Chart:
    """A drawing of :mod:`seglab.pages.charts`, with a caption."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Picture:
    """A JPEG or PNG with captions; without ``data``, a field that says why (``missing``). ``alt``: what it shows."""

    data: bytes
    alt: str
    captions: Sequence[str] = ()
    missing: str = ""

    @property
    def uri(self) -> str:
        """Return the picture as a ``data:`` URI."""
        kind = "png" if self.data.startswith(b"\x89PNG") else "jpeg"
        return f"data:image/{kind};base64,{base64.b64encode(self.data).decode('ascii')}"


@dataclass(frozen=True)
class Section:
    """A part of a page: a heading, a paragraph, and below it whatever it has, in this order."""

    title: str
    text: str = ""
    cards: Sequence[Card] = ()
    charts: Sequence[Chart] = ()
    pictures: Sequence[Picture] = ()
    facts: Facts | None = None
    listings: Sequence[Listing] = ()
    wide_pictures: bool = False


@dataclass(frozen=True)
class Page:
    """A page. ``warnings``: sentences shown first. ``maker``: the tool, for the file's ``generator``, by which
    :func:`maker_of` recognises the file.
    """

    title: str
    subtitle: str
    sections: Sequence[Section]
    maker: str
    warnings: Sequence[str] = ()
    footer: Sequence[str] = field(default_factory=lambda: (NOT_A_DEVICE,))


def html_of(page: Page) -> bytes:
    """Return a page as an HTML file in UTF-8. All texts are escaped; control characters are shown as escapes."""
    text = _environment().get_template("page.html").render(page=page, css=style())
    return text.encode("utf-8", "backslashreplace")


def maker_of(begin: bytes) -> str | None:
    """Return the ``maker`` of a page, by the beginning of its file; None if it is no page of :func:`html_of`."""
    found = GENERATOR.search(begin[:HEAD])
    return None if found is None else unescape(found[1].decode("utf-8", "replace"))


@functools.cache
def style() -> str:
    """Return the style sheet of all pages."""
    return (files("seglab.pages") / "style.css").read_text(encoding="utf-8")


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("seglab.pages", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
