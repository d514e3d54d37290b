"""``seglab`` writes over no file that it did not make, and puts no run among the data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from seglab.cli import main

TINY = (
    "--set arch=unet-scratch --set decoder_channels=[] --set widths=[4,8] --set size=32 --set workers=0 "
    "--set epochs=1 --set precision=fp32 --set batch=4 --device cpu"
)
MINE = b"mine, and nobody else's\n"


def run(line: str) -> Result:
    return CliRunner().invoke(main, line.split())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set and a run."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert run("synth --out demo --count 10 --size 48x40").exit_code == 0
        trained = run(f"train --data demo --out run {TINY}")
    assert trained.exit_code == 0, trained.output
    return root


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, with files of a user, in which commands are run."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    for name in ("notes.txt", "x.json", "y.jpg", "scores.csv", "pictures/confusion.png", "set/comparison.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b'{"mine": 1}' if name == "x.json" else MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "validate run --csv demo/masks/synth_00000.png",
        "validate run --csv scores.csv",
        "validate run --csv run/log.csv",
        "validate run --csv run/best.pt",
        "validate run --json demo/images/synth_00000.jpg",
        "validate run --json x.json",
        "validate run --json run/split.json",
        "validate run --json new.txt --csv ./new.txt",
        "validate run --json /dev/null",
        "validate run --figures pictures",
        "validate run --report notes.txt",
        "validate run --report run/report.html",
        "validate run --report new.txt",
        "validate run --report new.html --csv new.html",
        "validate run --figures demo/images",
        "validate run --data demo --figures demo/sheets",
        "card run --out demo/images/synth_00001.jpg",
        "card run --out notes.txt",
        "card run --out run/last.pt",
        "compare run --json demo/masks/synth_00001.png",
        "compare run --json run/settings.json",
        "compare run --out set",
        "inspect demo --json x.json",
        "inspect demo --json demo/masks/synth_00001.png",
        "prepare demo --out new --figure y.jpg",
        "prepare demo --out new --figure demo/images/synth_00001.jpg",
        "prepare demo --out demo/masks",
        "prepare demo --out new --figure demo/new.jpg",
        "synth --out demo --count 12 --size 48x40 --seed 1",
        f"train --data demo --out pictures {TINY}",
        f"train --data demo --out set {TINY}",
        f"train --data demo --out demo {TINY}",
        f"train --data demo --out demo/images {TINY}",
        f"train --data demo --out demo/masks/new {TINY}",
        f"train --images demo/images --masks demo/masks --out demo/images/a/b {TINY}",
        f"train --data demo --out set --folds 2 {TINY}",
        f"train --data demo --out run --folds 2 {TINY}",
        f"train --data demo --out demo/images/new --folds 2 {TINY}",
        f"train --data demo --out demo/new --folds 2 {TINY}",
    ],
)
def test_no_file_of_a_user_is_replaced_and_none_put_among_data(here: Path, line: str) -> None:
    before = contents(here)
    refused = run(line)
    assert refused.exit_code in (1, 2), refused.output
    assert refused.exception is None or isinstance(refused.exception, SystemExit)
    assert "Name" in refused.stderr or "name another" in refused.stderr
    assert contents(here) == before


@pytest.mark.parametrize("name", ["log.csv", "settings.json", "scores.csv", "split.json", "batch.jpg", "curves.png"])
@pytest.mark.parametrize("folds", ["", "--folds 2"])
def test_a_folder_with_any_file_of_a_user_gets_no_run(here: Path, name: str, folds: str) -> None:
    (here / "own").mkdir()
    (here / "own" / name).write_bytes(b'{"recipe": 1}' if name.endswith("json") else MINE)
    before = contents(here)
    refused = run(f"train --data demo --out own {folds} {TINY}")
    assert refused.exit_code == 2
    assert f"({name})" in refused.stderr
    assert contents(here) == before


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("validate run --csv s.csv --json s.json --figures sheets", ["s.csv", "s.json", "sheets/confusion.png"]),
        ("validate run --csv run/scores.csv --json run/scores.json", ["run/scores.csv"]),
        ("validate run --report page.html", ["page.html"]),
        ("card run", ["run/MODEL_CARD.md"]),
        ("card run --out card.md", ["card.md"]),
        ("compare run --out set-side --json c.json", ["c.json", "set-side/comparison.md", "set-side/comparison.png"]),
        ("inspect demo --json i.json", ["i.json"]),
        ("prepare demo --out prepared --size 32 --figure hair.jpg", ["hair.jpg"]),
        ("prepare demo --out prepared --size 32 --figure hair.png", ["hair.png"]),
        ("synth --out demo --count 12 --size 48x40", ["demo/images/synth_00011.jpg"]),
    ],
)
def test_what_a_command_wrote_it_writes_again(here: Path, line: str, files: list[str]) -> None:
    for _ in range(2):
        done = run(line)
        assert done.exit_code == 0, done.output
    assert all((here / name).stat().st_size > 100 for name in files)


def test_empty_files_are_written_over(here: Path) -> None:
    (here / "s.json").touch()
    assert run("validate run --json s.json --no-boundary").exit_code == 0


def test_a_picture_is_still_the_picture(here: Path) -> None:
    """The mark in it is a comment that other readers take for one."""
    from PIL import Image

    for name in ("hair.jpg", "hair.png"):
        assert run(f"prepare demo --out prepared --size 32 --figure {name}").exit_code == 0
        with Image.open(here / name) as picture:
            picture.load()
            comment = picture.info.get("comment") or picture.info["Comment"].encode()
        assert comment == b"seglab drew this picture"


def test_a_set_half_of_which_is_there_is_completed(here: Path) -> None:
    whole = contents(here / "demo")
    (here / "demo" / "images" / "synth_00003.jpg").unlink()
    assert run("synth --out demo --count 10 --size 48x40").exit_code == 0
    assert contents(here / "demo") == whole


@pytest.mark.slow
def test_a_run_begins_where_one_kept_no_epoch_and_beside_a_log_just_begun(here: Path) -> None:
    (here / "run" / "last.pt").unlink()
    again = run(f"train --data demo --out run {TINY}")
    assert again.exit_code == 0, again.output
    (here / "begun").mkdir()
    (here / "begun" / "train.log").touch()
    shutil.copy(here / "run" / "split.json", here / "begun")
    assert run(f"train --data demo --out begun {TINY}").exit_code == 0


@pytest.mark.slow
def test_folds_begin_again_where_only_splits_were_written(here: Path) -> None:
    (here / "folds" / "fold-0").mkdir(parents=True)
    shutil.copy(here / "run" / "split.json", here / "folds" / "fold-0")
    done = run(f"train --data demo --out folds --folds 2 {TINY}")
    assert done.exit_code == 0, done.output
    assert (here / "folds" / "out-of-fold" / "scores.csv").exists()
