"""The pages of ``seglab train`` and ``seglab validate``: through the commands, and in a real browser."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from seglab.cli import main
from tests.support.browser import SCHEMES, SIZES, opened
from tests.support.small_sets import mask, photo

if TYPE_CHECKING:
    from playwright.sync_api import Browser

COUNT = 14
HOSTILE = "<img src=x onerror=alert(1)>&\"' {{ 7 * 7 }} 皮膚 \x1b[31m"
TINY = (
    "size=32", "batch=4", "workers=0", "split=seeded", "arch=unet-scratch", "widths=[4,8]", "decoder_channels=[]",
    "precision=fp32",
)  # fmt: skip
LARGEST = 5_000_000
KEPT = "exists and is not a page that seglab train wrote, so it is kept"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names and signals of POSIX")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs, all with names that a page must not take for its own text."""
    root = tmp_path_factory.mktemp("set") / "data"
    for number in range(COUNT):
        name = f"{number} {HOSTILE}.png"
        photo(root / "images" / name)
        mask(root / "masks" / name, number)
    return root


def words(*options: str | Path, epochs: int = 2) -> list[str]:
    changes = [word for change in (*TINY, f"epochs={epochs}") for word in ("--set", change)]
    return ["train", *map(str, options), *changes, "--device", "cpu"]


def seglab(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, read-only by agreement."""
    out = tmp_path_factory.mktemp("runs") / HOSTILE
    done = seglab(*words("--data", data, "--out", out))
    assert done.exit_code == 0, done.output
    return out


@pytest.fixture(scope="module")
def validation(run: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a validation."""
    file = tmp_path_factory.mktemp("validation") / "page.html"
    done = seglab("validate", run, "--data", data, "--part", "all", "--report", file, "--device", "cpu")
    assert done.exit_code == 0, done.output
    return file


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES, ids=["desk", "phone"])
@pytest.mark.parametrize("which", ["run", "validation"])
def test_everybody_can_read_the_pages(
    browser: Browser, run: Path, validation: Path, which: str, size: tuple[int, int], scheme: str
) -> None:
    file = run / "report.html" if which == "run" else validation
    assert file.stat().st_size < LARGEST
    watched = opened(browser, file.as_uri(), size, scheme)
    page = watched.page
    assert page.locator("script").count() == 0
    loaded = page.locator("img").evaluate_all("all => all.map(image => image.naturalWidth)")
    shown = COUNT if which == "validation" else 3
    assert len(loaded) >= shown
    assert min(loaded) > 0
    assert page.locator("figcaption", has_text="<img src=x onerror=alert(1)>&\"' {{ 7 * 7 }} 皮膚 \\x1b[31m").count()
    assert page.locator("footer", has_text="Not a medical device").count() == 1
    assert watched.violations() == []
    assert not watched.is_wider_than_the_window()
    watched.require_clean()
    page.context.close()


def titles(browser: Browser, file: Path) -> list[str]:
    watched = opened(browser, file.as_uri())
    found = watched.page.locator("h2").all_inner_texts()
    watched.page.context.close()
    return found


def test_a_run_has_one_page_of_everything(browser: Browser, run: Path) -> None:
    assert titles(browser, run / "report.html") == [
        "Summary", "Curves", "Scores", "Distribution of scores", "Agreement by lesion size", "Worst images",
        "Augmented images", "Data", "Recipe", "Machine and versions",
    ]  # fmt: skip
    text = (run / "report.html").read_text()
    assert text.count("<svg") == 4 + 3 + 1
    assert "2 of 2 epochs" in text
    assert "Not finished" not in text
    assert str(run.parent) not in text


def epochs_of(page: Path) -> int:
    """Return the number of epochs that the page of an unfinished run names; -1 without such a page."""
    found = re.search(r"Not finished: (\d+) of 4,000 epochs\.", page.read_text()) if page.exists() else None
    return int(found[1]) if found else -1


