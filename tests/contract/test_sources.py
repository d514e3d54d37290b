"""What holds for every kind of source: the same photographs, the same masks, and nothing lost.

A new kind of source gets a line in ``KINDS``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.archive import command, masks_below, save_many
from tests.support.storage import upload

BROKEN = "sub/broken.png"


@dataclass(frozen=True)
class Named:
    """The arguments that name a source, and what comes by standard input."""

    arguments: list[str]
    stdin: bytes | None = None


@dataclass(frozen=True)
class Place:
    """Where a kind of source can put photographs: a working folder, and storage if it asks for it."""

    folder: Path
    fixture: Callable[[str], Any]


def a_folder(photos: Path, _place: Place) -> Named:
    return Named([str(photos)])


def a_pattern(photos: Path, _place: Place) -> Named:
    return Named([str(photos / "**" / "*.png")])


def files_by_name(photos: Path, place: Place) -> Named:
    return files_of_a_list(photos, place, b"\n", stdin=False)


def files_of_a_list(photos: Path, place: Place, end: bytes, *, stdin: bool) -> Named:
    names = [str(path.relative_to(photos)).encode() for path in sorted(photos.rglob("*.png"))]
    text = b"".join(name + end for name in names)
    if stdin:
        return Named(["-"], text)
    path = place.folder / "list"
    path.write_bytes(text)
    return Named(["--files-from", str(path)])


def a_list_by_stdin(photos: Path, place: Place) -> Named:
    return files_of_a_list(photos, place, b"\0", stdin=True)


def a_zip(photos: Path, place: Place) -> Named:
    return Named([str(packed(photos, place.folder / "photos.zip"))])


def a_tar(photos: Path, place: Place) -> Named:
    return Named([str(packed(photos, place.folder / "photos.tar"))])


def a_compressed_tar(photos: Path, place: Place) -> Named:
    return Named([str(packed(photos, place.folder / "photos.tar.gz"))])


def a_tar_by_stdin(photos: Path, place: Place) -> Named:
    return Named(["-"], packed(photos, place.folder / "photos.tar.gz").read_bytes())


def a_bucket(photos: Path, place: Place) -> Named:
    upload(place.fixture("s3"), photos, "photos/set")
    return Named(["s3://photos/set"])


def a_zip_in_a_bucket(photos: Path, place: Place) -> Named:
    place.fixture("s3").pipe_file("photos/set.zip", packed(photos, place.folder / "photos.zip").read_bytes())
    return Named(["s3://photos/set.zip"])


def a_tar_on_the_web(photos: Path, place: Place) -> Named:
    packed(photos, place.fixture("web_folder") / "photos.tar")
    return Named([f"{place.fixture('web')}/photos.tar"])


KINDS = (
    a_folder, a_pattern, files_by_name, a_list_by_stdin, a_zip, a_tar, a_compressed_tar, a_tar_by_stdin, a_bucket,
    a_zip_in_a_bucket, a_tar_on_the_web,
)  # fmt: skip


def packed(photos: Path, archive: Path) -> Path:
    """Pack everything below a folder."""
    files = sorted(path for path in photos.rglob("*") if path.is_file())
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            for path in files:
                zipped.write(path, path.relative_to(photos))
        return archive
    with tarfile.open(archive, "w:gz" if archive.suffix == ".gz" else "w") as tar:
        for path in files:
            tar.add(path, path.relative_to(photos).as_posix())
    return archive


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough for several processes, in two folders, one of them broken; and what is no image."""
    root = tmp_path_factory.mktemp("photos")
    save_many(root, 12)
    save_many(root / "sub", 11)
    (root / BROKEN).write_bytes(b"\x89PNG\r\n\x1a\nno more")
    (root / "notes.txt").write_text("no image")
    return root


