"""The review page in a real browser: keys, order, filters, notes, the way back, and what it must never do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from batch.review.decisions import REVIEW_NAME
from tests.support.browser import SCHEMES, SIZES, Watched, opened
from tests.support.review import COUNT, Served, copied, execute, make_output, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output with photographs and probability maps; read-only by agreement."""
    return make_output(tmp_path_factory.mktemp("made"))


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return copied(made, tmp_path)


@pytest.fixture
def site(out: Path) -> Iterator[Served]:
    with served(out, "--reviewer", "Ada") as site:
        yield site


@pytest.fixture
def watched(browser: Browser, site: Served) -> Iterator[Watched]:
    watched = opened(browser, site.address)
    watched.page.wait_for_selector(".cell")
    yield watched
    watched.require_clean()
    watched.page.context.close()


def names(page: Page) -> list[str]:
    return page.locator(".cell .title").all_inner_texts()


def decisions(out: Path) -> list[tuple[Any, ...]]:
    return execute(out / REVIEW_NAME, "SELECT path, action, note, reviewer FROM decisions ORDER BY id")


def press(page: Page, key: str) -> None:
    """Press a key that decides, once the mask is drawn: before, nobody may decide."""
    for picture in page.locator('.cell[aria-current="true"] img, #layers img').all():
        if picture.is_visible():
            picture.evaluate("image => image.decode()")
    page.keyboard.press(key)


def said(page: Page, text: str) -> None:
    page.locator("#said", has_text=text).wait_for()


def test_keys_decide_and_go_on(watched: Watched, out: Path) -> None:
    page = watched.page
    page.locator("#progress", has_text=f"0 of {COUNT} reviewed, 1 failed").wait_for()
    first, second, third = names(page)[:3]
    press(page, "a")
    said(page, f"Accepted: {first}")
    page.keyboard.press("Enter")
    page.locator("#name", has_text=second).wait_for()
    press(page, "r")
    page.locator("#name", has_text=third).wait_for()
    said(page, f"Rejected: {second}")
    page.locator("#progress", has_text=f"2 of {COUNT} reviewed").wait_for()
    page.keyboard.press("u")
    page.locator("#name", has_text=second).wait_for()
    page.locator("#verdict", has_text="Not reviewed").wait_for()
    page.keyboard.press("u")
    page.locator("#name", has_text=first).wait_for()
    page.locator("#progress", has_text=f"0 of {COUNT} reviewed").wait_for()
    page.keyboard.press("u")
    said(page, "There is nothing to undo.")
    page.keyboard.press("Escape")
    page.locator("#cells").wait_for()
    found = [(Path(path).name, action, reviewer) for path, action, _, reviewer in decisions(out)]
    assert found == [
        (first, "accept", "Ada"), (second, "reject", "Ada"), (second, "undo", "Ada"), (first, "undo", "Ada"),
    ]  # fmt: skip


def test_arrows_reach_every_image(watched: Watched) -> None:
    page = watched.page
    shown = names(page)

    def selected() -> str:
        return page.locator(".cell[aria-current=true] .title").inner_text()

    assert len(shown) == COUNT + 1
    for name in shown[1:]:
        page.keyboard.press("ArrowRight")
        page.locator(".cell[aria-current=true]", has_text=name).wait_for()
        assert name in page.evaluate("document.activeElement.textContent")
    page.keyboard.press("ArrowRight")
    said(page, "This is the last image.")
    page.keyboard.press("ArrowUp")
    columns = len({box["x"] for box in (cell.bounding_box() for cell in page.locator(".cell").all()) if box})
    assert columns < COUNT
    page.locator(".cell[aria-current=true]", has_text=shown[-1 - columns]).wait_for()
    page.keyboard.press("Enter")
    page.locator("#name", has_text=selected()).wait_for()
    page.keyboard.press("ArrowLeft")
    page.locator("#name", has_text=shown[-2 - columns]).wait_for()