@pytest.mark.slow
def test_a_stopped_run_has_a_page_and_a_resumed_one_completes_it(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    call = [sys.executable, "-m", "seglab.cli", *words("--data", data, "--out", out, epochs=4000)]
    process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    page = out / "report.html"
    while epochs_of(page) < 1:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130, said
    done = int(said.rpartition("Interrupted after epoch ")[2].partition(";")[0])
    assert abs(epochs_of(page) - done) <= 1  # the signal may come between the message of an epoch and its page
    assert "Augmented images" in page.read_text()
    more = done + 2
    resumed = seglab("train", "--resume", out, "--set", f"epochs={more}", "--device", "cpu")
    assert resumed.exit_code == 0, resumed.output
    assert f"{more} of {more} epochs" in page.read_text()
    assert "Worst images" in page.read_text()
    assert "Changed setting" in page.read_text()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_lies_in_its_place_is_kept_and_training_goes_on(run: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "run"
    shutil.copytree(run, out)
    page, own = out / "report.html", tmp_path / "own.html"
    page.unlink()
    own.write_text("<html>mine</html>")
    match kind:
        case "file":
            page.write_bytes(own.read_bytes())
        case "folder":
            page.mkdir()
        case "link":
            page.symlink_to(own)
    resumed = seglab("train", "--resume", out, "--set", "epochs=4", "--device", "cpu")
    assert resumed.exit_code == 0, resumed.output
    assert resumed.stderr.count(KEPT) == 1
    assert len((out / "log.csv").read_text().splitlines()) == 5
    assert own.read_text() == "<html>mine</html>"
    assert page.is_dir() if kind == "folder" else page.read_text() == own.read_text()
    assert page.is_symlink() == (kind == "link")
    assert (out / "scores.csv").exists()


@pytest.mark.slow
def test_a_page_too_large_for_its_disk_stops_nothing(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(run, out)
    largest = max(path.stat().st_size for path in run.rglob("*") if path.is_file() and path.name != "report.html")
    before = (out / "report.html").read_bytes()
    assert len(before) > 1.2 * largest
    limit = int(1.1 * largest) // 1024
    call = [sys.executable, "-m", "seglab.cli", "train", "--resume", out, "--set", "epochs=3", "--device", "cpu"]
    limited = ["sh", "-c", f'ulimit -f {2 * limit}; exec "$@"', "sh", *map(str, call)]  # in blocks of 512 bytes
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("No page is written, and nothing else is affected: ") == 1
    assert "the file would be larger than this process may write" in done.stderr
    assert (out / "report.html").read_bytes() != before  # the page without pictures of scores is smaller


def test_a_page_that_was_removed_comes_back(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(run, out)
    (out / "report.html").unlink()
    assert seglab("train", "--resume", out, "--device", "cpu").exit_code == 0
    assert "Worst images" in (out / "report.html").read_text()
    before = (out / "report.html").read_bytes()
    finished = seglab("train", "--resume", out, "--device", "cpu")
    assert "is finished after 2 epochs" in finished.stderr
    assert (out / "report.html").read_bytes() == before


@pytest.mark.slow
def test_folds_have_a_page_each_and_one_of_all_images(browser: Browser, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "folds"
    done = seglab(*words("--data", data, "--out", out, "--folds", "2", epochs=1))
    assert done.exit_code == 0, done.output
    assert all("1 of 1 epoch" in (out / f"fold-{number}" / "report.html").read_text() for number in range(2))
    page = out / "out-of-fold" / "report.html"
    assert titles(browser, page)[:4] == ["Summary", "Folds", "Scores", "Distribution of scores"]
    text = page.read_text()
    assert f"{COUNT} images, each masked by the fold that did not train on it" in text
    assert text.count("data:image/jpeg") == COUNT
    assert "cannot be shown" not in text


def test_validation_writes_its_page_beside_its_figures_and_names_what_failed(run: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    for number in range(3):
        photo(root / "images" / f"{number}.png")
        mask(root / "masks" / f"{number}.png", number)
    (root / "images" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    figures = tmp_path / "figures"
    done = seglab("validate", run, "--data", root, "--part", "all", "--figures", figures, "--device", "cpu")
    assert done.exit_code == 3, done.output
    text = (figures / "report.html").read_text()
    assert "1 image could not be scored; see below." in text
    assert "<h2>Not scored</h2>" in text
    assert text.count("data:image/jpeg") == 2


def test_validation_refuses_before_it_scores(run: Path, data: Path, tmp_path: Path) -> None:
    own = tmp_path / "own" / "report.html"
    own.parent.mkdir()
    own.write_text("<html>mine</html>")
    for option, path in (("--report", own), ("--figures", own.parent), ("--report", run / "report.html")):
        refused = seglab("validate", run, "--data", data, "--part", "all", option, path)
        assert refused.exit_code == 2
        assert "is not a page of seglab validate, so it is not overwritten" in refused.stderr
        assert "to score" not in refused.stderr
    assert own.read_text() == "<html>mine</html>"