@pytest.fixture(scope="module")
def expected(photos: Path, model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The masks, made in one process from files."""
    out = tmp_path_factory.mktemp("expected")
    run(Named([str(photos)]), photos, out, model_file, "--processes", "1")
    return masks_below(out)


def run(named: Named, cwd: Path, out: Path, model_file: Path, *options: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run over a source; return the exit code, the table's rows and what was said."""
    table = out.with_name(f"{out.name}.jsonl")
    arguments: list[str | Path | bytes] = [
        "run",
        *named.arguments,
        "--out",
        out,
        "--model",
        model_file,
        "--device",
        "cpu",
        "--table",
        table,
    ]
    ended = subprocess.run(
        command(*arguments, *options), input=named.stdin or b"", capture_output=True, cwd=cwd, check=False
    )
    said = ended.stderr.decode(errors="replace")
    assert "Traceback" not in said, said
    return ended.returncode, [json.loads(line) for line in table.read_text().splitlines()], said


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_source_gives_the_same_masks_and_accounts_for_every_image(
    kind: Callable[[Path, Place], Named],
    photos: Path,
    model_file: Path,
    expected: dict[str, bytes],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    named, out = kind(photos, Place(tmp_path, request.getfixturevalue)), tmp_path / "masks"
    code, rows, said = run(named, photos, out, model_file)
    assert code == 3, said  # finished, and one failed
    assert len(expected) == 23
    assert masks_below(out) == expected
    assert len({row["path"] for row in rows}) == len(rows) == 24
    (failed,) = [row for row in rows if row["status"] == "failed"]
    assert failed["path"].endswith(BROKEN)
    assert failed["error"]
    assert {row["mask"] for row in rows if row["status"] == "done"} == set(expected)
    code, again, said = run(named, photos, out, model_file)
    assert (code, "0 masks, 1 failed, 23 unchanged" in said) == (3, True), said
    assert [row["finished_at"] for row in again if row["status"] == "done"] == [
        row["finished_at"] for row in rows if row["status"] == "done"
    ]
    shutil.rmtree(out)


@pytest.mark.parametrize("kind", [a_folder, a_zip, a_compressed_tar], ids=lambda kind: kind.__name__)
def test_several_of_a_kind_do_not_share_masks(
    kind: Callable[[Path, Place], Named], photos: Path, model_file: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    arguments = []
    for name in ("one", "two"):
        copy = shutil.copytree(photos, tmp_path / name)
        (tmp_path / f"at-{name}").mkdir()
        (argument,) = kind(copy, Place(tmp_path / f"at-{name}", request.getfixturevalue)).arguments
        if kind is not a_folder:  # archives are called photos: give each the name of its set
            argument = shutil.move(argument, str(tmp_path / f"{name}{''.join(Path(argument).suffixes)}"))
        arguments.append(str(argument))
    code, rows, said = run(Named(arguments), tmp_path, tmp_path / "masks", model_file)
    assert code == 3, said
    assert len({row["path"] for row in rows}) == len(rows) == 48
    assert len({row["mask"] for row in rows if row["status"] == "done"}) == 46
    assert len(masks_below(tmp_path / "masks")) == 46
    assert {row["mask"].split("/")[0] for row in rows if row["mask"]} == {"one", "two"}


@pytest.mark.parametrize("when", ["1700000000000", "-11644473600", "nan", "inf", "-inf", "1e30"])
def test_a_time_that_cannot_be_stops_no_run(model_file: Path, tmp_path: Path, when: str) -> None:
    save_many(tmp_path / "in", 3)
    with tarfile.open(tmp_path / "photos.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted((tmp_path / "in").iterdir()):
            info = tar.gettarinfo(path, path.name)
            if path.name == "001.png":
                info.pax_headers = {"mtime": when}
            with path.open("rb") as file:
                tar.addfile(info, file)
    named = Named([str(tmp_path / "photos.tar")])
    code, rows, said = run(named, tmp_path, tmp_path / "masks", model_file)
    assert (code, [row["status"] for row in rows]) == (0, ["done"] * 3), said
    code, _, said = run(named, tmp_path, tmp_path / "masks", model_file)
    assert (code, "3 masks unchanged" in said) == (0, True), said


@pytest.mark.slow
def test_a_file_of_the_year_2446_stops_no_run(model_file: Path, tmp_path: Path) -> None:
    paths = save_many(tmp_path / "in", 3)
    os.utime(paths[1], (15032385535, 15032385535))
    if paths[1].stat().st_mtime_ns < 2**63:
        pytest.skip("this file system does not hold such a time")
    for counts in ("3 masks, 0 failed", "3 masks unchanged"):
        code, _, said = run(Named([str(tmp_path / "in")]), tmp_path, tmp_path / "masks", model_file)
        assert (code, counts in said) == (0, True), said