def test_orders_and_filters(watched: Watched) -> None:
    page = watched.page

    def choose(field: str, value: str, *first: str, count: int = COUNT + 1) -> None:
        """Choose, and wait until ``count`` images are shown, these first."""
        page.select_option(f"select[name={field}]", value)
        deadline = time.monotonic() + 30
        while len(found := names(page)) != count or tuple(found[: len(first)]) != first:
            assert time.monotonic() < deadline, f"{field}={value}: expected {count} images, {first} first, not {found}"
            page.wait_for_timeout(20)

    assert names(page)[-1] == "broken.png"
    by_folder = ["1.png", "3.png", "0.png", "2.png", "4.png", "broken.png", "cut.png", "empty.png", "grey.png"]
    assert names(page) != by_folder
    choose("order", "folder", *by_folder)
    choose("order", "border", "grey.png", "cut.png")
    choose("order", "smallest", "empty.png")
    choose("order", "largest", "grey.png", "cut.png")
    choose("reason", "empty", "empty.png", count=1)
    choose("reason", "cut", "grey.png", "cut.png", count=2)
    choose("reason", "")
    choose("status", "failed", "broken.png", count=1)
    assert page.locator(".failure").inner_text().startswith("Not an image (text)")
    page.locator(".cell").click()
    page.locator("#missing").wait_for()
    assert page.locator("#accept").is_disabled()
    press(page, "a")
    said(page, "This image failed and has no mask")
    page.keyboard.press("Escape")
    choose("status", "")
    page.locator(".cell").first.focus()
    press(page, "a")
    said(page, "Accepted: ")
    choose("verdict", "accepted", count=1)
    choose("verdict", "none", count=COUNT - 1)
    choose("verdict", "rejected", count=0)
    page.locator("#nothing").wait_for()


def test_a_reload_and_back_keep_the_place(watched: Watched) -> None:
    page = watched.page
    page.select_option("select[name=order]", "folder")
    page.locator(".cell[aria-current=true]", has_text="1.png").wait_for()
    page.locator(".cell", has_text="cut.png").click()
    page.locator("#name", has_text="cut.png").wait_for()
    page.reload()
    page.locator("#name", has_text="cut.png").wait_for()
    assert page.locator("select[name=order]").input_value() == "folder"
    page.go_back()
    page.locator(".cell[aria-current=true]", has_text="cut.png").wait_for()
    page.reload()
    page.locator(".cell[aria-current=true]", has_text="cut.png").wait_for()


def test_undo_outlives_a_reload(watched: Watched) -> None:
    page = watched.page
    first = names(page)[0]
    press(page, "a")
    said(page, f"Accepted: {first}")
    page.reload()
    page.locator(".badge.accepted").wait_for()
    page.keyboard.press("u")
    said(page, f"Undone: {first}")
    assert page.locator(".badge.accepted").count() == 0


def test_notes(watched: Watched, out: Path) -> None:
    page = watched.page
    page.keyboard.press("Enter")
    first = page.locator("#name").inner_text()
    page.keyboard.press("n")
    page.keyboard.type("<b>hair</b> at the rim, a r u ?")
    page.keyboard.press("Escape")
    said(page, f"Note saved: {first}")
    assert page.evaluate("document.activeElement.id") == "stage"
    page.locator("#history", has_text="<b>hair</b> at the rim").wait_for()
    page.keyboard.press("n")
    page.keyboard.press("End")
    page.keyboard.type("!")
    page.locator("#accept").click()
    said(page, f"Accepted: {first}")
    page.keyboard.press("Escape")
    page.locator(".cell .badge", has_text="note").wait_for()
    noted = "<b>hair</b> at the rim, a r u ?"
    assert [(action, note) for _, action, note, _ in decisions(out)] == [
        ("note", noted), ("note", f"{noted}!"), ("accept", ""),
    ]  # fmt: skip


def test_layers_and_zoom(watched: Watched) -> None:
    page = watched.page
    page.keyboard.press("Enter")

    def width(layer: str) -> int:
        page.wait_for_function("id => document.getElementById(id).naturalWidth > 0", arg=layer)
        found: int = page.locator(f"#{layer}").evaluate("image => image.naturalWidth")
        return found

    assert width("photo") == width("outline")
    for key, layer in (("m", "mask"), ("h", "heat")):
        assert page.locator(f"#{layer}").is_hidden()
        page.keyboard.press(key)
        assert width(layer) == width("photo")
        assert page.locator(f"#{layer}").is_visible()
    page.keyboard.press("o")
    assert page.locator("#outline").is_hidden()
    transform = "document.getElementById('layers').style.transform"
    page.keyboard.press("+")
    assert "scale(1.5)" in page.evaluate(transform)
    page.mouse.move(400, 400)
    page.mouse.wheel(0, -100)
    page.wait_for_function(f"{transform}.includes('scale(1.8')")
    before = page.evaluate(transform)
    page.mouse.down()
    page.mouse.move(360, 380)
    page.mouse.up()
    assert page.evaluate(transform) != before
    before = page.evaluate(transform)
    page.keyboard.press("Shift+ArrowRight")
    assert page.evaluate(transform) != before
    page.keyboard.press("0")
    assert "scale(1)" in page.evaluate(transform)


