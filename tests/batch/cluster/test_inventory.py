"""Images from an S3 Inventory: exactly those that a walk of the bucket gives.

The inventories are written after AWS's description of their files:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html and, for what is in them,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from fsspec import AbstractFileSystem

from batch.cli import main
from batch.cluster.inventory import inventory_source
from batch.cluster.inventory.order import in_walk_order
from batch.cluster.inventory.rows import Listed
from batch.cluster.planning import PlanSettings, plan_job
from batch.errors import SourceError
from batch.settings import RunSettings
from batch.sources.collect import Sources
from batch.sources.image_ref import ImageRef
from batch.sources.urls.file import RemoteBytes
from seglab.images.formats import IMAGE_SUFFIXES
from tests.support.archive import save, save_many
from tests.support.storage import upload

CURRENT = ("Bucket", "Key", "Size", "LastModifiedDate", "ETag", "StorageClass", "IsMultipartUploaded")
VERSIONS = ("Bucket", "Key", "VersionId", "IsLatest", "IsDeleteMarker", "Size", "LastModifiedDate", "ETag")
PARQUET = {
    "Bucket": ("bucket", pyarrow.string()),
    "Key": ("key", pyarrow.string()),
    "VersionId": ("version_id", pyarrow.string()),
    "IsLatest": ("is_latest", pyarrow.bool_()),
    "IsDeleteMarker": ("is_delete_marker", pyarrow.bool_()),
    "Size": ("size", pyarrow.int64()),
    "LastModifiedDate": ("last_modified_date", pyarrow.timestamp("ms", "UTC")),
    "ETag": ("e_tag", pyarrow.string()),
    "StorageClass": ("storage_class", pyarrow.string()),
    "IsMultipartUploaded": ("is_multipart_uploaded", pyarrow.bool_()),
}
FORMS = ("CSV", "Parquet")
ODD_KEYS = (
    "z.jpg", "b.png", "b.jpg", "b.PNG", "a-b/1.jpg", "a/1.jpg", "a/c/d/2.jpeg", "a.d/3.jpg", "a b/c d.jpg",
    "a+b/c+d.jpg", "100%/50%25.jpg", 'quo"ted,"/x,y.jpg', "größe/日本/😀.jpg", "no/../way.jpg", "./dot.jpg",
    ".hidden/1.jpg", "a/.thumb.jpg", "__MACOSX/1.jpg", "notes.txt", "a/table.csv", "old.zip", "x/old.tar.gz", "raw.CR2",
    "photo.jpg.gz", "unfinished.jpg.part", "no suffix", "empty/", "a/", "e//f.jpg", "e//g.jpg", "e//h/i.jpg",
    "/root.jpg", "j/k//",
)  # fmt: skip


@pytest.fixture
def bucket(s3: AbstractFileSystem) -> Iterator[Any]:
    """The store, whose bucket ``photos`` is emptied afterwards by keys: s3fs cannot remove ``a//b`` and versions."""
    yield s3
    for one in objects_of(s3, "photos"):
        s3.call_s3("delete_object", Bucket="photos", Key=one["Key"], VersionId=one["VersionId"] or "null")


def objects_of(s3: Any, bucket: str) -> list[dict[str, Any]]:
    """Return the objects of a bucket with all their versions, as an inventory has them."""
    found = s3.call_s3("list_object_versions", Bucket=bucket)
    common = [
        {
            "Bucket": bucket,
            "Key": one["Key"],
            "VersionId": "" if one["VersionId"] == "null" else one["VersionId"],
            "IsLatest": one["IsLatest"],
            "IsDeleteMarker": "ETag" not in one,
            "Size": one.get("Size"),
            "LastModifiedDate": one["LastModified"],
            "ETag": one["ETag"].strip('"') if "ETag" in one else None,
            "StorageClass": "STANDARD",
            "IsMultipartUploaded": False,
        }
        for one in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]
    ]
    random.Random(4).shuffle(common)  # an inventory has no order
    return common


