"""The same file in other people's runtimes: the examples of ``docs/examples``, run as they stand.

Slow: they install packages from npm and PyPI and build a C++ program. What is not on the machine is skipped, and said.
"""

from __future__ import annotations

import http.server
import importlib.util
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from PIL import Image

from export.runtime.bundled import bundled_model
from export.runtime.opening import open_model
from seglab.synth import synthesise

pytestmark = pytest.mark.slow

TIMEOUT = 600
NO_NETWORK = re.compile("ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH")
FEW = 2e-5
"""Share of pixels: of 172,000, three at the threshold, where the last digits of a CPU decide."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PAGE = """<!doctype html><script type="module">
try {
  const { load, segment } = await import("./segment.js");
  const photo = await (await fetch("photo.png")).blob();
  const { mask } = await segment(await load("lesion.onnx"), photo);
  await fetch("done", { method: "POST", body: mask });
} catch (error) {
  await fetch("failed", { method: "POST", body: String(error.stack ?? error) });
}
</script>"""


@pytest.fixture(scope="module")
def size() -> int:
    return open_model(bundled_model(), "cpu").contract.size


@pytest.fixture(scope="module")
def at_size(tmp_path_factory: pytest.TempPathFactory, size: int) -> Path:
    """A photograph of the model's own size: no runtime has to resize it."""
    return photograph(tmp_path_factory.mktemp("at_size") / "photo.png", size, size)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photograph(tmp_path_factory.mktemp("odd") / "photo.png", 333, 517)


def photograph(path: Path, height: int, width: int) -> Path:
    Image.fromarray(synthesise(height, width, 3).image).save(path)
    return path


def expected(photo: Path) -> np.ndarray:
    image = np.asarray(Image.open(photo).convert("RGB"))
    mask = open_model(bundled_model(), "cpu").mask(image[None])[0]
    assert 0 < np.count_nonzero(mask) < mask.size
    return np.asarray(mask)


def differing(mask: Path | np.ndarray, photo: Path) -> float:
    """Return the share of pixels that differ from our mask."""
    found = np.asarray(Image.open(mask)) if isinstance(mask, Path) else mask
    assert set(np.unique(found)) <= {0, 255}
    return float(np.mean(found != expected(photo)))


def call(*words: object, cwd: Path | None = None) -> None:
    done = subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout + done.stderr


def needed(*programs: str) -> str:
    found = next(filter(None, map(shutil.which, programs)), None)
    if found is None:
        pytest.skip(f"needs {' or '.join(programs)}, not on this machine")
    return found


def installed(example: Path, folder: Path) -> Path:
    """Copy an example and install what its package.json asks for."""
    npm = needed("npm")
    shutil.copytree(example, folder)
    # Without scripts: one of them downloads CUDA.
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode and NO_NETWORK.search(done.stderr):
        pytest.skip("npm does not reach its registry")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_python_with_onnxruntime_alone(repo_root: Path, odd: Path, tmp_path: Path) -> None:
    script = repo_root / "docs" / "examples" / "segment.py"
    call(sys.executable, "-I", script, bundled_model(), odd, tmp_path / "mask.png")
    assert differing(tmp_path / "mask.png", odd) <= FEW


def test_onnx_reference_evaluator(at_size: Path) -> None:
    image = np.asarray(Image.open(at_size))
    (mask,) = map(np.asarray, ReferenceEvaluator(str(bundled_model())).run(["mask"], {"image": image[None]}))
    assert differing(mask[0], at_size) <= 1e-4


