"""``seg-batch serve`` on loopback: the masks of ``seg-batch run``, and nothing that is sent harms anybody else."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image

from tests.support.archive import command, seg_batch
from tests.support.artefact import blobs, colour_model
from tests.support.browser import SCHEMES, SIZES, opened
from tests.support.dicom_files import dicom
from tests.support.faults import PATIENCE, Started, faulty, healthy, let_go, png, started, wait_for, write_images

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the service runs on Linux and macOS")

ROOT = Path(__file__).resolve().parents[2]
JSON = {"Accept": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
MOST_BYTES = 2 * 2**20


def address(run: Started) -> str:
    """Return the address that a service says, when it is ready."""
    wait_for(lambda: "http://" in run.said or run.process.poll() is not None, PATIENCE, lambda: run.said)
    found = re.search(r"at (http://\S+)/ ", run.said)
    assert found, run.said
    return found[1]


def get(url: str, **options: Any) -> httpx.Response:
    """Send a request. ``verify``: loading certificates, which nobody needs here, takes long."""
    return httpx.get(url, timeout=PATIENCE, verify=False, **options)


def post(url: str, **options: Any) -> httpx.Response:
    return httpx.post(url, timeout=PATIENCE, verify=False, **options)


def waiting(url: str) -> int:
    """Return how many images a service has taken and not finished."""
    return int(get(f"{url}/health").json()["waiting"])


def is_listening(url: str) -> bool:
    target = urlsplit(url)
    try:
        socket.create_connection((str(target.hostname), int(target.port or 0)), PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def serve_words(model: Path, *options: str) -> tuple[str | Path, ...]:
    return ("serve", "--port", "0", "--model", model, "--device", "cpu", *options)


@pytest.fixture(scope="module")
def url(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with narrow limits."""
    limits = ("--max-mib", "2", "--max-files", "8", "--max-pixels", "1000000", "--timeout", "60")
    with started(tmp_path_factory.mktemp("service"), *serve_words(model_file, *limits)) as run:
        yield address(run)
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 0
        assert "Traceback" not in run.said


def photographs() -> dict[str, bytes]:
    """Return photographs of several sizes and formats."""
    rng = np.random.default_rng(0)
    found = {}
    for name, (height, width) in {"a.png": (60, 80), "b.jpg": (90, 41), "c.tif": (33, 200), "d.webp": (64, 64)}.items():
        file = io.BytesIO()
        Image.fromarray(blobs(rng, height, width)[0]).save(file, Image.registered_extensions()[f".{name[2:]}"])
        found[name] = file.getvalue()
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(blobs(rng, 50, 70)[0]).save(turned, "JPEG", exif=exif)
    return found | {"e.jpg": turned.getvalue(), "f.dcm": dicom(blobs(rng, 48, 56)[0])}


def masks_of_a_run(images: dict[str, bytes], folder: Path, model: Path, *options: str) -> dict[str, bytes]:
    source = write_images(folder / "in", images)
    words: list[str | Path] = [
        "run",
        source,
        "--out",
        folder / "out",
        "--model",
        model,
        "--device",
        "cpu",
        "--name",
        "{name}.png",
    ]
    assert seg_batch(*words, *options).returncode == 0
    return {name: (folder / "out" / f"{name}.png").read_bytes() for name in images}


