"""Images and masks at URLs: pages that lead astray, servers that fail or say nothing, secrets, what changes."""

from __future__ import annotations

import http.server
import json
import time
import urllib.error
import urllib.request
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from batch.cli import main
from tests.support.archive import masks_below, save, save_many, spot
from tests.support.storage import Reply, Scripted, page, stored, upload

NEVER = 600.0
PASSWORD, SIGNATURE = "hunter2", "c2lnbmVk"
EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
SLOW = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@pytest.fixture
def png(tmp_path: Path) -> bytes:
    """An image file."""
    return save(tmp_path / "one.png").read_bytes()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further tries without long waits, and servers that are given up soon; good ones answer at once."""
    monkeypatch.setattr("batch.storage.failures.WAITS", (0.01, 0.01, 0.01))
    monkeypatch.setattr("batch.storage.failures.PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr("batch.storage.files.READ_SECONDS", 1.5)


class Run:
    """Runs the command over sources, always to the same output."""

    def __init__(self, model_file: Path, folder: Path) -> None:
        self.out, self.table, self._model = folder / "masks", folder / "table.jsonl", model_file

    def __call__(self, *sources: str, out: str | None = None, processes: int = 1, timeout: int = 60) -> tuple[int, str]:
        place = [str(self.out)] if out is None else [out, "--ledger", str(self.out)]
        arguments = ["run", *sources, "--out", *place, "--model", str(self._model), "--device", "cpu"]
        ended = CliRunner().invoke(main, [*arguments, "--processes", str(processes), "--timeout", str(timeout)])
        assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
        return ended.exit_code, ended.output

    def rows(self) -> list[dict[str, Any]]:
        CliRunner().invoke(main, ["table", str(self.out), str(self.table)])
        return [json.loads(line) for line in self.table.read_text().splitlines()]

    def statuses(self) -> Counter[str]:
        return Counter(row["status"] for row in self.rows())

    def masks(self) -> set[str]:
        return set(masks_below(self.out))


@pytest.fixture
def run(model_file: Path, tmp_path: Path) -> Run:
    """The command."""
    return Run(model_file, tmp_path)


def test_pages_that_link_in_circles_are_listed_once_and_only_what_is_below(
    scripted: Scripted, run: Run, png: bytes
) -> None:
    host = scripted.url.removeprefix("http://")
    pages = {
        "/data/": page(
            "../", "/", "./", "/data/", "?C=N;O=D", "#top", f"//{host}/data/?C=M;O=A", "sub/", "s%75b/",
            "./sub/../sub/", "a.png", "a.png#x", "b%20c.png", "ü.png", "..%2F..%2Fup.png", "http://other.test/x.png",
            "mailto:a@b.c", f"http://{host}/data/abs.png", "/elsewhere/z.png",
        ),
        "/data/sub/": page("../", "./", "/data/", "../sub/", "a.png"),
    }  # fmt: skip
    scripted.answer = lambda request: (
        pages.get(request.path.partition("?")[0]) or (Reply(png) if request.path.endswith(".png") else None)
    )
    code, said = run(f"{scripted.url}/data/")
    assert code == 0, said
    assert run.masks() == {"a.png", "b c.png", "ü.png", "up.png", "abs.png", "sub/a.png"}
    assert {path: scripted.count(path) for path in pages} == {"/data/": 1, "/data/sub/": 1}
    assert not any("elsewhere" in asked for asked in scripted.asked)
    assert "2 images that pages link to outside the source's folder" in said
    code, said = run(f"{scripted.url}/data/")
    assert (code, "6 masks unchanged" in said) == (0, True), said


@pytest.mark.slow
def test_a_storage_that_cannot_be_connected_to_is_a_sentence(model_file: Path, tmp_path: Path) -> None:
    """Some connect as they are made, and raise what their library does."""
    words = ["run", "ftp://127.0.0.1:9/photos", "--out", str(tmp_path / "masks"), "--model", str(model_file)]
    result = CliRunner().invoke(main, words)
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code in (1, 2)
    assert "ftp://127.0.0.1:9/photos cannot be opened: " in result.output
    assert "Check the URL and your connection." in result.output


@pytest.mark.slow
def test_folders_without_end_end(scripted: Scripted, run: Run, png: bytes) -> None:
    scripted.answer = lambda request: page("deeper/") if request.path.endswith("/") else Reply(png)
    code, said = run(f"{scripted.url}/data/")
    assert (code, "more than 64 folders deep" in said) == (3, True), said
    assert len(scripted.asked) < 100


def test_too_many_folders_are_said(scripted: Scripted, run: Run, png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch.sources.urls.web.MOST_PAGES", 5)
    top = page("a.png", *(f"{number}/" for number in range(9)))
    scripted.answer = lambda request: (
        top if request.path == "/d/" else page("b.png") if request.path.endswith("/") else Reply(png)
    )
    code, said = run(f"{scripted.url}/d/")
    assert (code, "5 pages were read, the limit, and 5 folders are left" in said) == (3, True), said
    assert run.masks() == {"a.png", *(f"{number}/b.png" for number in range(4))}


def test_a_folder_in_several_pages_is_listed_to_its_end(scripted: Scripted, run: Run, png: bytes) -> None:
    def answer(request: http.server.BaseHTTPRequestHandler) -> Reply:
        path, _, query = request.path.partition("?")
        number = int(query.removeprefix("page=") or 1)
        return Reply(png) if path != "/d/" else page(f"{min(number, 3)}.png", f"?page={number + 1}")

    scripted.answer = answer
    code, said = run(f"{scripted.url}/d/")
    assert code == 0, said
    assert run.masks() == {"1.png", "2.png", "3.png"}


@pytest.mark.parametrize("wrong", [Reply(status=500), Reply(status=403), Reply(after=NEVER), Reply(status=404)])
@pytest.mark.usefixtures("soon")
def test_a_folder_that_cannot_be_listed_is_reported_and_the_others_are_done(
    scripted: Scripted, run: Run, png: bytes, wrong: Reply
) -> None:
    pages = {"/d/": page("a/", "bad/", "c/"), "/d/a/": page("a.png"), "/d/bad/": wrong, "/d/c/": page("c.png")}
    scripted.answer = lambda request: pages.get(request.path, Reply(png))
    code, said = run(f"{scripted.url}/d/")
    assert (code, f"not readable: {scripted.url}/d/bad/" in said) == (3, True), said
    assert run.masks() == {"a/a.png", "c/c.png"}


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(scripted: Scripted, run: Run, png: bytes, status: int) -> None:
    seen: Counter[str] = Counter()

    def answer(request: http.server.BaseHTTPRequestHandler) -> Reply:
        if request.command == "GET":
            seen[request.path] += 1
            if seen[request.path] < 3:
                return Reply(status=status)
        return page("a.png", "b.png") if request.path == "/d/" else Reply(png)

    scripted.answer = answer
    code, said = run(f"{scripted.url}/d/")
    assert (code, run.masks()) == (0, {"a.png", "b.png"}), said


@pytest.mark.slow
@pytest.mark.usefixtures("soon")
def test_a_server_that_says_nothing_ends_no_run_of_others(
    scripted: Scripted, run: Run, png: bytes, tmp_path: Path
) -> None:
    save(tmp_path / "in" / "local.png")
    scripted.answer = lambda request: Reply(png, after=NEVER * ("silent" in request.path))
    code, said = run(f"{scripted.url}/silent.png", str(tmp_path / "in"))
    assert (code, "did not answer in time" in said) == (3, True), said
    assert len(run.masks()) == 1
    scripted.answer = lambda request: (
        page("a.png", "silent.png") if request.path == "/d/" else Reply(png, after=NEVER * ("silent" in request.path))
    )
    code, said = run(f"{scripted.url}/d/", timeout=5)
    assert (code, "1 mask, 1 failed" in said) == (3, True), said
    assert "longer than 5 s" in next(row["error"] for row in run.rows() if row["error"])


@pytest.mark.slow
@pytest.mark.usefixtures("soon")
def test_a_server_that_sends_a_byte_now_and_then_is_given_up(
    scripted: Scripted, run: Run, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch.storage.web.ANSWER_SECONDS", 3.0)  # of pages; images are read by other processes

    def answer(request: http.server.BaseHTTPRequestHandler) -> Reply:
        if "slow" not in request.path or request.command == "HEAD":
            return page("a.png", "slow.png", "slow/") if request.path == "/d/" else Reply(png)
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        for number in range(20 if request.path == "/d/slow.png" else 1000):
            request.wfile.write(png[number : number + 1])
            time.sleep(0.1)
        raise ConnectionResetError

    scripted.answer = answer
    code, said = run(f"{scripted.url}/d/")
    assert (code, "1 mask, 1 failed" in said) == (3, True), said
    assert f"not readable: {scripted.url}/d/slow/" in said


@pytest.mark.slow
def test_secrets_are_nowhere_and_a_new_signature_is_no_new_image(
    scripted: Scripted, run: Run, png: bytes, tmp_path: Path
) -> None:
    host = scripted.url.removeprefix("http://")
    zipped = tmp_path / "set.zip"
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("z.png", png)
    replies = {
        "/pic.png": Reply(png), "/folder/": page("f.png", f"g.png?X-Amz-Signature={SIGNATURE}"),
        "/folder/f.png": Reply(png), "/folder/g.png": Reply(png), "/denied.png": Reply(status=403),
        "/odd.png": Reply(b"no image"), "/set.zip": Reply(zipped.read_bytes()),
    }  # fmt: skip
    scripted.answer = lambda request: replies.get(request.path.partition("?")[0])

    def sources(signature: str) -> list[str]:
        signed = f"X-Amz-Date=1&X-Amz-Signature={signature}/cd&se=2030&sig={signature}&x=1"
        return [
            f"http://me:{PASSWORD}@{host}/pic.png?Signature=ab/cd{signature}&x=1&Expires=17",
            f"http://me:{PASSWORD}@{host}/folder/",
            *(f"{scripted.url}/{name}.png?{signed}" for name in ("odd", "denied", "none")),
            *(f"{scripted.url}/{name}.zip?{signed}" for name in ("set", "none")),
            f"HTTP://me:{PASSWORD}@{host}/gone.png",
        ]  # fmt: skip

    code, said = run(*sources(SIGNATURE))
    assert code == 3, said
    assert run.masks() == {"pic.png", "folder/f.png", "folder/g.png", "set/z.png"}
    _, again = run(*sources("bmV3bmV3"))
    assert "0 masks, 1 failed, 4 unchanged" in again, again
    assert len(run.rows()) == 5
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    written += json.dumps(run.rows()).encode() + "".join(map(str, tmp_path.rglob("*"))).encode()
    for secret in (PASSWORD, SIGNATURE, "bmV3bmV3"):
        assert secret not in said + again
        assert secret.encode() not in written


def test_addresses_that_differ_are_different_images(scripted: Scripted, run: Run, tmp_path: Path) -> None:
    small, large = (save(tmp_path / f"{side}.png", spot(side, side)).read_bytes() for side in (40, 60))
    scripted.answer = lambda request: Reply(small if "id=1" in request.path else large)
    names = ("pic.png?id=1", "pic.png?id=2", "a%20b.png?id=1", "%2e%2e%2fa.png", "x%2F..%2Fy.png?id=1")
    code, said = run(*(f"{scripted.url}/{name}" for name in names))
    assert code == 0, said
    assert len({row["mask"] for row in run.rows()}) == 5
    assert run.masks() == {"pic.png", "pic.png.png", "a b.png", "a.png", "x_y.png"}


def test_a_page_in_place_of_an_image_is_said_to_be_one(scripted: Scripted, run: Run) -> None:
    login = Reply(b"<!DOCTYPE html><form>Log in</form>", headers={"Content-Type": "text/html"})
    scripted.answer = lambda request: page("a.png") if request.path == "/d/" else login
    for source in (f"{scripted.url}/d/", f"{scripted.url}/one.jpg"):
        code, said = run(source)
        assert (code, "HTML page instead of an image" in said) == (3, True), said
        assert any("An HTML page came instead of an image" in (row["error"] or "") for row in run.rows())


def test_sizes_that_are_not_said_and_moved_images(scripted: Scripted, run: Run, png: bytes) -> None:
    def answer(request: http.server.BaseHTTPRequestHandler) -> Reply:
        if request.path == "/moved.png":
            return Reply(status=302, headers={"Location": "/there.png"})
        request.close_connection = True
        return Reply(png, headers={"Content-Length": "", "Connection": "close"})

    scripted.answer = answer
    code, said = run(f"{scripted.url}/moved.png", f"{scripted.url}/unknown.png")
    assert (code, run.masks()) == (0, {"moved.png", "unknown.png"}), said


@pytest.mark.parametrize("query", ["", "?Signature=abc&Expires=5", "?version=3"])
def test_a_zip_of_a_server_that_gives_no_parts(
    scripted: Scripted, run: Run, png: bytes, tmp_path: Path, query: str
) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        file.writestr("a.png", png)
        file.writestr("filling.bin", bytes(6 << 20))
        file.writestr("b.png", png)
    whole = Reply((tmp_path / "set.zip").read_bytes())
    scripted.answer = lambda request: whole if request.path == f"/set.zip{query}" else None
    code, said = run(f"{scripted.url}/set.zip{query}")
    assert (code, run.masks()) == (0, {"a.png", "b.png"}), said


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_credentials_that_no_longer_let_in_end_the_run(
    scripted: Scripted, run: Run, png: bytes, processes: int
) -> None:
    names = [f"{number:03}.png" for number in range(400)]
    good = 5

    def answer(request: http.server.BaseHTTPRequestHandler) -> Reply:
        if request.path == "/d/":
            return page(*names)
        asked = sum(entry.startswith("GET /d/0") for entry in scripted.asked)
        return Reply(png) if request.command == "HEAD" or asked <= good else Reply(status=403)

    scripted.answer = answer
    code, said = run(f"{scripted.url}/d/", processes=processes)
    assert (code, "cannot be read any more" in said) == (1, True), said
    statuses = run.statuses()
    assert statuses["failed"] < 200
    assert statuses["pending"] > 20
    good = 10**6
    code, said = run(f"{scripted.url}/d/", processes=processes)
    assert (code, len(run.masks())) == (0, 400), said


def test_files_that_may_not_be_read_end_no_run(scripted: Scripted, run: Run, png: bytes) -> None:
    names = [f"{number:03}.png" for number in range(30)]
    scripted.answer = lambda request: (
        page(*names) if request.path == "/d/" else Reply(status=403) if request.path < "/d/012" else Reply(png)
    )
    code, said = run(f"{scripted.url}/d/")
    assert (code, dict(run.statuses())) == (3, {"done": 18, "failed": 12}), said


class Between:
    """Stands before the S3 server, and answers in its place what ``instead`` says."""

    def __init__(self, scripted: Scripted, endpoint: str) -> None:
        self._endpoint = endpoint
        scripted.answer = self._answer

    def instead(self, _method: str, _path: str) -> Reply | None:
        """Return an answer, or None for the server's own."""
        return None

    def _answer(self, request: http.server.BaseHTTPRequestHandler) -> Reply:
        body = getattr(request, "body", None)
        if (reply := self.instead(request.command, request.path)) is not None:
            return reply
        own = ("host", "connection", "expect", "content-length")
        # urllib would call it a form, if it had no type
        headers = {"Content-Type": "image/png"} | {
            name: value for name, value in request.headers.items() if name.lower() not in own
        }
        asked = urllib.request.Request(self._endpoint + request.path, body, headers, method=request.command)
        try:
            with urllib.request.urlopen(asked) as got:
                return Reply(got.read(), got.status, dict(got.headers.items()))
        except urllib.error.HTTPError as error:
            return Reply(error.read(), error.code, dict(error.headers.items()))