def test_openvino_directly(repo_root: Path, at_size: Path, odd: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("needs the package openvino")
    script = repo_root / "docs" / "examples" / "segment_openvino.py"
    call(sys.executable, "-m", "export.cli", "openvino", bundled_model(), "--out", tmp_path / "lesion.xml")
    for model in (bundled_model(), tmp_path / "lesion.xml"):
        for photo, limit in ((at_size, 1e-4), (odd, 2e-3)):
            call(sys.executable, script, model, photo, tmp_path / "mask.png")
            assert differing(tmp_path / "mask.png", photo) <= limit


def test_node(repo_root: Path, odd: Path, tmp_path: Path) -> None:
    node = needed("node")
    folder = installed(repo_root / "docs" / "examples" / "node", tmp_path / "node")
    call(node, "segment.mjs", bundled_model(), odd, tmp_path / "mask.png", cwd=folder)
    assert differing(tmp_path / "mask.png", odd) <= FEW


def test_a_browser(repo_root: Path, odd: Path, tmp_path: Path) -> None:
    browser = needed(*BROWSERS)
    folder = installed(repo_root / "docs" / "examples" / "web", tmp_path / "web")
    shutil.copy(bundled_model(), folder / "lesion.onnx")
    shutil.copy(odd, folder / "photo.png")
    (folder / "test.html").write_text(PAGE)
    with served(folder) as (address, answer):
        words = (browser, *BROWSER_OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", f"{address}/test.html")
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            try:
                path, body = answer.wait(TIMEOUT)
            finally:
                running.terminate()
    assert path == "/done", body.decode()
    mask = np.frombuffer(body, np.uint8).reshape(expected(odd).shape)
    assert differing(mask, odd) <= FEW


def test_cpp(repo_root: Path, at_size: Path, odd: Path, tmp_path: Path) -> None:
    cmake = needed("cmake")
    found = importlib.util.find_spec("openvino")
    if found is None or not found.origin:
        pytest.skip("needs the package openvino, whose C++ headers and libraries it brings")
    source, build = repo_root / "docs" / "examples" / "cpp", tmp_path / "build"
    configured = subprocess.run(
        [cmake, "-S", source, "-B", build, f"-DOpenVINO_DIR={Path(found.origin).parent / 'cmake'}"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    if "OpenCVConfig.cmake" in configured.stderr:
        pytest.skip("needs OpenCV's headers (libopencv-dev)")
    assert configured.returncode == 0, configured.stderr
    call(cmake, "--build", build)
    for photo, limit in ((at_size, 1e-4), (odd, 2e-3)):
        call(build / "segment", bundled_model(), photo, tmp_path / "mask.png")
        assert differing(tmp_path / "mask.png", photo) <= limit


def test_opencv_dnn(at_size: Path, odd: Path) -> None:
    """From OpenCV 5 on; like OpenVINO it ignores antialiasing, so it is for images of the model's own size."""
    if int(cv2.__version__.partition(".")[0]) < 5:
        pytest.skip(f"OpenCV {cv2.__version__} does not read uint8 inputs; 5 does")
    network = cv2.dnn.readNetFromONNX(str(bundled_model()))
    masks = {}
    for photo in (at_size, odd):
        network.setInput(np.asarray(Image.open(photo))[None], "image")
        masks[photo] = network.forward(["prob", "mask", "suitable"])[1][0]
    assert differing(masks[at_size], at_size) <= 1e-4
    assert differing(masks[odd], odd) > 0  # else the documentation is to be corrected


class Answer:
    """What the page sent back."""

    def __init__(self) -> None:
        self._there = threading.Event()
        self._given = ("", b"nothing came back in time")

    def give(self, path: str, body: bytes) -> None:
        self._given = (path, body)
        self._there.set()

    def wait(self, seconds: float) -> tuple[str, bytes]:
        self._there.wait(seconds)
        return self._given


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; what is posted is the answer."""

    def __init__(self, *arguments: object, answer: Answer, directory: str) -> None:
        self._answer = answer
        self.extensions_map = {**self.extensions_map, ".mjs": "text/javascript", ".wasm": "application/wasm"}
        super().__init__(*arguments, directory=directory)  # type: ignore[arg-type]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        self._answer.give(self.path, body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Answer]]:
    answer = Answer()
    handler = partial(Handler, answer=answer, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", answer
        server.shutdown()
