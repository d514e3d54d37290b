"""``seg-batch review``: the address and who may use it, decisions that outlive a kill and follow their masks, and
corrected masks that become a training set.
"""

from __future__ import annotations

import csv
import http.client
import json
import shutil
import signal
import socket
import sys
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from batch.cli import main
from batch.review.decisions import REVIEW_NAME
from seglab.data.finding.layouts import find_pairs
from tests.support.archive import command, read_grey, run_all, save, seg_batch, spot
from tests.support.review import COUNT, Served, copied, execute, make_output, served

pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output, read-only by agreement."""
    return make_output(tmp_path_factory.mktemp("made"))


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return copied(made, tmp_path)


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["review", *map(str, arguments)])


def answer(address: str, path: str, host: str = "") -> tuple[int, str]:
    """Return status and text of an answer; ``path`` is absolute."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    connection.request("GET", path, headers={"Host": host or parts.netloc})
    response = connection.getresponse()
    found = response.status, response.read().decode(errors="replace")
    connection.close()
    return found


def verdicts(out: Path) -> dict[str, dict[str, str]]:
    """Return the rows of the table of decisions by the photograph's name."""
    table = out.parent / "decisions.csv"
    done = invoke(out, "--decisions", table)
    assert done.exit_code == 0, done.output
    with table.open(newline="") as file:
        return {Path(row["path"]).name: row for row in csv.DictReader(file)}


def test_only_who_knows_the_address_gets_an_answer(out: Path) -> None:
    with served(out) as site:
        parts = urlsplit(site.address)
        assert parts.hostname == "127.0.0.1"
        assert len(parts.path) > 30
        assert answer(site.address, parts.path)[0] == 200
        row = site.rows()["cut.png"]
        wrong = parts.path[:-2] + ("x" if parts.path[-2] != "x" else "y") + "/"
        ways = ("/", wrong, f"{wrong}api/images", "/api/images", f"{parts.path}api/images/999/photo", "/docs",
                f"{parts.path}static/../app.py", f"{parts.path}static/%2e%2e%2fapp.py")  # fmt: skip
        assert [answer(site.address, way)[0] for way in ways] == [404] * len(ways)
        assert "Open the one that seg-batch review printed" in answer(site.address, "/")[1]
        assert answer(site.address, parts.path, "evil.example")[0] == 403
        assert site.decide(row, "accept", Origin="http://evil.example") == 403
        assert site.decide(row, "accept", Sec_Fetch_Site="cross-site") == 403
        assert site.get("api/images")["progress"]["reviewed"] == 0
        assert site.decide(row, "accept") == 200


def test_answers_are_not_kept_and_hold_no_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe"
    save(tmp_path / "in" / "a.jpg", spot(48, 64), exif=exif)
    run_all(tmp_path / "in", tmp_path / "out")
    with served(tmp_path / "out") as site:
        for path in (
            "",
            "api/images",
            *(f"api/images/1/{layer}" for layer in ("photo", "thumbnail", "outline", "mask")),
        ):
            connection = http.client.HTTPConnection(urlsplit(site.address).netloc)
            connection.request("GET", urlsplit(site.address).path + path)
            response = connection.getresponse()
            assert response.status == 200, path
            assert response.headers["cache-control"] == "no-store"
            assert "default-src 'none'" in response.headers["content-security-policy"]
            assert b"Jane" not in response.read()
            connection.close()


def test_pictures_show_the_mask(out: Path) -> None:
    with served(out) as site:
        row = site.rows()["0.png"]
        mask = read_grey(out / "b" / "0.png")
        for layer, alpha in (("mask", mask > 0), ("outline", None)):
            name, _ = _fetch(site, f"api/images/{row}/{layer}", out.parent)
            with Image.open(name) as picture:
                found = np.asarray(picture.convert("RGBA"))[..., 3] > 0
            assert found.shape == mask.shape
            assert np.array_equal(found, alpha) if alpha is not None else 0 < found.sum() < found.size / 2
        name, _ = _fetch(site, f"api/images/{row}/heat", out.parent)
        with Image.open(name) as picture:
            brightness = np.asarray(picture.convert("L"), float)
        assert brightness[mask > 0].mean() > 2 * brightness[mask == 0].mean()