@pytest.fixture
def between(scripted: Scripted, s3: Any, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Between:
    """What ``s3://`` goes through from now on."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", scripted.url)
    return Between(scripted, s3_endpoint)


@pytest.mark.slow
def test_a_bucket_that_is_slow_is_tried_again_for_images_lists_and_masks(
    s3: Any, between: Between, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_many(tmp_path / "in", 3)
    upload(s3, tmp_path / "in", "photos/set")
    seen: Counter[str] = Counter()

    def instead(method: str, path: str) -> Reply | None:
        seen[f"{method} {path}"] += 1
        return Reply(SLOW if method != "HEAD" else b"", 503) if seen[f"{method} {path}"] < 2 else None

    monkeypatch.setattr(between, "instead", instead)
    code, said = run("s3://photos/set", out="s3://masks/set")
    assert (code, "3 masks, " in said) == (0, True), said
    assert len(stored(s3, "masks/set")) == 3
    assert any(entry.startswith("PUT /masks/") for entry in seen)


@pytest.mark.slow
def test_a_token_that_expires_ends_the_run_and_leaves_the_rest_pending(
    s3: Any, between: Between, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_many(tmp_path / "in", 40)
    upload(s3, tmp_path / "in", "photos/set")
    seen = Counter[str]()

    def instead(method: str, path: str) -> Reply | None:
        seen[method] += path.endswith(".png")
        return Reply(EXPIRED, 400) if seen["GET"] > 8 else None

    monkeypatch.setattr(between, "instead", instead)
    code, said = run("s3://photos/set")
    assert (code, "token has expired" in said, "Traceback" in said) == (1, True, False), said
    statuses = run.statuses()
    assert (statuses["failed"], statuses["pending"] > 10) == (0, True)
    monkeypatch.setattr(between, "instead", lambda _method, _path: None)
    code, said = run("s3://photos/set")
    assert (code, len(run.masks())) == (0, 40), said


def test_one_object_without_rights_is_a_failed_row(
    s3: Any, between: Between, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_many(tmp_path / "in", 8)
    upload(s3, tmp_path / "in", "photos/set")
    monkeypatch.setattr(between, "instead", lambda _, path: Reply(DENIED, 403) if path.endswith("3.png") else None)
    code, said = run("s3://photos/set")
    assert (code, dict(run.statuses())) == (3, {"done": 7, "failed": 1}), said


@pytest.mark.slow
def test_every_run_of_one_process_lists_anew(s3: Any, run: Run, tmp_path: Path) -> None:
    paths = save_many(tmp_path / "in", 3)
    s3.pipe_file("photos/set/a.png", paths[0].read_bytes())
    assert run("s3://photos/set", out="s3://masks/set")[0] == 0
    before = stored(s3, "masks/set")
    s3.pipe_file("photos/set/a.png", paths[1].read_bytes())
    s3.pipe_file("photos/set/b.png", paths[2].read_bytes())
    code, said = run("s3://photos/set", out="s3://masks/set")
    assert (code, "2 masks, " in said) == (0, True), said
    after = stored(s3, "masks/set")
    assert (set(after), after["a.png"] != before["a.png"]) == ({"a.png", "b.png"}, True)
    s3.rm_file("masks/set/b.png")
    code, said = run("s3://photos/set", out="s3://masks/set")
    assert (code, stored(s3, "masks/set")) == (0, after), said


@pytest.mark.slow
def test_an_object_that_is_named_and_replaced_is_done_again(s3: Any, run: Run, tmp_path: Path) -> None:
    paths = save_many(tmp_path / "in", 2)
    for number in (0, 1):
        s3.pipe_file("photos/a.png", paths[number].read_bytes())
        code, said = run("s3://photos/a.png")
        assert (code, "1 mask, " in said) == (0, True), said


def test_folders_without_a_name_in_a_bucket_are_reported(s3: Any, run: Run, png: bytes) -> None:
    for key in ("set/a//b.png", "set/c.png", "set/a/d.png", "set/"):
        s3.pipe_file(f"photos/{key}", png)
    code, said = run("s3://photos/set")
    assert (code, "not readable: s3://photos/set/a//" in said) == (3, True), said
    assert run.masks() == {"c.png", "a/d.png"}
