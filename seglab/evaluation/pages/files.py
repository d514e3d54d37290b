"""Writing of pages: a file that the same command did not write is never replaced."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from seglab.errors import WriteError
from seglab.files import write_bytes
from seglab.pages.page import Page, html_of

TRAIN, VALIDATE, COMPARE = "seglab train", "seglab validate", "seglab compare"
"""Makers of pages; the name stands in the page's ``generator``, by which an earlier page is recognised."""
BEGINNING = 4096
"""Bytes at the beginning of a file that are searched for the maker."""


def mark_of(maker: str) -> str:
    """Return the text near the beginning of every page of a maker."""
    return f'<meta name="generator" content="{maker}">'


def write_page(path: Path, page: Page) -> None:
    """Write a page atomically.

    Raises :class:`WriteError` where ``path`` is taken by anything but a page of the same maker or an empty file.
    """
    if os.path.lexists(path) and not _is_page_of(path, page.maker):
        raise WriteError(
            f"{path} exists and is not a page that {page.maker} wrote, so it is kept; expected a free name. Move it "
            "away for a page there."
        )
    write_bytes(path, html_of(page))


def try_page(path: Path, page: Callable[[], Page], on_failed: Callable[[Exception], None]) -> None:
    """Make and write a page; call ``on_failed`` with the error if that fails, whatever it is.

    Hours of training are worth more than a page.
    """
    try:
        write_page(path, page())
    except Exception as error:
        on_failed(error)


def _is_page_of(path: Path, maker: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        beginning = file.read(BEGINNING)
    return not beginning or mark_of(maker).encode() in beginning