def _fetch(site: Served, path: str, folder: Path) -> tuple[Path, int]:
    import urllib.request

    with urllib.request.urlopen(site.address + path) as found:
        (folder / "picture").write_bytes(found.read())
        return folder / "picture", found.status


def test_a_mask_that_was_changed_is_not_shown_as_the_recorded_one(out: Path) -> None:
    with served(out) as site:
        row = site.rows()["0.png"]
        shutil.copy(out / "cut.png", out / "b" / "0.png")
        status, text = answer(site.address, f"{urlsplit(site.address).path}api/images/{row}/mask")
    assert (status, text.strip()) == (
        404,
        "The mask's file is not the one in the ledger: it was changed, or is being made again. Run `seg-batch verify`.",
    )


def test_two_reviewers_at_once(out: Path) -> None:
    with served(out, "--reviewer", "Ada") as ada, served(out, "--reviewer", "Bob") as bob:
        rows = ada.rows("status=done")
        for number, row in enumerate(rows.values()):
            assert (ada if number % 2 else bob).decide(row, "accept") == 200
        for site in (ada, bob):
            assert site.get("api/images")["progress"]["reviewed"] == COUNT
            assert site.get("api/images?verdict=none")["total"] == 0
        first, second = list(rows.values())[:2]
        assert ada.decide(first, "reject") == 200
        assert bob.get("api/images?verdict=rejected")["total"] == 1
        assert ada.decide(first, "undo") == 200
        assert bob.get(f"api/images/{first}")["verdict"] == "accepted"
        assert [one["reviewer"] for one in bob.get(f"api/images/{second}")["history"]] == ["Ada"]
    assert sorted(row["reviewer"] for row in verdicts(out).values()) == ["Ada"] * 4 + ["Bob"] * 4


def test_nobody_overrules_a_verdict_that_they_have_not_seen(out: Path) -> None:
    with served(out, "--reviewer", "Ada") as ada, served(out, "--reviewer", "Bob") as bob:
        row = next(iter(ada.rows("status=done").values()))
        seen = ada.get(f"api/images/{row}")
        assert bob.decide(row, "reject") == 200
        accept = {"row": row, "action": "accept", "sha256": seen["sha256"]}
        assert ada.post({**accept, "verdict": "none", "reviewer": ""}) == 409
        assert ada.get(f"api/images/{row}")["verdict"] == "rejected"
        assert ada.post({**accept, "verdict": "rejected", "reviewer": "Bob"}) == 200
        assert ada.post({**accept, "action": "reject", "verdict": "none", "reviewer": ""}) == 200
        assert [one["reviewer"] for one in ada.get(f"api/images/{row}")["history"]] == ["Ada", "Ada", "Bob"]


def test_nobody_takes_back_the_verdict_of_another(out: Path) -> None:
    with served(out, "--reviewer", "Ada") as ada, served(out, "--reviewer", "Bob") as bob:
        row = next(iter(ada.rows("status=done").values()))
        assert bob.decide(row, "reject") == 200
        assert ada.decide(row, "undo") == 409
        assert ada.get(f"api/images/{row}")["verdict"] == "rejected"
        assert ada.decide(row, "accept") == 200
        assert ada.decide(row, "undo") == 200
        assert ada.get(f"api/images/{row}")["reviewer"] == "Bob"
        assert bob.decide(row, "undo") == 200
        assert bob.get(f"api/images/{row}")["verdict"] == "none"


def test_half_a_character_is_refused_in_words(out: Path) -> None:
    with served(out, "--reviewer", "Ada") as site:
        row = next(iter(site.rows("status=done").values()))
        assert site.post({"row": row, "action": "note", "sha256": None, "note": "\ud800"}) in (200, 422)
        assert site.get(f"api/images/{row}")["verdict"] == "none"


