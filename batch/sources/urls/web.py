"""Images on a web server: one by its URL, or those linked from the pages of folders.

A page may link to itself, to folders above, to other servers, or to endless folders. So every URL is brought to one
spelling, only URLs below the source are followed, each folder is listed once, and depth and page counts are bounded.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

from batch.errors import SourceError, printable
from batch.sources.bytes import nanoseconds
from batch.sources.image_ref import ImageRef, Origin, SourceReport, suffix_of
from batch.sources.left_out import is_below_hidden
from batch.sources.source import Source
from batch.sources.urls.file import FileAtUrl, RemoteBytes
from batch.sources.urls.listing import cannot_list, nothing_at, pass_over, require_listed
from batch.storage import Storage
from batch.storage.web import Answer
from batch.urls import URL, canonical, joined, path_part, place, plain_name, plain_path, public_url
from seglab.images.formats import IMAGE_SUFFIXES
from seglab.words import counted, noun

MOST_DEPTH = 64
MOST_PAGES = 100_000
MOST_PAGE_BYTES = 64 * 2**20
LOOKED_AT = 64
"""Files whose sizes and times are requested together."""
PAGE_LINK = re.compile(
    r"(^|&)(page|p|paged|page_?(no|number|token)|start|offset|from|skip|marker|after|cursor|next|continuation-?token)=",
    re.IGNORECASE,
)
DOCUMENTS = (".htm", ".html", ".shtml", ".php", ".asp", ".aspx", ".jsp", ".cgi")
OUTSIDE = "images that pages link to outside the source's folder"


@dataclass
class WebFolder:
    """The images linked from the page at ``base`` and from the pages below ``origin.root``.

    ``first``: that page, fetched when the source was opened.
    """

    storage: Storage
    origin: Origin
    suffixes: frozenset[str]
    base: str
    first: list[Answer]
    _pages: int = 0
    _tells: bool = True

    def items(self, report: SourceReport) -> Iterator[ImageRef]:
        """Yield the images, sorted by name within each folder."""
        for urls in self._folders(report):
            wanted = []
            for url in urls:
                name = self._relative(url)
                if is_below_hidden(name):
                    report.hidden += 1
                elif suffix_of(name) in self.suffixes:
                    wanted.append(url)
                else:
                    pass_over(name, public_url(url), report)
            yield from self._refs(wanted)

    def names(self) -> None:
        """Return None: fetching pages is slow, and the walk does it anyway."""

    def _refs(self, urls: Sequence[str]) -> Iterator[ImageRef]:
        for start in range(0, len(urls), LOOKED_AT):
            some = list(urls[start : start + LOOKED_AT])
            heads = self.storage.heads(some) if self._tells else [None] * len(some)
            self._tells = any(heads)  # do not ask again a server that does not answer HEAD requests
            for url, head in zip(some, heads, strict=True):
                yield _ref(self.storage, url, head, self.origin, self._relative(url))

    def _folders(self, report: SourceReport) -> Iterator[list[str]]:
        """Yield the files of each folder, sorted."""
        stack, seen, unlisted, self._pages = [self.base], {place(self.base)}, 0, 0
        while stack:
            folder = stack.pop()
            if self._pages >= MOST_PAGES:
                left = counted(len(stack) + 1, "folder")
                why = f"{MOST_PAGES:,} pages were read, the limit, and {left} {noun(len(stack) + 1, 'is', 'are')} left"
                report.unreadable.append(cannot_list(self.origin.root, why))
                return
            try:
                found = self._listed(folder, report)
                unlisted = 0
            except SourceError as error:
                unlisted += 1
                report.unreadable.append(f"{error} Images below it were skipped")
                require_listed(unlisted, self.storage)
                continue
            yield [url for url in found if not url.endswith("/")]
            for inner in reversed([url for url in found if url.endswith("/") and place(url) not in seen]):
                seen.add(place(inner))
                if self._relative(inner).count("/") >= MOST_DEPTH:
                    report.unreadable.append(cannot_list(public_url(inner), f"more than {MOST_DEPTH} folders deep"))
                else:
                    stack.append(inner)

    def _listed(self, folder: str, report: SourceReport) -> list[str]:
        """Return the files and folders of a folder, from all its pages. Raises :class:`SourceError`."""
        found, pages = self._entries(self._page(folder), folder, report)
        waiting, asked = deque(pages), {folder, *pages}
        while waiting:
            entries, pages = self._further(waiting.popleft(), folder, report)
            known = len(found)
            found |= entries
            if len(found) > known:  # a server may generate pages without end
                waiting += (page for page in pages if page not in asked)
                asked.update(pages)
        return sorted(found.values())

    def _further(self, url: str, folder: str, report: SourceReport) -> tuple[dict[str, str], list[str]]:
        """Return files, folders and further pages from one more page of a folder; nothing if it cannot be read."""
        try:
            if self._pages >= MOST_PAGES:
                raise SourceError(f"{printable(url)}: {MOST_PAGES:,} pages were read already, the limit.")
            return self._entries(self._page(url), folder, report)
        except SourceError as error:
            report.unreadable.append(f"{error} Images that it links to were skipped")
            return {}, []

    def _entries(self, page: Answer, folder: str, report: SourceReport) -> tuple[dict[str, str], list[str]]:
        """Return the files and folders that a page links to, by their public URLs, and further pages of its folder."""
        entries: dict[str, str] = {}
        pages: dict[str, None] = {}
        for url in map(self._reached, _links(page)):
            path, _, query = url.partition("?")
            if place(path) == place(folder):
                if PAGE_LINK.search(query):
                    pages[url] = None
            elif not self._is_below(path):
                if path.rpartition("/")[2] and suffix_of(plain_name(path)) in self.suffixes:
                    report.set_aside[OUTSIDE] += 1
            else:
                entry = path if path.endswith("/") else url
                entries.setdefault(public_url(entry), entry)
        return entries, list(pages)

    def _page(self, url: str) -> Answer:
        self._pages += 1
        if self.first and url == self.base:
            return self.first.pop()
        try:
            page = self.storage.page(url, MOST_PAGE_BYTES)
        except FileNotFoundError as error:
            raise SourceError(f"{printable(url)} does not exist, though a page links to it.") from error
        if place(canonical(page.url)) != place(url) and not self._is_below(canonical(page.url)):
            raise SourceError(f"{printable(url)} redirects to {printable(page.url)}, outside the source's folder.")
        if not _is_listing(page):
            raise SourceError(f"{printable(url)} has the URL of a folder, but is not a page with links.")
        return page

    def _reached(self, url: str) -> str:
        """Return a URL on the source's server with the source's scheme and user; other URLs unchanged."""
        begin, _, rest = self.base.partition("://")
        authority = rest.partition("/")[0]
        host, _, path = URL.sub("", url, count=1).partition("/")
        return f"{begin}://{authority}/{path}" if host == place(self.base).partition("/")[0] else url

    def _is_below(self, url: str) -> bool:
        above = place(self.origin.root) + "/"
        return place(url).startswith(above) and place(url) != above

    def _relative(self, url: str) -> str:
        return plain_path(place(url).removeprefix(place(self.origin.root)))


def open_web(storage: Storage, suffixes: frozenset[str]) -> Source:
    """Return the source for a web URL: a page with links is a folder, anything else a file.

    Raises :class:`SourceError` if it does not exist.
    """
    head = storage.look()
    if head is None:
        raise nothing_at(storage)
    is_folder = _is_listing(head) and suffix_of(plain_name(storage.root)) not in IMAGE_SUFFIXES
    if not is_folder:
        origin = Origin(storage.public)
        return FileAtUrl(origin, _ref(storage, canonical(storage.root), head, origin, plain_name(storage.root)))
    try:
        page = storage.page(storage.root, MOST_PAGE_BYTES)
    except FileNotFoundError as error:
        raise nothing_at(storage) from error
    base = _base_of(canonical(page.url), canonical(storage.root))
    root = public_url(base).rpartition("/")[0]
    origin = Origin(storage.public, root, plain_name(root) if "/" in place(root) else place(root))
    return WebFolder(storage, origin, suffixes, base, [Answer(base, page.headers, page.data)])


def _base_of(reached: str, asked: str) -> str:
    """Return the URL that a page's links are relative to, with the user of the URL that was asked for.

    Some servers do not redirect from ``/photos`` to ``/photos/``.
    """
    scheme, _, rest = path_part(reached).partition("://")
    user, at, _ = asked.partition("://")[2].partition("/")[0].rpartition("@")
    host, _, path = rest.partition("/")
    same = place(asked).partition("/")[0] == host.rpartition("@")[2]
    base = f"{scheme}://{user}{at}{host}/{path}" if same and "@" not in host else f"{scheme}://{rest}"
    return base if base.endswith("/") or suffix_of(base) in DOCUMENTS else base + "/"


def _is_listing(page: Answer) -> bool:
    """Return whether it is an HTML page, or, if its type is not given, has the URL of a folder."""
    if page.kind:
        return page.kind in ("text/html", "application/xhtml+xml")
    return page.is_page or path_part(page.url).endswith("/")


class _Links(HTMLParser):
    """Collects the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.base = ""
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the target of a link."""
        address = next((value for name, value in attrs if name == "href" and value), "")
        if tag == "base":
            self.base = self.base or address
        elif tag == "a" and address:
            self.found.append(address)


def _links(page: Answer) -> Iterator[str]:
    parser = _Links()
    _, _, charset = page.headers.get("content-type", "").lower().partition("charset=")
    try:
        text = page.data.decode(charset.strip(" \"'") or "utf-8", "replace")
    except LookupError:
        text = page.data.decode("utf-8", "replace")
    parser.feed(text)
    base = joined(page.url, parser.base) if parser.base else page.url
    return (url for link in parser.found if (url := joined(base or page.url, link)) is not None)


def _ref(storage: Storage, url: str, head: Answer | None, origin: Origin, relative: str) -> ImageRef:
    head = head or Answer(url)
    size, mtime_ns, version = head.bytes, nanoseconds(head.changed), head.version
    content = RemoteBytes(storage, url, size, mtime_ns, version)
    return ImageRef(public_url(url), relative, origin, size, mtime_ns, content, version)