def csv_file(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> bytes:
    """Return a data file in CSV: no header, every value quoted, keys URL-encoded."""

    def text(name: str, value: Any) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return "" if value is None else quote_plus(value, safe="/") if name == "Key" else str(value)

    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(
        [text(name, row[name]) for name in columns] for row in rows
    )
    return gzip.compress(file.getvalue().encode())


def parquet_file(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> bytes:
    """Return a data file in Parquet, in row groups of three: keys as they are."""
    schema = pyarrow.schema([PARQUET[name] for name in columns])
    data = {PARQUET[name][0]: [row[name] for row in rows] for name in columns}
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(data, schema), file, row_group_size=3)
    return file.getvalue()


def write_inventory(
    put: Callable[[str, bytes], object],
    rows: Sequence[dict[str, Any]],
    form: str = "CSV",
    columns: Sequence[str] = CURRENT,
    **changes: Any,
) -> str:
    """Write an inventory in two data files by ``put(name, data)``; return the manifest's name. ``changes``: in it."""
    files = []
    half = len(rows) // 2
    for number, part in enumerate((rows[:half], rows[half:])):
        data = (csv_file if form == "CSV" else parquet_file)(part, columns)
        name = f"daily/data/{number}{'.csv.gz' if form == 'CSV' else '.parquet'}"
        put(name, data)
        files.append({"key": f"lists/photos/{name}", "size": len(data), "MD5checksum": hashlib.md5(data).hexdigest()})
    kinds = "; ".join(f"optional binary {PARQUET[name][0]} (STRING)" for name in columns)
    manifest = {
        "sourceBucket": "photos",
        "destinationBucket": "arn:aws:s3:::masks",
        "version": "2016-11-30",
        "creationTimestamp": "1514944800000",
        "fileFormat": form,
        "fileSchema": ", ".join(columns) if form == "CSV" else f"message s3.inventory {{ {kinds}; }}",
        "files": files,
    }
    put("daily/2026-11-30T01-00Z/manifest.json", json.dumps(manifest | changes).encode())
    return "daily/2026-11-30T01-00Z/manifest.json"


def below(folder: Path) -> Callable[[str, bytes], object]:
    """Return what writes a file below a folder."""

    def put(name: str, data: bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return put


def facts(images: Sequence[ImageRef]) -> list[tuple[Any, ...]]:
    """Return all that an image has, with its content in comparable form."""
    found = []
    for image in images:
        content = image.content
        assert isinstance(content, RemoteBytes)
        read = (content.storage.url, content.path, content.bytes, content.mtime_ns, content.version)
        found.append(
            (image.path, image.relative, image.origin, image.bytes, image.mtime_ns, image.version, type(content), read)
        )
    return found


def put_keys(s3: Any, keys: Sequence[str]) -> None:
    for number, key in enumerate(keys):
        s3.call_s3("put_object", Bucket="photos", Key=key, Body=bytes(number))


@pytest.mark.parametrize("form", FORMS)
def test_the_images_are_those_of_a_walk(bucket: Any, tmp_path: Path, form: str) -> None:
    put_keys(bucket, ODD_KEYS)
    walk = Sources(["s3://photos"], IMAGE_SUFFIXES)
    walked = facts(list(walk))
    manifest = write_inventory(below(tmp_path), objects_of(bucket, "photos"), form)
    source = inventory_source(str(tmp_path / manifest))
    found = facts(list(source))
    assert found == walked
    assert len(found) == 15
    assert all(version.startswith("etag:") and mtime_ns > 0 for _, _, _, _, mtime_ns, version, *_ in found)
    assert source.origins == walk.origins
    assert source.report == walk.report
    assert (source.report.hidden, len(source.report.unreadable), source.report.left_out.total()) == (3, 3, 5)


@pytest.mark.parametrize("form", FORMS)
def test_former_versions_and_deleted_objects_are_left_out(bucket: Any, tmp_path: Path, form: str) -> None:
    bucket.call_s3("put_bucket_versioning", Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
    put_keys(bucket, ["a.jpg", "b.jpg", "c.jpg", "b.jpg"])
    bucket.call_s3("delete_object", Bucket="photos", Key="a.jpg")
    rows = objects_of(bucket, "photos")
    assert len(rows) == 5
    source = inventory_source(str(tmp_path / write_inventory(below(tmp_path), rows, form, VERSIONS)))
    found = facts(list(source))
    assert found == facts(list(Sources(["s3://photos"], IMAGE_SUFFIXES)))
    assert [(image[1], image[3]) for image in found] == [("b.jpg", 3), ("c.jpg", 2)]


@pytest.mark.parametrize("form", FORMS)
def test_what_an_inventory_does_not_tell_is_unknown(s3: AbstractFileSystem, tmp_path: Path, form: str) -> None:
    put_keys(s3, ["a/b.jpg"])
    manifest = write_inventory(below(tmp_path), objects_of(s3, "photos"), form, ["Bucket", "Key"])
    (image,) = inventory_source(str(tmp_path / manifest))
    assert (image.path, image.bytes, image.mtime_ns, image.version) == ("s3://photos/a/b.jpg", -1, 0, "")
    s3.pipe_file("photos/a/b.jpg", b"content")
    assert image.content.read().data == b"content"


def test_data_files_lie_in_the_bucket_of_the_inventory(s3: AbstractFileSystem) -> None:
    put_keys(s3, ["a.jpg", "b.jpg", "c.jpg"])
    name = write_inventory(
        lambda name, data: s3.pipe_file(f"masks/lists/photos/{name}", data), objects_of(s3, "photos")
    )
    source = inventory_source(f"s3://masks/lists/photos/{name}")
    assert [image.relative for image in source] == ["a.jpg", "b.jpg", "c.jpg"]
    s3.rm_file("masks/lists/photos/daily/data/1.csv.gz")
    with pytest.raises(
        SourceError, match=r"masks/lists/photos/daily/data/1\.csv\.gz does not exist, and s3://masks/.*"
    ):
        list(inventory_source(f"s3://masks/lists/photos/{name}"))
    with pytest.raises(
        SourceError, match=r"s3://masks/none/manifest\.json does not exist; expected the manifest\.json"
    ):
        inventory_source("s3://masks/none/manifest.json")


@pytest.mark.parametrize("place", ["daily/2026-11-30T01-00Z/data", "daily/2026-11-30T01-00Z"])
def test_a_copied_manifest_has_its_data_files_beside_it(s3: AbstractFileSystem, tmp_path: Path, place: str) -> None:
    put_keys(s3, ["a.jpg", "b.jpg"])
    manifest = tmp_path / write_inventory(below(tmp_path), objects_of(s3, "photos"))
    (tmp_path / place).mkdir(exist_ok=True)
    for path in sorted((tmp_path / "daily" / "data").iterdir()):
        path.rename(tmp_path / place / path.name)
    assert len(list(inventory_source(str(manifest)))) == 2


def walk_order(keys: Sequence[str], folder: str = "") -> list[str]:
    """Return keys in the order of a walk, by going through the folders one by one."""
    inside = sorted({key for key in keys if key.startswith(folder)})
    files = [key for key in inside if "/" not in key[len(folder) :]]
    folders = sorted({key[len(folder) :].partition("/")[0] for key in inside if key not in files})
    return files + [key for name in folders for key in walk_order(keys, f"{folder}{name}/")]


@pytest.mark.parametrize("held", [1, 7, 200, 1000])
def test_objects_are_sorted_also_in_pieces(held: int) -> None:
    random_ = random.Random(held)
    names = ["a", "a-b", "a.b", "b", "ä", "a b", "a\U0001f600", "a\uffff", "A", "~"]
    keys = list({"/".join(random_.choices(names, k=random_.randint(1, 4))) for _ in range(200)})
    listed = [Listed(key, number or None, None if number % 3 else 1.5, str(number)) for number, key in enumerate(keys)]
    found = list(in_walk_order(listed, held))
    assert [one.key for one in found] == walk_order(keys)
    assert sorted(found, key=lambda one: one.key) == sorted(listed, key=lambda one: one.key)


@pytest.mark.slow
def test_a_run_on_the_bucket_recognises_what_the_job_did(
    s3: AbstractFileSystem, tmp_path: Path, model_file: Path
) -> None:
    save_many(tmp_path / "in", 5)
    save(tmp_path / "in" / "001.jpg")
    upload(s3, tmp_path / "in", "photos/set one")
    s3.pipe_file("photos/broken.jpg", b"no image")
    manifest = tmp_path / write_inventory(below(tmp_path), objects_of(s3, "photos"), "Parquet")
    job, masks = tmp_path / "job", tmp_path / "masks"
    model = ["--model", str(model_file), "--compute", "fp32", "--device", "cpu"]
    commands = {
        "plan": (["--inventory", str(manifest), "--job", str(job), "--unit", "3", *model], 0),
        "run": ([str(job), "--device", "cpu", "--processes", "1"], 3),
        "collect": ([str(job), "--to", str(masks)], 3),
    }
    for name, (arguments, code) in commands.items():
        ended = CliRunner().invoke(main, ["cluster", name, *arguments])
        assert ended.exit_code == code, ended.output
    ended = CliRunner().invoke(main, ["run", "s3://photos", "--out", str(masks), *model, "--json"])
    assert ended.exit_code == 3, ended.output
    counts = json.loads(ended.stdout.splitlines()[-1])["summary"]
    assert (counts["skipped"], counts["done"], counts["failed"]) == (6, 0, 1)
    names = {path.relative_to(masks).as_posix() for path in masks.rglob("*.png")}
    numbered = {f"set one/{number:03}.png" for number in range(5)}
    assert names == numbered | {"set one/001.png.png"}


def test_a_job_is_not_planned_among_its_images(s3: AbstractFileSystem, tmp_path: Path, model_file: Path) -> None:
    put_keys(s3, ["a.jpg", "b.jpg"])
    manifest = tmp_path / write_inventory(below(tmp_path), objects_of(s3, "photos"))
    settings = RunSettings((str(manifest),), "s3://photos/job", model_file, "cpu")
    with pytest.raises(SourceError, match="lie inside one another"):
        plan_job(PlanSettings(settings, 10), inventory_source(str(manifest)))


def test_a_bucket_without_images_is_said(s3: AbstractFileSystem, tmp_path: Path, model_file: Path) -> None:
    put_keys(s3, ["notes.txt", "old.zip"])
    manifest = tmp_path / write_inventory(below(tmp_path), objects_of(s3, "photos"))
    settings = RunSettings((str(manifest),), tmp_path / "job", model_file, "cpu")
    with pytest.raises(
        SourceError, match=r"No image was found \(no images: s3://photos; not opened: s3://photos/old\.zip"
    ):
        plan_job(PlanSettings(settings, 10), inventory_source(str(manifest)))


ROWS = [
    {
        "Bucket": "photos",
        "Key": f"{number}.jpg",
        "Size": 5,
        "LastModifiedDate": datetime(2026, 11, 30, 1, 2, 3, 4000, UTC),
        "ETag": "0" * 32,
        "StorageClass": "STANDARD",
        "IsMultipartUploaded": False,
    }
    for number in range(4)
]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"manifest\.json does not exist; expected the manifest\.json of an S3 Inventory\. Name that file"),
        (b"s3://masks/lists/data/0.csv.gz\n", r"is damaged, or another file \(JSONDecodeError: .*; expected"),
        (b"\x1f\x8b\x08\x00", r"is damaged, or another file \(UnicodeDecodeError"),
        (b"[1, 2]", r"is damaged, or another file \(TypeError"),
        (b'{"sourceBucket": "photos"}', r"is damaged, or another file \(KeyError: 'fileFormat'\); expected"),
        (b"{}", r"is damaged, or another file \(KeyError"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        inventory_source(str(path))


def test_the_folder_of_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"is a folder; expected the manifest\.json of an S3 Inventory\. Name that file"
    ):
        inventory_source(str(tmp_path))


@pytest.mark.parametrize("form", ["ORC", "Avro"])
def test_other_formats_are_refused(tmp_path: Path, form: str) -> None:
    manifest = tmp_path / write_inventory(below(tmp_path), ROWS, "Parquet", fileFormat=form)
    with pytest.raises(
        SourceError, match=rf"is in the format {form}; expected CSV or Parquet\. Set one .*, or name .*: s3://photos"
    ):
        inventory_source(str(manifest))


def spoil(path: Path, spoiled: Callable[[bytes], bytes]) -> None:
    path.write_bytes(spoiled(path.read_bytes()))


@pytest.mark.parametrize(
    ("spoiled", "message"),
    [
        (
            lambda data: data[:-1],
            r"1\.csv\.gz has \d+ bytes, and the manifest says \d+; expected the file that S3 wrote\. ",
        ),
        (
            lambda data: data[:-1] + b"!",
            r"1\.csv\.gz has the MD5 \w+, and the manifest says \w+; expected .* Get it again",
        ),
    ],
)
def test_a_data_file_that_changed_is_refused(tmp_path: Path, spoiled: Callable[[bytes], bytes], message: str) -> None:
    manifest = tmp_path / write_inventory(below(tmp_path), ROWS)
    spoil(tmp_path / "daily" / "data" / "1.csv.gz", spoiled)
    with pytest.raises(SourceError, match=message):
        list(inventory_source(str(manifest)))


@pytest.mark.parametrize(
    ("form", "data", "message"),
    [
        ("CSV", b"no gzip", r"data/1\.csv\.gz, which .*manifest\.json names, cannot be read: Not a gzipped file .*; "),
        (
            "CSV",
            csv_file(ROWS, CURRENT)[:-20],
            r"cannot be read: Compressed file ended .*; expected a CSV file .* Bucket",
        ),
        (
            "CSV",
            csv_file(ROWS, CURRENT[:3]),
            r"cannot be read: row 1 has 3 values; expected a CSV file of an S3 Inventory",
        ),
        ("CSV", gzip.compress(b'"photos","a.jpg","x","","","",""\n'), r"cannot be read: invalid literal for int"),
        ("CSV", gzip.compress(b'"photos","\xff.jpg"\n'), r"cannot be read: 'utf-8' codec"),
        (
            "Parquet",
            b"PAR1 no Parquet",
            r"data/1\.parquet, which .* cannot be read: .*; expected a Parquet file of an S3",
        ),
        ("Parquet", parquet_file(ROWS, ["Bucket", "Size"]), r"cannot be read: there is no column Key; expected"),
    ],
    ids=["no gzip", "cut off", "too few values", "no number", "no UTF-8", "no Parquet", "no keys"],
)
def test_data_that_cannot_be_read_is_refused(tmp_path: Path, form: str, data: bytes, message: str) -> None:
    name = "1.csv.gz" if form == "CSV" else "1.parquet"
    manifest = tmp_path / write_inventory(below(tmp_path), ROWS, form)
    (tmp_path / "daily" / "data" / name).write_bytes(data)
    found = json.loads(manifest.read_text())
    for file in found["files"]:
        del file["size"], file["MD5checksum"]  # nothing to compare with
    manifest.write_text(json.dumps(found))
    with pytest.raises(SourceError, match=message):
        list(inventory_source(str(manifest)))


def test_a_data_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    manifest = tmp_path / write_inventory(below(tmp_path), ROWS)
    (tmp_path / "daily" / "data" / "0.csv.gz").unlink()
    with pytest.raises(
        SourceError, match=r"data/0\.csv\.gz does not exist, and .* names it; expected .* Copy them there"
    ):
        list(inventory_source(str(manifest)))


def test_columns_without_the_key_are_refused(tmp_path: Path) -> None:
    manifest = tmp_path / write_inventory(below(tmp_path), ROWS, columns=["Bucket", "Size"])
    with pytest.raises(
        SourceError, match=r"cannot be read: there is no column Key; expected .* the columns Bucket, Size"
    ):
        list(inventory_source(str(manifest)))