@pytest.mark.slow
def test_masks_are_those_of_a_run_alone_and_together(url: str, model_file: Path, tmp_path: Path) -> None:
    images = photographs()
    expected = masks_of_a_run(images, tmp_path, model_file)

    def sent(name: str) -> tuple[str, bytes]:
        answer = post(f"{url}/v1/masks", content=images[name], headers={"Content-Type": "image/jpeg"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), answer.text
        return name, answer.content

    assert dict(map(sent, images)) == expected
    with ThreadPoolExecutor(12) as pool:
        assert all(expected[name] == mask for name, mask in pool.map(sent, list(images) * 8))
    answer = post(f"{url}/v1/masks", files=[("photos", item) for item in images.items()])
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert {name: archive.read(f"{Path(name).stem}.png") for name in images} == expected


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--exact",), ("--postprocess", "largest,fill")], ids=" ".join)
def test_options_are_those_of_a_run(model_file: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    images = photographs()
    expected = masks_of_a_run(images, tmp_path, model_file, *options)
    with started(tmp_path, *serve_words(model_file, *options)) as run:
        url = address(run)
        assert {
            name: post(f"{url}/v1/masks", files={"file": (name, data)}).content for name, data in images.items()
        } == expected


@pytest.mark.slow
def test_label_maps(tmp_path: Path) -> None:
    model = colour_model(tmp_path / "labels.onnx")
    images = photographs()
    expected = masks_of_a_run(images, tmp_path, model)
    with started(tmp_path, *serve_words(model)) as run:
        url = address(run)
        files = [("file", item) for item in images.items()]
        found = post(f"{url}/v1/masks?mask=true", files=files, headers=JSON).json()
    assert found["model"]["classes"] == ["skin", "brown", "blue"]
    assert {image["name"]: base64.b64decode(image["mask"]) for image in found["images"]} == expected


def test_json_has_figures_and_outlines_that_fill_the_mask(url: str, model_file: Path, tmp_path: Path) -> None:
    images = photographs()
    expected = masks_of_a_run(images, tmp_path, model_file)
    rows = _rows(tmp_path)
    answer = post(f"{url}/v1/masks", files=[("file", item) for item in images.items()], headers=JSON)
    assert [image["name"] for image in answer.json()["images"]] == list(images)
    for image in answer.json()["images"]:
        row, mask = rows[image["name"]], np.asarray(Image.open(io.BytesIO(expected[image["name"]])))
        assert "mask" not in image
        for column in ("height", "width", "lesion_area"):
            assert image[column] == row[column]
        assert image["confidence"] == pytest.approx(row["confidence"])
        filled = np.zeros_like(mask)
        for outline in image["outlines"]:
            points = np.asarray(outline).reshape(-1, 2)
            scaled = np.round(points * 256).astype(np.int32)
            cv2.fillPoly(filled, [scaled - 128], 255, shift=8)
        assert np.all(filled[mask > 0])  # and holes, which outlines do not have


def _rows(folder: Path) -> dict[str, dict[str, Any]]:
    assert seg_batch("table", folder / "out", folder / "rows.jsonl").returncode == 0
    rows = map(json.loads, (folder / "rows.jsonl").read_text().splitlines())
    return {Path(row["path"]).name: row for row in rows}


def test_a_broken_photograph_is_an_error_in_its_place(url: str) -> None:
    images = {"a.png": photographs()["a.png"], "b.jpg": b"\xff\xd8\xff\xe0 broken", "c.png": b""}
    files = [("file", item) for item in images.items()]
    answer = post(f"{url}/v1/masks", files=files, headers=JSON)
    first, second, third = answer.json()["images"]
    assert answer.status_code == 200
    assert first["lesion_area"] >= 0
    assert second["name"] == "b.jpg"
    assert "JPEG" in second["error"]
    assert third["error"]
    with zipfile.ZipFile(io.BytesIO(post(f"{url}/v1/masks", files=files).content)) as archive:
        assert sorted(archive.namelist()) == ["a.png", "errors.json"]
        assert [entry["name"] for entry in json.loads(archive.read("errors.json"))] == ["b.jpg", "c.png"]
    alone = post(f"{url}/v1/masks", content=b"\xff\xd8\xff\xe0 broken")
    assert alone.status_code == 422
    assert "JPEG" in alone.json()["detail"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["crash", "exit", "hang"])
def test_what_ends_a_decoder_costs_itself(model_file: Path, tmp_path: Path, fault: str) -> None:
    with started(tmp_path, *serve_words(model_file, "--timeout", "3", "--processes", "1")) as run:
        url = address(run)
        bad = next(data for name, data in faulty(fault).items() if fault in name)
        with ThreadPoolExecutor(9) as pool:
            worst = pool.submit(post, f"{url}/v1/masks", content=bad)
            others = [pool.submit(post, f"{url}/v1/masks", content=data) for data in [*healthy(8).values()]]
        expected = {504} if fault == "hang" else {422}
        assert worst.result().status_code in expected | {504}
        assert {answer.result().status_code for answer in others} <= {200, 504}
        good = png(blobs(np.random.default_rng(1), 40, 50)[0])
        wait_for(lambda: post(f"{url}/v1/masks", content=good).status_code == 200, PATIENCE, lambda: run.said)
        assert get(f"{url}/health").json()["ready"]


def test_requests_that_are_too_large(url: str) -> None:
    large = bytes(MOST_BYTES + 1)
    assert post(f"{url}/v1/masks", content=large).status_code == 413
    assert post(f"{url}/v1/masks", files={"file": ("a.png", large)}).status_code == 413
    unknown_length = (bytes(2**16) for _ in range(64))
    assert post(f"{url}/v1/masks", content=unknown_length).status_code == 413
    for count in (9, 1000):
        many = [("file", (f"{number}.png", b"x")) for number in range(count)]
        answer = post(f"{url}/v1/masks", files=many)
        assert answer.status_code == 400
        assert "at most 8 files" in answer.json()["detail"]
    huge = io.BytesIO()
    Image.fromarray(np.zeros((1001, 1000, 3), np.uint8)).save(huge, "PNG")
    answer = post(f"{url}/v1/masks", content=huge.getvalue())
    assert answer.status_code == 422
    assert "at most 1 million" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", {}),
        (b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--\r\n", FORM),
        (b"--x\r\nno end", FORM),
        (b"abc", {"Content-Type": "multipart/form-data"}),
        (b"--x\r\n" + b"a: b\r\n" * 5000, FORM),
    ],
    ids=["nothing", "a field", "torn", "no boundary", "headers"],
)  # fmt: skip
def test_requests_without_a_photograph(url: str, content: bytes, headers: dict[str, str]) -> None:
    answer = post(f"{url}/v1/masks", content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["detail"]


@pytest.mark.slow
def test_a_sender_that_goes_away_leaves_no_trace(model_file: Path, tmp_path: Path) -> None:
    image = photographs()["a.png"]
    form = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n\r\n'
    with started(tmp_path, *serve_words(model_file)) as run:
        url = address(run)
        for kind, body in ((b"image/png", image[:50]), (b"multipart/form-data; boundary=x", form), (b"", image)):
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
                head = b"POST /v1/masks HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
                connection.sendall(head % (kind, len(image)) + body)
        assert post(f"{url}/v1/masks", content=image).status_code == 200
        wait_for(lambda: waiting(url) == 0, PATIENCE, lambda: run.said)
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 0
        assert "Traceback" not in run.said


def test_names_from_outside_lead_nowhere(url: str) -> None:
    image = photographs()["a.png"]
    names_sent = ("x-2.png", "../../etc/x.png", "C:\\x.png", "\x1b[31m\u202e.png", "x.png", "X.PNG")
    files = [("file", (name, image)) for name in names_sent]
    answer = post(f"{url}/v1/masks", files=files, headers=JSON)
    shown = ["x-2.png", "x.png", "x.png", "\\x1b[31m\\u202e.png", "x.png", "X.PNG"]
    assert [entry["name"] for entry in answer.json()["images"]] == shown
    with zipfile.ZipFile(io.BytesIO(post(f"{url}/v1/masks", files=files).content)) as archive:
        names = archive.namelist()
    assert len({name.casefold() for name in names}) == len(names) == len(names_sent)
    assert not any(set("/\\\x1b") & set(name.replace("\\x1b", "").replace("\\u202e", "")) for name in names)


def test_only_pages_of_its_own_may_post_and_only_its_own_host_is_answered(url: str) -> None:
    image = photographs()["a.png"]
    masks = f"{url}/v1/masks"
    assert post(masks, content=image, headers={"Origin": "https://elsewhere.example"}).status_code == 403
    assert post(masks, content=image, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert get(url, headers={"Host": "elsewhere.example"}).status_code == 403
    assert post(masks, content=image, headers={"Origin": url}).status_code == 200


@pytest.mark.slow
def test_a_proxy_shows_it_under_a_name_of_its_own(model_file: Path, tmp_path: Path) -> None:
    image = photographs()["a.png"]
    public = {"Origin": "https://seg.example.org"}
    with started(tmp_path, *serve_words(model_file, "--public-name", "seg.example.org")) as run:
        url = address(run)
        masks = f"{url}/v1/masks"
        assert post(masks, content=image, headers=public).status_code == 200
        assert post(masks, content=image, headers={**public, "Host": "seg.example.org"}).status_code == 200
        assert get(url, headers={"Host": "elsewhere.example"}).status_code == 403
        for origin in ("https://elsewhere.example", "http://[", "null"):
            assert post(masks, content=image, headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize(
    ("accept", "files", "kind"),
    [
        ("image/png, application/json;q=0", 1, "image/png"),
        ("application/json;q=0.5, image/*", 1, "image/png"),
        ("application/json, image/png;q=0.9", 1, "application/json"),
        ("application/*", 1, "application/zip"),
        ("application/zip, application/octet-stream", 1, "application/zip"),
        ("image/png", 2, "application/zip"),
        ("*/*;q=0.1", 2, "application/zip"),
        ("image/png;q=0", 1, None),
        ("image/webp", 1, None),
    ],
)
def test_accept_is_taken_at_its_word(url: str, accept: str, files: int, kind: str | None) -> None:
    parts = [("file", item) for item in list(photographs().items())[:files]]
    answer = post(f"{url}/v1/masks", files=parts, headers={"Accept": accept})
    assert answer.status_code == (200 if kind else 406)
    assert kind is None or answer.headers["content-type"] == kind


@pytest.mark.slow
def test_what_is_late_is_given_up_and_its_bytes_come_back(model_file: Path, tmp_path: Path) -> None:
    options = ("--processes", "1", "--timeout", "3", "--queue", "150", "--max-files", "150")
    with started(tmp_path, *serve_words(model_file, *options)) as run:
        url = address(run)
        held = [("file", item) for item in healthy(150, fault="hold").items()]
        assert post(f"{url}/v1/masks", files=held).status_code == 504
        assert waiting(url) < 75  # most were not begun
        let_go(tmp_path)
        wait_for(lambda: waiting(url) == 0, PATIENCE, lambda: run.said)
        good = photographs()["a.png"]
        wait_for(lambda: post(f"{url}/v1/masks", content=good).status_code == 200, PATIENCE, lambda: run.said)


def test_more_files_than_may_ever_wait_are_refused(model_file: Path, tmp_path: Path) -> None:
    with started(tmp_path, *serve_words(model_file, "--queue", "3")) as run:
        parts = [("file", item) for item in list(photographs().items())[:4]]
        answer = post(f"{address(run)}/v1/masks", files=parts)
        assert answer.status_code == 413
        assert "--queue" in answer.json()["detail"]


@pytest.mark.parametrize("disposition", ["attachment; filename*=idna''x", "attachment; filename*=a; filename*0=b"])
def test_a_name_that_cannot_be_read_is_none(url: str, disposition: str) -> None:
    headers = {"Content-Disposition": disposition, **JSON}
    answer = post(f"{url}/v1/masks", content=photographs()["a.png"], headers=headers)
    assert answer.status_code == 200
    assert answer.json()["images"][0]["name"] == ""


def test_a_form_without_its_end_is_refused_whole(url: str) -> None:
    image = photographs()["a.png"]
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    body = part + image + b"\r\n" + part + image[:50]
    answer = post(f"{url}/v1/masks", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 400
    assert "its last boundary is missing" in answer.json()["detail"]


def test_who_asks_before_sending_too_much_is_answered_at_once(url: str) -> None:
    target = urlsplit(url)
    with socket.create_connection((str(target.hostname), int(target.port or 0)), PATIENCE) as connection:
        head = f"POST /v1/masks HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Length: {10 * MOST_BYTES}\r\n"
        connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_names_in_a_zip_are_short_enough_for_a_disk(url: str) -> None:
    files = [("file", (f"{'日' * 100}{number}.png", photographs()["a.png"])) for number in range(2)]
    answer = post(f"{url}/v1/masks", files=files)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
    assert len(set(names)) == 2
    assert all(len(name.encode()) <= 255 for name in names)


@pytest.mark.parametrize("name", ["https://x.org", "x.org:443", "", "x.org/", "*"])
def test_a_public_name_is_a_host_name(name: str) -> None:
    done = subprocess.run(command("serve", "--public-name", name), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is not a host name" in " ".join(done.stderr.split())


def test_a_chunked_request_whose_last_piece_is_too_much(url: str) -> None:
    target = urlsplit(url)
    with socket.create_connection((str(target.hostname), int(target.port or 0)), PATIENCE) as connection:
        size = MOST_BYTES + 1
        head = f"POST /v1/masks HTTP/1.1\r\nHost: {target.netloc}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + f"{size:x}\r\n".encode() + bytes(size) + b"\r\n0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_answers_are_those_that_were_asked_for(url: str) -> None:
    image = photographs()["a.png"]
    kinds = {
        "image/png": "image/png",
        "*/*": "image/png",
        "application/zip": "application/zip",
        JSON["Accept"]: JSON["Accept"],
    }
    for accept, kind in kinds.items():
        assert post(f"{url}/v1/masks", content=image, headers={"Accept": accept}).headers["content-type"] == kind
    assert post(f"{url}/v1/masks", content=image, headers={"Accept": "text/html"}).status_code == 406
    described = get(f"{url}/openapi.json").json()
    assert set(described["paths"]) == {"/v1/masks", "/health", "/metrics"}


def test_the_commands_of_its_page_work(url: str, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl, not on this machine")
    images = photographs()
    write_images(tmp_path, {"photo.jpg": images["b.jpg"], "photo.png": images["a.png"]})
    page = (ROOT / "docs" / "how-to" / "serve.md").read_text(encoding="utf-8")
    single, several = re.findall(r"^\$ (curl .*)$", page, re.MULTILINE)
    for line in (single, several):
        words = line.replace("http://127.0.0.1:8000", url)
        done = subprocess.run(words, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    mask, photograph = (Image.open(io.BytesIO((tmp_path / name).read_bytes())) for name in ("mask.png", "photo.jpg"))
    assert mask.size == photograph.size
    assert [image["name"] for image in json.loads(done.stdout)["images"]] == ["photo.jpg", "photo.png"]


def test_metrics_count_requests_and_images(model_file: Path, tmp_path: Path) -> None:
    with started(tmp_path, *serve_words(model_file)) as run:
        url = address(run)
        for data in (photographs()["a.png"], b"x"):
            post(f"{url}/v1/masks", content=data)
        text = get(f"{url}/metrics").text
    assert 'seglab_images_total{outcome="done"} 1.0' in text
    assert 'seglab_images_total{outcome="failed"} 1.0' in text
    assert 'seglab_requests_total{status="422"} 1.0' in text
    assert "seglab_batch_images_count 1.0" in text


def test_no_more_than_its_queue(model_file: Path, tmp_path: Path) -> None:
    held = list(healthy(12, fault="hold").values())
    with started(tmp_path, *serve_words(model_file, "--queue", "3", "--processes", "1")) as run:
        url = address(run)
        with ThreadPoolExecutor(12) as pool:
            sent = [pool.submit(post, f"{url}/v1/masks", content=data) for data in held]
            wait_for(lambda: sum(answer.done() for answer in sent) == 9, PATIENCE, lambda: run.said)
            let_go(tmp_path)
        answers = [answer.result() for answer in sent]
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 9
    assert all(int(answer.headers["Retry-After"]) for answer in answers if answer.status_code == 503)


@pytest.mark.slow
def test_a_stop_waits_as_long_as_a_request_may_take(model_file: Path, tmp_path: Path) -> None:
    with started(tmp_path, *serve_words(model_file, "--processes", "1")) as run:
        url = address(run)
        files = [("file", item) for item in healthy(60, fault="hold").items()]
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(post, f"{url}/v1/masks", files=files, headers=JSON)
            wait_for(lambda: waiting(url) == 60, PATIENCE, lambda: run.said)
            run.process.send_signal(signal.SIGTERM)
            wait_for(lambda: not is_listening(url), PATIENCE, lambda: run.said)
            time.sleep(5)
            let_go(tmp_path)
        assert len(answer.result().json()["images"]) == 60
        assert run.wait() == 0
        assert "Traceback" not in run.said


@pytest.mark.slow
def test_a_stop_answers_what_was_sent(model_file: Path, tmp_path: Path) -> None:
    with started(tmp_path, *serve_words(model_file)) as run:
        url = address(run)
        with ThreadPoolExecutor(4) as pool:
            held = healthy(4, fault="hold").values()
            answers = [pool.submit(post, f"{url}/v1/masks", content=data) for data in held]
            wait_for(lambda: waiting(url) == 4, PATIENCE, lambda: run.said)
            run.process.send_signal(signal.SIGTERM)
            wait_for(lambda: not is_listening(url), PATIENCE, lambda: run.said)
            let_go(tmp_path)
        assert [answer.result().status_code for answer in answers] == [200] * 4
        assert run.wait() == 0
        assert "Traceback" not in run.said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--host", "no.such.host.invalid"), "Nothing can listen"),
        (("--model", "none.onnx"), "none.onnx"),
        (("--device", "cuda:77"), "cuda:77"),
        (("--postprocess", "tallest"), "--postprocess"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(tmp_path: Path, options: tuple[str, str], said: str) -> None:
    done = subprocess.run(
        command("serve", "--port", "0", *options), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
def test_the_page_outlines_what_is_chosen(
    browser: Browser, url: str, tmp_path: Path, size: tuple[int, int], scheme: str
) -> None:
    images = photographs()
    hostile = "<img src=x onerror=alert(1)>.png"
    sent = {hostile: images["a.png"], "b.jpg": images["b.jpg"], "broken.jpg": b"x", "d.dcm": images["f.dcm"]}
    folder = write_images(tmp_path, sent)
    watched = opened(browser, f"{url}/", size, scheme)
    page = watched.page
    page.set_input_files("#files", [str(folder / name) for name in sent])
    page.get_by_text("3 masks, 1 failed", exact=True).wait_for()
    assert page.locator("figure .name").all_inner_texts() == list(sent)
    assert "Not an image" in page.locator(".failed .picture").inner_text()
    assert page.locator("#all").is_visible()
    with page.expect_download() as download:
        page.locator("a.download").nth(1).click()
    mask = post(f"{url}/v1/masks", content=images["b.jpg"]).content
    assert Path(download.value.path()).read_bytes() == mask
    assert download.value.suggested_filename == "b.png"
    assert watched.violations() == []
    assert not watched.is_wider_than_the_window()
    watched.errors = [text for text in watched.errors if "422" not in text]  # the browser logs the broken one
    watched.require_clean()
    page.context.close()


def test_all_masks_of_the_page_come_as_one_zip(browser: Browser, url: str, tmp_path: Path) -> None:
    images = photographs()
    sent = {"x/b.jpg": images["b.jpg"], "y/b.jpg": images["b.jpg"], "ä (1).png": images["a.png"]}
    for name, data in sent.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    watched = opened(browser, f"{url}/")
    page = watched.page
    page.set_input_files("#files", [str(tmp_path / name) for name in sent])
    page.get_by_text("3 masks", exact=True).wait_for()
    with page.expect_download() as download:
        page.locator("#all").click()
    assert download.value.suggested_filename == "masks.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    masks = {name: post(f"{url}/v1/masks", content=images[name]).content for name in ("a.png", "b.jpg")}
    assert found == {"b.png": masks["b.jpg"], "b-2.png": masks["b.jpg"], "ä (1).png": masks["a.png"]}
    watched.require_clean()
    page.context.close()


def test_the_page_is_used_by_keyboard(browser: Browser, url: str) -> None:
    watched = opened(browser, f"{url}/")
    watched.page.keyboard.press("Tab")
    assert watched.page.evaluate("document.activeElement.id") == "files"
    watched.page.context.close()