def test_without_maps_there_is_no_heat_map(browser: Browser, out: Path) -> None:
    execute(out / "ledger.sqlite", "UPDATE runs SET settings = json_remove(settings, '$.probs')")
    with served(out) as site:
        watched = opened(browser, site.address)
        watched.page.wait_for_selector(".cell")
        watched.page.keyboard.press("Enter")
        watched.page.wait_for_selector("#stage")
        assert watched.page.locator("#heat-choice").is_hidden()
        watched.page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_everybody_can_use_it(browser: Browser, site: Served, size: tuple[int, int], scheme: str) -> None:
    site.decide(site.rows()["cut.png"], "reject", "x")
    site.decide(site.rows()["grey.png"], "accept")
    watched = opened(browser, site.address, size, scheme)
    page = watched.page
    page.wait_for_selector(".cell")
    assert watched.violations() == []
    assert not watched.is_wider_than_the_window()
    page.locator(".cell", has_text="cut.png").click()
    page.locator("#history li").first.wait_for()
    assert watched.violations() == []
    assert not watched.is_wider_than_the_window()
    page.keyboard.press("?")
    page.locator("#help-close").wait_for()
    assert watched.violations() == []
    page.keyboard.press("Escape")
    assert page.locator("#name").is_visible()
    watched.require_clean()
    page.context.close()


def test_everything_has_a_visible_focus(watched: Watched) -> None:
    page = watched.page
    page.keyboard.press("Enter")
    page.locator("#photo").wait_for()
    seen = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.name || ''"))
        style = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(f"document.activeElement === document.body || {style} !== 'none'")
    assert {"order", "back", "after", "accept", "reject", "undo", "note", "zoom-in", "help-button"} <= seen


def test_a_page_from_elsewhere_changes_nothing(browser: Browser, site: Served, out: Path) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Foreign(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>x</title>")

        def log_message(self, *_: object) -> None:
            pass

    row = site.rows()["cut.png"]
    sha256 = site.get(f"api/images/{row}")["sha256"]
    with HTTPServer(("127.0.0.1", 0), Foreign) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        watched = opened(browser, f"http://127.0.0.1:{server.server_port}/")
        script = """async ([address, row, sha256]) => {
            const body = JSON.stringify({ row, action: "reject", sha256 });
            const plain = { method: "POST", body, mode: "no-cors", headers: { "Content-Type": "text/plain" } };
            await fetch(`${address}api/decisions`, plain).catch(() => 0);
            await fetch(`${address}api/decisions`, { method: "POST", body }).catch(() => 0);
            return await fetch(`${address}api/images`).then((answer) => answer.text()).catch(() => "nothing");
        }"""
        read = watched.page.evaluate(script, [site.address, row, sha256])
        watched.page.context.close()
        server.shutdown()
    assert read == "nothing"
    assert decisions(out) == []


def test_what_is_not_shown_cannot_be_decided_on(watched: Watched, out: Path) -> None:
    page = watched.page
    first = names(page)[0]
    page.route("**/outline?**", lambda route: route.fulfill(status=404, body="The mask is missing."))
    page.keyboard.press("Enter")
    page.locator("#missing", has_text="The mask is missing.").wait_for()
    page.keyboard.press("a")
    said(page, "The mask is not drawn yet. Look at it, then decide.")
    page.locator("#name", has_text=first).wait_for()
    assert decisions(out) == []
    watched.errors.clear()  # the browser logs what was not found


def test_undo_waits_for_the_decision_before_it(watched: Watched, out: Path) -> None:
    page = watched.page
    first, second, _ = names(page)[:3]
    press(page, "r")
    said(page, f"Rejected: {first}")

    def slowly(route: Route) -> None:
        time.sleep(0.5)
        route.continue_()

    page.route("**/api/decisions", slowly)
    press(page, "a")
    page.keyboard.press("u")
    said(page, f"Undone: {second}")
    assert [(Path(path).name, action) for path, action, _, _ in decisions(out)] == [
        (first, "reject"), (second, "accept"), (second, "undo"),
    ]  # fmt: skip


def test_a_key_in_a_list_says_how_to_leave_it(watched: Watched, out: Path) -> None:
    page = watched.page
    page.locator("#filters select").first.focus()
    page.keyboard.press("a")
    said(page, "Leave the list first: press Esc.")
    page.keyboard.press("Escape")
    press(page, "a")
    said(page, f"Accepted: {names(page)[0]}")
