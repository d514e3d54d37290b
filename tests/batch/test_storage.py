"""Images and masks by URL: S3 as moto's server gives it on loopback, and plain HTTP."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fsspec import AbstractFileSystem

from batch.commands.verify import verify
from batch.errors import OutputError, SourceError
from batch.sources.collect import Sources
from batch.storage import Storage
from seglab.errors import ConfigError
from seglab.images.formats import IMAGE_SUFFIXES
from tests.support.archive import command, masks_below, run_all, run_with_report, save, save_many, spot
from tests.support.artefact import tiny_model
from tests.support.storage import Reply, Scripted, page, stored, upload


def test_from_a_bucket_to_a_bucket(s3: AbstractFileSystem, tmp_path: Path) -> None:
    save_many(tmp_path / "in" / "a", 5)
    save_many(tmp_path / "in" / "b", 6)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    save(tmp_path / "in" / ".hidden.png")
    upload(s3, tmp_path / "in", "photos/set")
    run_all(tmp_path / "in", tmp_path / "folder")
    results, runner = run_with_report(["s3://photos/set"], "s3://masks/of/set", ledger=tmp_path / "book")
    assert [result.error for result in results if result.error] == []
    assert stored(s3, "masks/of/set") == masks_below(tmp_path / "folder")
    assert results[0].path == "s3://photos/set/a/000.png"
    assert results[0].mask == "s3://masks/of/set/a/000.png"
    assert (runner.report.sources.hidden, dict(runner.report.sources.others)) == (1, {".txt": 1})
    _, again = run_with_report(["s3://photos/set"], "s3://masks/of/set", ledger=tmp_path / "book")
    assert (again.report.skipped, again.report.done) == (11, 0)


def test_what_changed_or_went_is_done_again(s3: AbstractFileSystem, tmp_path: Path) -> None:
    save_many(tmp_path / "in", 4)
    upload(s3, tmp_path / "in", "photos")
    place = ("s3://photos", "s3://masks/m")
    run_all([place[0]], place[1], ledger=tmp_path / "book")
    s3.rm_file("masks/m/001.png")
    s3.pipe_file("photos/002.png", save(tmp_path / "other.png", spot(90, 33)).read_bytes())
    s3.pipe_file("photos/003.png", b"no longer an image")
    s3.invalidate_cache()
    results = run_all([place[0]], place[1], ledger=tmp_path / "book")
    assert [result.status.value for result in results] == ["skipped", "done", "done", "failed"]
    assert set(stored(s3, "masks/m")) == {"000.png", "001.png", "002.png"}
    report = verify(tmp_path / "book")
    assert (report.matching, report.failed, report.strays) == (3, 1, [])


def test_a_zip_and_a_tar_in_a_bucket_are_read_there(s3: AbstractFileSystem, tmp_path: Path) -> None:
    save_many(tmp_path / "in", 5)
    run_all(tmp_path / "in", tmp_path / "folder")
    for kind, arguments in (("zip", ["zip", "-qr"]), ("tar", ["tar", "cf"]), ("tar.gz", ["tar", "czf"])):
        archive = tmp_path / f"photos.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(archive, "w") as file:
                for path in (tmp_path / "in").iterdir():
                    file.write(path, path.name)
        else:
            subprocess.run([*arguments, archive, "."], cwd=tmp_path / "in", check=True)
        s3.pipe_file(f"photos/{archive.name}", archive.read_bytes())
        results = run_all([f"s3://photos/{archive.name}"], tmp_path / kind)
        assert results[0].path == f"s3://photos/{archive.name}/{'' if kind == 'zip' else './'}000.png"
        assert masks_below(tmp_path / kind) == masks_below(tmp_path / "folder")


def test_an_image_that_goes_between_listing_and_reading_is_a_row(
    s3: AbstractFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_many(tmp_path / "in", 3)
    upload(s3, tmp_path / "in", "photos")
    fetch = Storage.fetch

    def vanishing(storage: Storage, path: str, most: int) -> Any:
        if path.endswith("001.png"):
            s3.rm_file(path)
        return fetch(storage, path, most)

    monkeypatch.setattr(Storage, "fetch", vanishing)
    results = run_all(["s3://photos"], tmp_path / "out")
    assert [result.status.value for result in results] == ["done", "failed", "done"]
    assert "It cannot be fetched" in (results[1].error or "")


def test_versions_are_those_of_the_storage_before_and_after_reading(
    s3: AbstractFileSystem, scripted: Scripted, tmp_path: Path
) -> None:
    data = save(tmp_path / "a.png").read_bytes()
    s3.pipe_file("photos/set/a.png", data)
    tag = f"etag:{hashlib.md5(data).hexdigest()}"
    (listed,) = Sources(["s3://photos/set"], IMAGE_SUFFIXES)
    (named,) = Sources(["s3://photos/set/a.png"], IMAGE_SUFFIXES)
    assert (listed.version, named.version, pickle.loads(pickle.dumps(listed.content)).read().version) == (tag,) * 3
    when = {"ETag": 'W/"7-x"', "Last-Modified": "Tue, 15 Nov 1994 12:45:26 GMT"}
    scripted.answer = lambda request: page("a.png") if request.path == "/d/" else Reply(data, headers=when)
    for source in (f"{scripted.url}/d/", f"{scripted.url}/a.png"):
        (found,) = Sources([source], IMAGE_SUFFIXES)
        read = found.content.read()
        assert (found.version, found.bytes, found.mtime_ns) == ("etag:W/7-x", len(data), 784903526 * 10**9)
        assert (read.version, read.bytes, read.mtime_ns) == (found.version, found.bytes, found.mtime_ns)


def test_what_is_not_there_is_said_at_once(s3: AbstractFileSystem, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"There is nothing at s3://photos/none; expected"):
        run_all(["s3://photos/none"], tmp_path / "out")
    with pytest.raises(SourceError, match=r"There is nothing at s3://photos/none\.zip; expected"):
        run_all(["s3://photos/none.zip"], tmp_path / "out")
    with pytest.raises(SourceError, match="nonsense://x cannot be opened"):
        run_all(["nonsense://x"], tmp_path / "out")
    save(tmp_path / "in" / "a.png")
    with pytest.raises(ConfigError, match=r"cannot hold the ledger.*--ledger"):
        run_all(tmp_path / "in", "s3://masks/m")
    s3.pipe_file("masks/m/a.png", b"precious")
    with pytest.raises(OutputError, match=r"holds a\.png, which a mask might overwrite"):
        run_all(tmp_path / "in", "s3://masks/m", ledger=tmp_path / "book")
    with pytest.raises(OutputError, match=r"cannot be written|cannot be listed"):
        run_all(tmp_path / "in", "s3://no-such-bucket-anywhere/m", ledger=tmp_path / "book2")


@pytest.mark.parametrize(("source", "out"), [("photos", "photos/masks"), ("photos/a", "photos"), ("photos/", "photos")])
def test_masks_among_their_images_are_refused(s3: AbstractFileSystem, tmp_path: Path, source: str, out: str) -> None:
    s3.pipe_file("photos/a/b.png", save(tmp_path / "b.png").read_bytes())
    with pytest.raises(SourceError, match="lie inside one another"):
        run_all([f"s3://{source}"], f"s3://{out}", ledger=tmp_path / "book")


@pytest.mark.slow
def test_the_command_takes_urls(s3: AbstractFileSystem, tmp_path: Path) -> None:
    save_many(tmp_path / "in", 3)
    upload(s3, tmp_path / "in", "photos")
    model = tiny_model(tmp_path / "tiny.onnx")
    arguments = ("run", "s3://photos", "--out", "s3://masks", "--ledger", tmp_path / "book", "--model", model)
    ended = subprocess.run(command(*arguments, "--device", "cpu"), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Masks     s3://masks" in ended.stderr
    assert len(stored(s3, "masks")) == 3


def test_images_from_the_web(web_folder: Path, web: str, tmp_path: Path) -> None:
    save(web_folder / "a.png", spot(60, 80))
    with tarfile.open(web_folder / "set.tar.gz", "w:gz") as tar:
        tar.add(web_folder / "a.png", "b.png")
    results = run_all([f"{web}/a.png", f"{web}/set.tar.gz"], tmp_path / "out")
    assert [result.status.value for result in results] == ["done", "done"]
    masks = masks_below(tmp_path / "out")
    assert masks["a.png"] == masks["b.png"]
    with pytest.raises(SourceError, match="There is nothing at"):
        run_all([f"{web}/none.png"], tmp_path / "other")
    with zipfile.ZipFile(tmp_path / "www" / "set.zip", "w") as file:
        file.writestr("a.png", bytes(10 << 20))
