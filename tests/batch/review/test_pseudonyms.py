"""The review of masks that are named by pseudonyms: neither the page nor the table of decisions names a photograph."""

from __future__ import annotations

import csv
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from batch.cli import main
from tests.support.archive import StandIn, masks_below, run_all, save, spot
from tests.support.review import served

pytest.importorskip("uvicorn")
PSEUDONYM = re.compile(r"[0-9a-f]{16}")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for number, name in enumerate(("Dorothea, Janette/2019.jpg", "Rosalind/Mole77.jpg", "Zephyrine/1.jpg")):
        save(tmp_path / "clinic" / name, spot(40 + number, 60))
    (tmp_path / "clinic" / "Zephyrine" / "bad.jpg").write_bytes(b"no image")
    run_all(tmp_path / "clinic", tmp_path / "out", StandIn(size=64), pseudonymise=True)
    (tmp_path / "clinic" / "Rosalind" / "Mole77.jpg").unlink()
    return tmp_path / "out"


def said(address: str) -> str:
    try:
        with urllib.request.urlopen(address) as answer:
            return str(answer.read().decode("latin-1"))
    except urllib.error.HTTPError as error:
        return error.read().decode()


def test_no_name_is_on_the_page_or_in_the_table(out: Path, tmp_path: Path) -> None:
    with served(out, "--reviewer", "Ada") as site:
        found = site.get("api/images?order=folder")["images"]
        names = [image["name"] for image in found]
        assert names == sorted(names)
        assert len(names) == 4
        assert all(PSEUDONYM.fullmatch(name) for name in names)
        texts = [said(f"{site.address}api/images/{image['row']}{layer}") for image in found for layer in ("", "/photo")]
        assert sum("the reason may hold names" in text for text in texts) >= 1
        assert not any(
            word in text
            for text in texts
            for word in ("Dorothea", "Janette", "Rosalind", "Mole77", "Zephyrine", str(tmp_path))
        )
        for image in found:
            if image["status"] == "done":
                assert site.decide(image["row"], "accept") == 200
    ended = CliRunner().invoke(main, ["review", str(out), "--decisions", str(tmp_path / "d.csv")])
    assert ended.exit_code == 0, ended.output
    with (tmp_path / "d.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["mask"] for row in rows] == sorted(masks_below(out))
    assert all(PSEUDONYM.fullmatch(row["path"]) and not row["decided_at"] for row in rows)
