"""The documentation as web pages: it builds without a warning, as ``make site`` does it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the docs extra brings what builds the site")
STRICT = ("-W", "--keep-going", "-n", "-q", "-b", "html")
SECTIONS = ("tutorials", "how-to", "reference", "explanation")


def build(root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", *STRICT, "docs", str(out)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = build(repo_root, out)
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_is_built_and_its_section_links_to_it(site: Path, repo_root: Path) -> None:
    for section in SECTIONS:
        listed = (site / section / "index.html").read_text()
        main = listed.partition('<article role="main"')[2].partition("</article>")[0]
        for page in sorted((repo_root / "docs" / section).glob("*.md")):
            assert (site / section / page.name).with_suffix(".html").is_file()
            assert page.stem == "index" or f'href="{page.stem}.html"' in main, page


def test_the_front_page_leads_to_the_four_sections_and_says_what_it_is_not(site: Path) -> None:
    front = (site / "index.html").read_text()
    cards = re.findall(r'<li><p><strong><a [^>]*href="([^"]+)"', front.partition('class="cards')[2])
    assert cards == [f"{section}/index.html" for section in SECTIONS]
    assert "not a medical device" in front


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text()
        fetched = re.findall(r'<(?:script|img|link rel="stylesheet")[^>]* (?:src|href)="(?:https?:)?//[^"]+', text)
        assert fetched == [], page


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[nowhere](how-to/nowhere.md)", "nowhere.md"),
        ("[no such part](how-to/gpu.md#no-such-part)", "no-such-part"),
        ("```{toctree}\nhow-to/nowhere\n```", "nonexisting document"),
    ],
)
def test_a_link_that_leads_nowhere_is_an_error(repo_root: Path, tmp_path: Path, line: str, said: str) -> None:
    docs = tmp_path / "docs"
    (docs / "how-to").mkdir(parents=True)
    (docs / "_static").mkdir()
    shutil.copy(repo_root / "docs" / "conf.py", docs)
    (docs / "how-to" / "gpu.md").write_text("---\norphan: true\n---\n\n# Use a GPU\n")
    (docs / "index.md").write_text(f"# seglab\n\n{line}\n")
    done = build(tmp_path, tmp_path / "out")
    assert done.returncode != 0
    assert said in done.stderr