def test_a_killed_server_loses_no_decision(out: Path) -> None:
    with served(out) as site:
        rows = site.rows("status=done")
        for row in rows.values():
            assert site.decide(row, "reject", "") == 200
        site.process.kill()
        site.process.wait(timeout=60)
    assert {row["verdict"] for row in verdicts(out).values()} == {"rejected"}
    assert len(verdicts(out)) == COUNT
    with served(out) as site:
        assert site.get("api/images")["progress"]["reviewed"] == COUNT


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_it_well(out: Path) -> None:
    with served(out) as site:
        site.process.send_signal(signal.SIGINT)
        _, err = site.process.communicate(timeout=60)
        assert site.process.returncode == 0
        assert err == "Open this address in a browser; Ctrl-C ends it.\n"


def test_a_mask_that_is_made_again_is_open_again(out: Path) -> None:
    ledger = out / "ledger.sqlite"
    with served(out) as site:
        rows = site.rows()
        assert site.decide(rows["0.png"], "reject") == 200
        assert site.decide(rows["1.png"], "accept") == 200
        seen = site.get(f"api/images/{rows['0.png']}")["sha256"]
        assert site.get("api/images?verdict=rejected")["total"] == 1
        execute(ledger, "UPDATE items SET sha256 = ? WHERE id = ?", "f" * 64, rows["0.png"])
        assert site.get("api/images?verdict=rejected")["total"] == 0
        shown = site.get(f"api/images/{rows['0.png']}")
        assert (shown["verdict"], shown["history"][0]["is_of_earlier_mask"]) == ("none", True)
        assert site.post({"row": rows["0.png"], "action": "accept", "sha256": seen}) == 409
        assert site.decide(rows["broken.png"], "accept") == 409
        assert site.get("api/images")["progress"]["reviewed"] == 1
    assert {name: row["verdict"] for name, row in verdicts(out).items()} == {"0.png": "", "1.png": "accepted"}


def test_new_images_of_a_run_appear(out: Path) -> None:
    with served(out) as site:
        assert site.get("api/images")["total"] == COUNT + 1
        save(out.parent / "in" / "new.png", spot(48, 64))
        run_all(out.parent / "in", out, probs=out.parent / "maps")
        assert "new.png" in site.rows("order=folder")


