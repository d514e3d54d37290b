"""A real browser for tests, and what every page must keep: no error, no request to elsewhere, readable by everybody."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZES = ((1280, 800), (390, 844))
"""Widths and heights at which pages are checked: a desk and a phone."""
SCHEMES = ("light", "dark")
MOST_SECONDS = 120
"""How long a page may take to show what a test waits for."""
OWN_SCHEMES = ("data", "blob", "file", "about", "chrome-extension")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless browser; the test is skipped where there is none."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"needs {' or '.join(BROWSERS)}, not on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass
class Watched:
    """A page with what it complained about. ``foreign``: requests to other hosts than the one it came from."""

    page: Page
    host: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def require_clean(self) -> None:
        """Assert that nothing was logged as an error, and nothing requested from elsewhere."""
        assert not self.errors
        assert not self.foreign

    def violations(self) -> list[str]:
        """Return what axe-core finds, as ``rule: element``: contrast, names of controls, order of headings."""
        from axe_playwright_python.sync_playwright import Axe

        found: dict[str, Any] = Axe().run(self.page).response
        return [f"{rule['id']}: {node['html'][:160]}" for rule in found["violations"] for node in rule["nodes"]]

    def is_wider_than_the_window(self) -> bool:
        """Return whether the page must be scrolled sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


def opened(browser: Browser, url: str, size: tuple[int, int] = SIZES[0], scheme: str = "light") -> Watched:
    """Open a URL in a window of its own; close it with ``.page.context.close()``."""
    context: BrowserContext = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
        bypass_csp=False,
    )
    watched = Watched(context.new_page(), urlsplit(url).netloc)
    context.set_default_timeout(MOST_SECONDS * 1000)
    watched.page.on("pageerror", lambda error: watched.errors.append(str(error)))
    watched.page.on("console", lambda message: _note(watched, message))
    watched.page.on("request", lambda request: _follow(watched, request.url))
    watched.page.goto(url)
    return watched


def _note(watched: Watched, message: Any) -> None:
    if message.type == "error":
        watched.errors.append(message.text)


def _follow(watched: Watched, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in OWN_SCHEMES and parts.netloc != watched.host:
        watched.foreign.append(url)