def test_masks_in_an_archive(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", spot(48, 64))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(tmp_path / "in" / "a.png", "x/a.png")
    run_all(tmp_path / "photos.zip", tmp_path / "masks.zip")
    with served(tmp_path / "masks.zip") as site:
        row = site.rows()["a.png"]
        assert site.decide(row, "accept") == 200
        for layer in ("thumbnail", "photo", "outline"):
            assert answer(site.address, f"{urlsplit(site.address).path}api/images/{row}/{layer}")[0] == 200
    assert (tmp_path / "masks.zip.ledger" / REVIEW_NAME).exists()


def test_forget_takes_decisions_with_the_image(out: Path) -> None:
    with served(out, "--reviewer", "Ada") as site:
        for name in ("0.png", "cut.png"):
            assert site.decide(site.rows()[name], "note", f"note on {name}") == 200
            assert site.decide(site.rows()[name], "accept") == 200
    done = CliRunner().invoke(main, ["forget", str(out), str(out.parent / "in" / "cut.png"), "--purge"])
    assert done.exit_code == 0, done.output
    assert "removed: 1 mask, 0 overlays, 1 probability map, 2 decisions" in done.output
    assert list(verdicts(out)) == ["0.png"]
    assert b"cut.png" not in b"".join(path.read_bytes() for path in out.glob(f"{REVIEW_NAME}*"))


def test_pairs_of_a_changed_mask_or_photograph_are_not_taken(out: Path) -> None:
    with served(out) as site:
        rows = site.rows()
        for name in ("cut.png", "1.png", "0.png"):
            assert site.decide(rows[name], "accept") == 200
        shutil.copy(out / "a" / "1.png", out / "cut.png")
        save(out.parent / "in" / "a" / "1.png", spot(48, 64))
        path = urlsplit(site.address).path
        status, text = answer(site.address, f"{path}api/images/{rows['1.png']}/photo")
        assert (status, text) == (404, "It changed since the mask was made. Run again to remake the mask.")
        assert site.decide(rows["cut.png"], "accept") == 409
    done = invoke(out, "--accepted", "--to", out.parent / "set")
    assert done.exit_code == 3
    assert "1 accepted mask taken, 2 not" in done.output
    assert "its mask is not the one that was accepted" in done.output
    assert "It changed since the mask was made" in done.output
    assert [path.name for path in (out.parent / "set" / "images").iterdir()] == ["0.png"]


def test_tables_of_decisions(out: Path) -> None:
    assert verdicts(out) == {}
    with served(out, "--reviewer", "Ada") as site:
        assert site.decide(site.rows()["cut.png"], "note", '=1+1, "x"\n<b>') == 200
        assert site.decide(site.rows()["cut.png"], "reject") == 200
    [(name, row)] = verdicts(out).items()
    assert (name, row["mask"], row["verdict"], row["reviewer"]) == ("cut.png", "cut.png", "rejected", "Ada")
    assert row["note"] == '=1+1, "x"\n<b>'
    lines = out.parent / "decisions.jsonl"
    assert invoke(out, "--decisions", lines).exit_code == 0
    assert json.loads(lines.read_text())["verdict"] == "rejected"
    lines.write_text("theirs\n")
    done = invoke(out, "--decisions", lines)
    assert done.exit_code == 1
    assert "exists and is not a table of decisions of seg-batch" in done.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--accepted"], "--import and --accepted need --to FOLDER"),
        (["--import", "x"], "--import and --accepted need --to FOLDER"),
        (["--to", "x"], "--to needs --import DIR (corrected masks), --accepted"),
        (["--to", "x", "--accepted", "--decisions", "y.csv"], "--decisions and --to are tasks of their own"),
    ],
)
def test_options_that_do_not_belong_together(out: Path, options: list[str], said: str) -> None:
    done = invoke(out, *options)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


@pytest.mark.slow
def test_what_cannot_be_reviewed(tmp_path: Path, out: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "There is no ledger in" in seg_batch("review", tmp_path / "empty", "--no-browser").stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = seg_batch("review", out, "--no-browser", "--port", str(taken.getsockname()[1]))
    assert ended.returncode == 2
    assert "Choose another --port" in ended.stderr
    execute(out / REVIEW_NAME, "PRAGMA application_id = 7")
    ended = seg_batch("review", out, "--no-browser")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: ")
    assert "is a database of another program; expected decisions of `seg-batch review`" in ended.stderr


def corrected(out: Path) -> Path:
    """Return a folder with a corrected mask for each folder, and files that are none."""
    folder = out.parent / "corrected"
    (folder / "b").mkdir(parents=True)
    Image.fromarray(np.eye(48, 64, dtype=np.uint8)).save(folder / "b" / "0.png")  # as the mask; 0 and 1
    Image.fromarray(np.flipud(read_grey(out / "cut.png"))).convert("RGB").save(folder / "cut.png")
    return folder


def test_corrected_masks_become_a_training_set(out: Path) -> None:
    before = {path: path.read_bytes() for path in out.rglob("*.png")}
    with served(out) as site:
        rows = site.rows()
        for name, action in (("cut.png", "reject"), ("1.png", "accept"), ("2.png", "reject")):
            assert site.decide(rows[name], action) == 200
    folder, made = corrected(out), out.parent / "set"
    done = invoke(out, "--import", folder, "--to", made, "--accepted")
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-2:] == [
        f"2 corrected masks and 1 accepted mask taken, 0 not: {made}",
        f"train with it: seglab train --data {made}",
    ]
    pairs = {pair.id: pair for pair in find_pairs(made)}
    assert sorted(pairs) == ["0", "1", "cut"]
    assert np.array_equal(pairs["0"].mask() > 0, np.eye(48, 64) > 0)
    assert np.array_equal(pairs["cut"].mask(), np.flipud(read_grey(out / "cut.png")))
    assert np.array_equal(pairs["1"].mask(), read_grey(out / "a" / "1.png"))
    for name, place in (("0", "b/0.png"), ("1", "a/1.png"), ("cut", "cut.png")):
        assert Path(pairs[name].source).read_bytes() == (out.parent / "in" / place).read_bytes()
    assert {path: path.read_bytes() for path in out.rglob("*.png")} == before
    again = invoke(out, "--import", folder, "--to", made, "--accepted")
    assert again.exit_code == 0, again.output
    assert len(find_pairs(made)) == 3


def test_what_is_no_corrected_mask_is_named(out: Path) -> None:
    with served(out) as site:
        assert site.decide(site.rows()["2.png"], "reject") == 200
    folder, made = corrected(out), out.parent / "set"
    shutil.copy(out / "b" / "2.png", folder / "2.png")
    save(folder / "a" / "1.png", spot(20, 20))
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(folder / "4.png")
    save(folder / "nobody.png")
    save(folder / "empty.jpg")
    (folder / "grey.png").write_bytes(b"broken")
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(folder / "broken.png")
    made.mkdir()
    (made / "masks").mkdir()
    (made / "masks" / "cut.png").write_text("theirs")
    done = invoke(out, "--import", folder, "--to", made)
    assert done.exit_code == 3
    assert "1 corrected mask and 0 accepted masks taken, 8 not" in done.output
    for name, why in {
        "2.png": "it is still the mask that was rejected; correct it first",
        "a/1.png": "Not clear what in this mask is lesion",
        "4.png": "it is 20 x 20 pixels, its photograph 64 x 48; save it at that size",
        "nobody.png": "no image of this output has a mask, or a photograph, of this name",
        "empty.jpg": "it is not a PNG; save the mask as PNG",
        "grey.png": "",
        "broken.png": "Not an image (text)",
        "cut.png": "exists with other content; remove it, or name another folder with --to",
    }.items():
        assert any(f"{folder / name}: " in line and why in line for line in done.output.splitlines()), name
    assert (made / "masks" / "cut.png").read_text() == "theirs"
    assert [path.name for path in (made / "images").iterdir()] == ["0.png"]


def test_photographs_of_one_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        save(tmp_path / "in" / folder / "x.png", spot(48, 64))
    run_all(tmp_path / "in", tmp_path / "out")
    for folder in ("a", "b"):
        save(tmp_path / "new" / folder / "x.png", np.zeros((48, 64), np.uint8))
    save(tmp_path / "new" / "x.png", np.zeros((48, 64), np.uint8))
    done = invoke(tmp_path / "out", "--import", tmp_path / "new", "--to", tmp_path / "set")
    assert done.exit_code == 3
    assert "new/x.png: it fits several images" in done.output
    assert len(find_pairs(tmp_path / "set")) == 2
    assert all(path.name.startswith("x-") for path in (tmp_path / "set" / "images").iterdir())


def test_the_training_set_lies_nowhere_else(out: Path) -> None:
    before = sorted(out.rglob("*"))
    done = invoke(out, "--import", corrected(out), "--to", out / "set")
    assert done.exit_code == 1
    assert "which a run writes to; expected a place of its own for a training set" in done.output
    assert sorted(out.rglob("*")) == before
    (out.parent / "file").write_text("theirs")
    done = invoke(out, "--import", out.parent / "corrected", "--to", out.parent / "file")
    assert done.exit_code == 1
    assert "is a file; expected a folder" in done.output


def test_help_needs_no_web_package() -> None:
    script = (
        "import sys\nfor name in ('fastapi', 'uvicorn', 'starlette'): sys.modules[name] = None\n"
        "sys.argv = ['seg-batch', *sys.argv[1:]]\nfrom batch.cli import main\nmain()"
    )
    import subprocess

    def run(*arguments: str) -> Any:
        line = [command()[0], "-c", script, *arguments]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    assert run("review", "--help").returncode == 0
    missing = run("review", "nowhere")
    assert missing.returncode == 1
    assert "pip install 'seglab[web]'" in missing.stderr
